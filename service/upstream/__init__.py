"""The upstream, which speaks Ollama's API: one host or several, asked for chats, looked at, spared when they fail."""
