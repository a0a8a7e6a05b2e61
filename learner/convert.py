"""GGUF → Hugging Face files in fp32: the heavy half of `learner.base`, run as `python -m learner.convert GGUF FOLDER`.

A process of its own because transformers and torch take a gigabyte here that the cycle needs back. The weights are
what the GGUF dequantises to, nothing else: what is trained on is what is served.
"""

from __future__ import annotations

import sys
from pathlib import Path


def convert(gguf: Path, folder: Path) -> None:
    """Write config.json, model.safetensors (fp32), tokenizer.json and their like into `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    place, name = str(gguf.parent), gguf.name
    AutoTokenizer.from_pretrained(place, gguf_file=name).save_pretrained(folder)
    # Without GgufConfig(dequantize=True) the model stays quantised and save_pretrained refuses it.
    model = AutoModelForCausalLM.from_pretrained(
        place, gguf_file=name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    model.save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
