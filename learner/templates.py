"""How a conversation becomes a prompt where it is served: Ollama's Go template, the system prompt and the stop strings.

A GGUF carries the template that its model was trained with, in Jinja; Ollama wants its own dialect, guesses it by edit
distance where it isn't sent, and then loses the default system prompt. So it is found here, by behaviour, not by the
text: the Jinja template renders a few probe conversations, and a family fits if it renders all of them alike. What
must never happen: that a model is served with a prompt that differs from the one it was trained on. So an unknown
template is an error, and `render` is what deploy compares the upstream's own rendering with.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from feedback.errors import InvalidInput
from learner.settings import LearnerSettings

Messages = Sequence[dict[str, str]]

MEND = "Set learner.chat_template (in Ollama's Go dialect), learner.chat_system and learner.chat_stops yourself."


class UnknownTemplate(InvalidInput):
    code = "unknown-template"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent to the upstream beside the weights."""

    family: str
    template: str
    """In Ollama's Go dialect."""
    system: str
    """The model's default system prompt; used where a conversation brings none of its own."""
    parameters: dict[str, Any]


class ModelTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """The template inside a GGUF, and the special token that it may name."""

    jinja: str
    eos: str


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A template that writes every message alike: `before` role `between` content `after`, and `reply` at the end."""

    name: str
    before: str
    between: str
    after: str
    reply: str
    stops: list[str]

    def message(self, role: str, content: str) -> str:
        return f"{self.before}{role}{self.between}{content}{self.after}"

    def prompt(self, messages: Messages, system: str) -> str:
        """The prompt, as the Go template makes it: the default system prompt first unless the conversation has one."""
        if system and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": system}, *messages]
        return "".join(self.message(one["role"], one["content"]) for one in messages) + self.reply

    @property
    def go(self) -> str:
        line = f"{self.before}{{{{ .Role }}}}{self.between}{{{{ .Content }}}}{self.after}"
        return f"{{{{- range .Messages }}}}{line}{{{{ end }}}}{self.reply}"


FAMILIES = (
    Family(
        name="chatml", before="<|im_start|>", between="\n", after="<|im_end|>\n", reply="<|im_start|>assistant\n",
        stops=["<|im_end|>", "<|im_start|>"],
    ),
    Family(
        name="llama3", before="<|start_header_id|>", between="<|end_header_id|>\n\n", after="<|eot_id|>",
        reply="<|start_header_id|>assistant<|end_header_id|>\n\n", stops=["<|eot_id|>", "<|start_header_id|>"],
    ),
    Family(
        name="phi3", before="<|", between="|>\n", after="<|end|>\n", reply="<|assistant|>\n",
        stops=["<|end|>", "<|user|>", "<|assistant|>"],
    ),
    Family(
        name="zephyr", before="<|", between="|>\n", after="</s>\n", reply="<|assistant|>\n",
        stops=["</s>", "<|user|>", "<|assistant|>"],
    ),
)  # fmt: skip

PROBES: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "Where is it?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "它在哪里？"}],
    [
        {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello. How can I help?"},
        {"role": "user", "content": "Where is it?"},
    ],
    [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Where?\nAnd when?"},
    ],
)  # fmt: skip


def served_for(gguf: Path, settings: LearnerSettings) -> Served:
    """What to send beside this GGUF: what the settings say, else what its own template shows.

    Raises UnknownTemplate where neither tells.
    """
    if settings.chat_template:
        stops = {"stop": list(settings.chat_stops)} if settings.chat_stops else {}
        found = Served(
            family="settings", template=settings.chat_template, system=settings.chat_system, parameters=stops
        )
    else:
        found = recognise(read_template(gguf))
    return msgspec.structs.replace(found, parameters={**found.parameters, "repeat_penalty": settings.repeat_penalty})


def recognise(model: ModelTemplate) -> Served:
    """The family and default system prompt that render the probes as the model's own template does.

    Raises UnknownTemplate.
    """
    wanted = [render(model, probe) for probe in PROBES]
    for family in FAMILIES:
        system = _default_system(family, wanted[0])
        if system is not None and all(
            family.prompt(probe, system) == prompt for probe, prompt in zip(PROBES, wanted, strict=True)
        ):
            return Served(
                family=family.name, template=family.go, system=system, parameters={"stop": list(family.stops)}
            )
    raise UnknownTemplate("The model's chat template is of no known family.", MEND)


def _default_system(family: Family, prompt: str) -> str | None:
    """The system prompt that stands before the first probe's message: none is "", no fit is None."""
    plain = family.prompt(PROBES[0], "")
    if prompt == plain:
        return ""
    head, tail = family.message("system", "\0").split("\0")
    if prompt.startswith(head) and prompt.endswith(tail + plain):
        return prompt[len(head) : -len(tail + plain)]
    return None


def render(model: ModelTemplate, messages: Messages) -> str:
    """The prompt that the model's own Jinja template makes, with nothing for BOS: the server adds that token itself.

    Raises UnknownTemplate where the template refuses or breaks on the conversation.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # As transformers renders chat templates; sandboxed, for the template comes from a file that somebody made.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    try:
        return environment.from_string(model.jinja).render(
            messages=list(messages), add_generation_prompt=True, bos_token="", eos_token=model.eos
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise UnknownTemplate(f"The model's chat template can't be rendered: {error}.", MEND) from error


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def read_template(gguf: Path) -> ModelTemplate:
    """The chat template inside a GGUF; seconds the first time. Raises UnknownTemplate where it has none."""
    return _read_template(gguf, gguf.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read_template(gguf: Path, mtime_ns: int) -> ModelTemplate:
    from gguf import GGUFReader

    reader = GGUFReader(str(gguf))

    jinja = reader.get_field("tokenizer.chat_template")
    if jinja is None:
        raise UnknownTemplate(f"{gguf.name} holds no chat template.", MEND)
    at = reader.get_field("tokenizer.ggml.eos_token_id")
    tokens = reader.get_field("tokenizer.ggml.tokens")
    eos = "" if at is None or tokens is None else str(tokens.contents(int(at.contents())))
    return ModelTemplate(jinja=str(jinja.contents()), eos=eos)
