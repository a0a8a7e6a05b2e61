"""A GGUF small enough to convert, train, merge and serve in a second: random weights, a real tokenizer and template.

The vocabulary is the 256 bytes and three control tokens, so that every text, Chinese included, has tokens. The template
is ChatML with a default system prompt, as SmolLM2's. What it says is noise, but every layout that matters is there:
grouped heads (more queries than keys), tied embeddings, norms that are not one.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WIDTH, HEADS, KEY_HEADS, INNER, LAYERS, CONTEXT = 64, 4, 2, 96, 2, 2048


def byte_characters() -> list[str]:
    """How byte-level BPE writes the bytes 0 to 255: printable ones as they are, the others from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]


def write_tiny_gguf(path: Path, *, seed: int = 5, template: str = TEMPLATE, architecture: str = "llama") -> Path:
    """Write the model, weights in F16 (norms in F32), and return its path."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    tokens = [*CONTROLS, *byte_characters(), "Ġt", "he"]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL] * len(CONTROLS) + [gguf.TokenType.NORMAL] * (len(tokens) - len(CONTROLS))
    writer.add_token_types(kinds)
    writer.add_token_merges(["Ġ t", "h e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    if template:
        writer.add_chat_template(template)
    for name, data in _tensors(len(tokens), np.random.default_rng(seed), architecture):
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(vocabulary: int, random: np.random.Generator, architecture: str) -> list[tuple[str, np.ndarray]]:
    def matrix(rows: int, columns: int) -> np.ndarray:
        return (random.standard_normal((rows, columns)) * 1.5 / columns**0.5).astype(np.float16)

    def norm() -> np.ndarray:
        return (1 + 0.2 * random.standard_normal(WIDTH)).astype(np.float32)

    keys = WIDTH // HEADS * KEY_HEADS
    found = [("token_embd.weight", matrix(vocabulary, WIDTH))]
    for layer in range(LAYERS):
        shapes = {
            "attn_q": (WIDTH, WIDTH), "attn_k": (keys, WIDTH), "attn_v": (keys, WIDTH), "attn_output": (WIDTH, WIDTH),
            "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER),
        }  # fmt: skip
        found += [(f"blk.{layer}.attn_norm.weight", norm()), (f"blk.{layer}.ffn_norm.weight", norm())]
        found += [(f"blk.{layer}.{name}.weight", matrix(*shape)) for name, shape in shapes.items()]
        if architecture == "qwen2":
            found += [
                (f"blk.{layer}.{name}.bias", random.standard_normal(shapes[name][0]).astype(np.float32))
                for name in ("attn_q", "attn_k", "attn_v")
            ]
    return [*found, ("output_norm.weight", norm())]
