"""The model in training: a frozen base, a LoRA adapter on all its linear layers, and the loss of one pack.

What makes it fast on a processor: the base takes no gradient; with bfloat16 its weights are cast once instead of in
every pass (autocast would cast them each time, to the same bits); and the vocabulary's logits, the largest product of a
small model, are computed only where a reply token is predicted. The adapter, the norms and the residual stream stay in
fp32. Must never touch Ray: the same code runs in a test, in one process.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from torch.nn import functional

from feedback.files import replace_file
from learner.packing import Pack
from learner.settings import RecipeSettings

Precision = Literal["fp32", "bf16"]
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
"""All linear layers of a block."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one worker computes."""

    rank: int = 0
    workers: int = 1
    device: str = "cpu"
    precision: Precision = "fp32"

    @property
    def pack_tokens(self) -> int:
        """Most tokens in one pack. On a processor attention is spelt out, so its memory grows with the square."""
        return 512 if self.device == "cpu" else 4096


class LoraModel:
    """The adapted model, its trainable parameters by PEFT's names, and its loss."""

    def __init__(self, base: Path, recipe: RecipeSettings, place: Place) -> None:
        """Load the base (fp32 files) and put a fresh adapter on it: A random from the recipe's seed, B zero."""
        # Lazily: each takes seconds, and a test of the order of rows needs neither.
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.place = place
        # Spelt-out attention is twice as fast as torch's fused kernel on a processor, for masks like these.
        attention = "eager" if place.device == "cpu" else "sdpa"
        model = AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, attn_implementation=attention, local_files_only=True
        )
        torch.manual_seed(recipe.seed)
        self.config = LoraConfig(
            r=recipe.lora_rank,
            lora_alpha=recipe.lora_alpha,
            lora_dropout=recipe.lora_dropout,
            target_modules=TARGETS,
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by a name that it is giving up
            self._peft = get_peft_model(model, self.config)
        self.training(True)
        self._causal: Any = self._peft.get_base_model()
        bf16 = place.precision == "bf16"
        if bf16:
            _cast_frozen_matrices(self._causal, self._causal.get_input_embeddings().weight)
        self._peft.to(place.device)
        head = self._causal.get_output_embeddings().weight.detach()
        self._head = head.to(torch.bfloat16) if bf16 else head
        self.parameters = {name: each for name, each in self._peft.named_parameters() if each.requires_grad}

    def loss(self, pack: Pack) -> torch.Tensor:
        """The weighted sum, not the mean, of the pack's losses in nats: a scalar in fp32. The caller divides by the
        weight of the whole step, of which this pack may be a part."""
        device = self.place.device
        bf16 = self.place.precision == "bf16"
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=bf16):
            hidden = self._causal.base_model(
                input_ids=torch.tensor([pack.ids], device=device),
                position_ids=torch.tensor([pack.positions], device=device),
                attention_mask=self._mask(pack),
                use_cache=False,
            ).last_hidden_state[0]  # (tokens, width)
            logits = functional.linear(hidden[torch.tensor(pack.sources, device=device)], self._head)
        targets = torch.tensor(pack.targets, device=device)
        losses = functional.cross_entropy(logits.float(), targets, reduction="none")  # (targets,)
        return (losses * torch.tensor(pack.weights, device=device)).sum()

    def training(self, on: bool) -> None:
        """Dropout on, or off for validation."""
        self._peft.train(on)

    def adapter(self) -> dict[str, torch.Tensor]:
        """A copy of the adapter's weights on the processor, by the names that PEFT's files use."""
        return {_file_name(name): each.detach().cpu().clone() for name, each in self.parameters.items()}

    def load_adapter(self, weights: dict[str, torch.Tensor]) -> None:
        """Put weights that `adapter()` gave back in place."""
        with torch.no_grad():
            for name, each in self.parameters.items():
                each.copy_(weights[_file_name(name)])

    def _mask(self, pack: Pack) -> torch.Tensor:
        """(1, 1, tokens, tokens): who sees whom. A token sees what stands before it of its own row and of the beginning
        that all rows share."""
        segments = torch.tensor(pack.segments, device=self.place.device)
        mine = (segments[:, None] == segments[None, :]) | (segments[None, :] == 0)
        seen = torch.tril(mine)[None, None]
        if self.place.device != "cpu":
            return seen
        return torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)  # eager attention adds it


def save_adapter(folder: Path, weights: dict[str, torch.Tensor], config: Any, base_sha256: str) -> None:
    """Write an adapter in PEFT's format. The base is named by its content: paths differ between machines."""
    from safetensors.torch import save

    body = config.to_dict() | {"base_model_name_or_path": f"sha256:{base_sha256}", "inference_mode": True}
    body = {key: sorted(value) if isinstance(value, set) else value for key, value in body.items()}
    replace_file(folder / "adapter_model.safetensors", save(weights, metadata={"format": "pt"}))
    replace_file(folder / "adapter_config.json", json.dumps(body, indent=2, sort_keys=True).encode())


def choose_precision(asked: Literal["auto", "fp32", "bf16"], device: str) -> Precision:
    """bf16 where the hardware multiplies it natively, else fp32: emulated, it is slower and less exact."""
    if asked != "auto":
        return asked
    if device != "cpu":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def _cast_frozen_matrices(model: torch.nn.Module, embedding: torch.nn.Parameter) -> None:
    """Cast what autocast would cast in every pass: the weights of linear layers, not norms, embedding or adapter."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "lora_" not in name and module.weight is not embedding:
            for parameter in module.parameters():
                parameter.data = parameter.data.to(torch.bfloat16)


def _file_name(parameter: str) -> str:
    """`….q_proj.lora_A.default.weight` → `….q_proj.lora_A.weight`: PEFT's files leave the adapter's name out."""
    return parameter.replace(".default.", ".")
