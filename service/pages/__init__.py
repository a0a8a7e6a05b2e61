"""The chat page: one HTML file, one style sheet, one ES module, served from the package; nothing from elsewhere."""
