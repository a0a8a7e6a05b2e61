"""The word filter: one capability with a small public face, `service.words.filter`."""
