"""Who may come in: API keys, sessions of the pages, limits, and the guard before every route."""
