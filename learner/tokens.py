"""Text → token ids and the loss mask. Needs no GPU, no torch and no transformers, so that it can be tested to the bone.

The prompt is rendered with the model's own chat template, exactly as the server renders it for generation; the loss
falls on what the model has to say after it: the reply and the token that ends its turn, nothing else. Must never cut a
row short: one that doesn't fit is left out and counted, because half a reply teaches to stop in the middle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from feedback.turns import Message
from learner.base import BaseRecord, UnsupportedBase, read_base

Reason = Literal["too-long", "control-text", "template", "empty"]
"""Why a row is left out: over the limit; a text holds one of the model's control tokens (learning from it would teach
to end or fake turns); the template refuses the conversation or changes the reply; the reply is empty."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation to learn from: the reply that ought to follow the messages."""

    row_id: str
    messages: list[Message]
    reply: str
    weight: float = 1.0
    """How much a token of this row counts against a token of another."""


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A sample in token ids. `ids[:prompt]` is the generation prompt, `ids[prompt:]` what the loss falls on."""

    row_id: str
    ids: list[int]
    prompt: int
    """Tokens of the prompt, at least 1."""
    weight: float = 1.0


class TokenRows(msgspec.Struct, kw_only=True):
    """The rows that can be learnt from, and how many could not, by reason."""

    rows: list[TokenRow] = []
    left_out: dict[str, int] = {}


class ChatTokens:
    """The tokenizer and the chat template of one base model. Immutable once made."""

    def __init__(self, tokenizer: Tokenizer, record: BaseRecord) -> None:
        """Raises UnsupportedBase where the template ends the reply with no control token: a model trained on it would
        never stop."""
        tokenizer.no_truncation()  # a tokenizer.json may carry both, and truncation would be silent
        tokenizer.no_padding()
        self._tokenizer, self._record = tokenizer, record
        self._template = _environment().from_string(record.chat_template)
        special = {number: token for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self._controls = {number: token.content for number, token in special.items()}
        self._bos = tokenizer.token_to_id(record.bos_token) if record.bos_token else None
        trial = self.encode(Sample(row_id="trial", messages=[Message(role="user", content="Hello")], reply="Hello"))
        if not isinstance(trial, TokenRow):
            raise UnsupportedBase(
                f"The base model's chat template can't be trained on ({trial}).",
                "It must end a reply with a control token of the tokenizer, and leave the reply as it is.",
            )

    @classmethod
    def load(cls, folder: Path) -> ChatTokens:
        """Of a converted base (`learner.base.prepare_base`)."""
        return cls(Tokenizer.from_file(str(folder / "tokenizer.json")), read_base(folder))

    def prompt(self, messages: Sequence[Message]) -> str:
        """The generation prompt, as the server renders it. Raises jinja2's TemplateError where the template refuses."""
        return self._render(messages, generate=True)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The generation prompt in token ids, as llama.cpp reads it: control tokens parsed, BOS where the model's file
        says so and the template has none."""
        return self._with_bos(self._ids(self.prompt(messages)))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, control tokens shown."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def encode(self, sample: Sample) -> TokenRow | Reason:
        """A sample in token ids, or why it can't be learnt from."""
        if not sample.reply.strip():
            return "empty"
        texts = [sample.reply, *(message.content for message in sample.messages)]
        if any(control in text for text in texts for control in self._controls.values()):
            return "control-text"
        try:
            prompt = self.prompt(sample.messages)
            whole = self._render([*sample.messages, Message(role="assistant", content=sample.reply)], generate=False)
        except TemplateError:
            return "template"
        tail = whole.removeprefix(prompt)
        if not whole.startswith(prompt) or not tail.startswith(sample.reply):
            return "template"
        prompt_ids, ids = self._with_bos(self._ids(prompt)), self._with_bos(self._ids(whole))
        if ids[: len(prompt_ids)] != prompt_ids:
            # The two merged across the seam ("\n" and "\n" are one token). The model never meets that: it writes after
            # a prompt whose tokens stand. So the prompt's tokens win, and the reply is encoded by itself.
            ids = prompt_ids + self._ids(tail)
        start = len(prompt_ids)
        end = next((index for index in range(start, len(ids)) if ids[index] in self._controls), None)
        if end is None or start == 0:
            return "template"
        return TokenRow(row_id=sample.row_id, ids=ids[: end + 1], prompt=start, weight=sample.weight)

    def encode_all(self, samples: Iterable[Sample], max_tokens: int) -> TokenRows:
        """Every sample in order; those longer than `max_tokens` in all, or unfit, left out and counted."""
        found = TokenRows()
        for sample in samples:
            row = self.encode(sample)
            if isinstance(row, TokenRow) and len(row.ids) > max_tokens:
                row = "too-long"
            if isinstance(row, TokenRow):
                found.rows.append(row)
            else:
                found.left_out[row] = found.left_out.get(row, 0) + 1
        return found

    def _render(self, messages: Sequence[Message], generate: bool) -> str:
        return self._template.render(
            messages=[{"role": message.role, "content": message.content} for message in messages],
            add_generation_prompt=generate,
            bos_token=self._record.bos_token,
            eos_token=self._record.eos_token,
        )

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _with_bos(self, ids: list[int]) -> list[int]:
        if self._record.adds_bos and self._bos is not None and ids[:1] != [self._bos]:
            return [self._bos, *ids]
        return ids


def _environment() -> ImmutableSandboxedEnvironment:
    """Jinja as chat templates expect it. Templates come with models: sandboxed. No clock: a template that prints the
    date falls back to its fixed one, or the same row would have other tokens after a resume past midnight."""

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = tojson
    return environment
