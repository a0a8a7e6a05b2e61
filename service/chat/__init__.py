"""Chat in both dialects: `exchange` decides, `delivery` acts, `ollama` and `openai` only translate."""
