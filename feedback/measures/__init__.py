"""What people think of the replies, in figures: by version, week, topic and language, each with its interval."""
