"""Settings of the gateway and of the embedded engine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table [gateway]: where it listens, whom it asks, what it refuses."""

    host: str = "127.0.0.1"
    """Address to listen on. Beyond loopback every request needs a key."""
    port: int = 8400
    """TCP port; 0 takes a free one."""
    keys: Literal["auto", "required", "off"] = "auto"
    """Whether requests need an API key. auto: unless `host` is loopback; off: never, which only loopback may."""
    allowed_hosts: list[str] = []
    """Host names, beside loopback's, that a gateway without keys answers to, and whose pages may use this one."""
    session_hours: float = 12.0
    """How long a sign-in on a page lasts."""
    upstream_url: str = "http://127.0.0.1:11434"
    """The Ollama, or the embedded engine, that answers."""
    upstream_urls: list[str] = []
    """Several Ollamas that share the work, instead of `upstream_url`. A host that lacks a version gets no request for
    it."""
    upstream_check_s: float = 5.0
    """Seconds between looks at each host: whether it answers, and which models it has. One that is down is looked at
    each second."""
    concurrent_limit: int = 1024
    """Requests that one host is given at a time; further ones wait here. Ollama itself answers `OLLAMA_NUM_PARALLEL` at
    a time and lets 512 wait."""
    queue_limit: int = 256
    """Requests that may wait for a free place at a host; further ones are refused with `overloaded`."""
    queue_wait_s: float = 30.0
    """Longest wait for a free place; after it the request is refused with `overloaded`."""
    circuit_failures: int = 5
    """Failures in a row after which a host gets no requests for `circuit_pause_s`."""
    circuit_pause_s: float = 10.0
    """How long a host that failed is left alone before one request tries it again."""
    pins: Literal["user", "annotator", "reviewer", "expert", "operator"] = "reviewer"
    """Least role that may ask for a version by its number (`assistant@1.4.0`)."""
    allowed_models: list[str] = []
    """Other models of the upstream that may be chatted with, as patterns (`qwen3:*`). Their turns are never learnt
    from."""
    sticky_by: Literal["conversation", "key"] = "conversation"
    """What stays with one version while a challenger has a share: a conversation, or everything of one key's
    owner."""
    body_limit_bytes: int = 1_048_576
    """Largest request body; a larger one is refused with `body-too-large`. A chat's images don't count."""
    images_limit_bytes: int = 8_388_608
    """Largest size of the images in one request together, decoded; 0 takes none."""
    connect_timeout_s: float = 5.0
    """Longest wait for a connection to the upstream."""
    first_token_timeout_s: float = 120.0
    """Longest wait for the first byte of a reply; a cold model has to load first."""
    stall_timeout_s: float = 60.0
    """Longest silence inside a reply; after it the reply counts as cut."""
    shutdown_timeout_s: float = 30.0
    """How long replies under way may take to end after SIGTERM."""
    on_store_failure: Literal["refuse", "serve"] = "refuse"
    """What becomes of chats while the store takes no writes, for example on a full disk: `refuse` answers 503, `serve`
    answers them and doesn't record them."""
    words_file: str = ""
    """One word list: `.txt`, `.csv` or `.jsonl`; see the guide to words. Empty: none."""
    words_dir: str = ""
    """A folder of word lists with their options in `words.toml`; `PUT /words` writes here. Empty: none."""
    words_inducement: bool = True
    """Whether the shipped list of attempts to talk the model out of its rules is in force; it only flags."""
    words_reload_s: float = 1.0
    """Seconds between looks at the lists' files; one that changed serves after the next look but one. 0 never looks."""
    words_log_text: bool = False
    """Whether the log shows the text of each hit, and not only its rule and place."""
    drafts_share: float = 0.1
    """How often the chat page asks for two drafts and which is better, as a share of messages, 0 to 1."""
    record_uncertainty: float = 0.0
    """Share of recorded chats, 0 to 1, for which the upstream is asked how probable its tokens were, so that the
    replies it was least sure of can be looked at first. Clients are not sent what they did not ask for."""
    unrecorded_aliases: list[str] = []
    """Names to chat with whose exchanges are never recorded: nothing of them is kept but counts."""
    webhook_secrets: list[str] = []
    """Secrets that ratings by webhook may be signed with, base64 of at least 16 bytes, `whsec_` before it or not. Also
    those in the data folder's file `webhook-secret`, one a line. None at all: webhooks are refused."""
    webhook_window_s: float = 300.0
    """How far a webhook's signed time may be from now, seconds."""
    metrics_public: bool = False
    """Whether `GET /metrics` is for anybody who reaches the gateway, and not for operators only."""
    otlp_endpoint: str = ""
    """An OpenTelemetry collector's base URL, for example `http://127.0.0.1:4318`: it is sent traces and metrics over
    OTLP/HTTP. Empty: what OTEL_EXPORTER_OTLP_ENDPOINT says; where that is not set either, none."""
    log_level: str = "info"
    """debug, info, warning or error. No level logs people's text, save what `words_log_text` asks for."""

    @property
    def hosts(self) -> list[str]:
        """The URLs of the upstream's hosts, each once."""
        return list(dict.fromkeys(url.rstrip("/") for url in self.upstream_urls or [self.upstream_url]))


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table [engine]: the embedded engine, used only where no Ollama answers."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback only."""
    port: int = 11434
    """TCP port, Ollama's own; 0 takes a free one."""
    models_dir: Path = Path("")
    """Where models are kept; empty: `engine/` in the data folder."""
    threads: int = 1
    """Threads that llama.cpp may use for each model. Leave one for the gateway and the learner: on a busy machine two
    are slower than one."""
    context_tokens: int = 4096
    """Context of a loaded model, in tokens, split evenly among its parallel requests: each has `context_tokens /
    parallel` for its prompt and reply together, and no request can take another's. Costs memory (SmolLM2-135M: 23 KiB
    a token)."""
    parallel: int = 4
    """Requests that one model answers at a time."""
    keep_alive_s: float = 300.0
    """How long an idle model stays loaded."""
    load_timeout_s: float = 120.0
    """Longest wait for a model to load."""
    shutdown_timeout_s: float = 30.0
    """How long replies under way may take to end after SIGTERM."""
