"""The embedded engine: Ollama's API over llama.cpp, for machines where no Ollama answers.

It translates and keeps models; llama.cpp does the work. Read it from `server` (running) over `routes` (the API),
`replies` and `prompts` (one request), `runners` (loaded models) and `library` (models on disk) to `llama` (the child
process with llama.cpp inside). Must stay thin, and must never listen beyond loopback.
"""
