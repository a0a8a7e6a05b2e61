"""The gateway: chat in both dialects, the word filter, pages, and the embedded engine.

Must start without ray, torch, transformers or peft installed or imported; of `learner` it may read the file formats
only (`learner.alias`, `learner.records`). The command line in `service.cli` is the composition root and may reach
everywhere, lazily.
"""
