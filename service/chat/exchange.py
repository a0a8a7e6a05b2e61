"""One prompt and its reply, from what was asked to the turn that is stored: all decisions, no waiting.

Holds what a turn needs while the reply comes in, filters both ways, and makes the turn at its end. `delivery` does the
asking, the sending and the storing. Must never let text out that the filter has not let through.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from feedback.mint import new_id, now
from feedback.turns import FilterHit, Message, Status, Turn, conversation_of
from learner.alias import Alias
from service.aliases import route
from service.chat.asked import Asked, Ended, Piece
from service.chat.refusals import refusal
from service.upstream import Chunk
from service.words.filter import Hit, WordFilter

BLOCKED = "content_filter"
"""The done reason of a blocked reply, in both dialects."""
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


class Exchange:
    """One exchange. Feed it the upstream's chunks by `hear`; `turn` is what to store."""

    def __init__(self, asked: Asked, alias_name: str, alias: Alias, words: WordFilter) -> None:
        self.asked = asked
        self.turn_id = new_id("turn")
        self.alias_name = alias_name
        self.ended = False
        """Nothing more will be said: the upstream's last chunk was heard, or the filter blocked."""
        self.blocked = False
        self._words = words
        self._created_at = now()
        self._began = time.perf_counter()
        self._first_token_ms: float | None = None
        self._hits: list[FilterHit] = []
        self._said = Piece(tool_calls=[])
        self._last = Chunk()
        self._messages = self._filter_input(asked.messages)
        stored = [Message(role=message["role"], content=message["content"]) for message in self._messages]
        self._stored_messages = stored
        self.conversation_id = conversation_of(stored, asked.conversation_id)
        self.served = route(alias, self.conversation_id)
        self._text = words.stream("out")
        self._thinking = words.stream("out")

    @property
    def said(self) -> Piece:
        """Everything that was shown so far."""
        return self._said

    def upstream_body(self) -> bytes:
        """The request for the upstream: the version's own tag, filtered messages, always streamed."""
        body = {**self.asked.upstream, "model": self.served.tag, "messages": self._messages, "stream": True}
        return msgspec.json.encode(body)

    def refuse(self) -> Piece:
        """The reply to a prompt that the filter blocks: the upstream is not asked."""
        self.ended = True
        return self._keep(Piece(text=refusal(self._prompt, began=False)))

    def hear(self, chunks: list[Chunk]) -> Piece:
        """Take chunks off the upstream; return what may be shown of them now."""
        if self._first_token_ms is None:
            self._first_token_ms = self._elapsed_ms()
        piece = Piece(tool_calls=[])
        for chunk in chunks:
            message = chunk.message
            if message.thinking:
                piece.thinking += self._thinking.feed(message.thinking)
            if message.content:
                piece.text += self._text.feed(message.content)
            if message.tool_calls:
                piece.tool_calls.extend(self._filter_values(message.tool_calls, "tool_calls"))
            self.blocked = self.blocked or self._text.blocked or self._thinking.blocked
            if self.blocked or chunk.done:
                self._end(piece, chunk)
                break
        return self._keep(piece)

    def turn(self, status: Status) -> Turn:
        """The turn as it now stands."""
        return Turn(
            turn_id=self.turn_id,
            conversation_id=self.conversation_id,
            created_at=self._created_at,
            alias=self.alias_name,
            version=self.served.version,
            model_tag=self.served.tag,
            dialect=self.asked.dialect,
            messages=self._stored_messages,
            reply=self._said.text,
            status=status,
            done_reason=self._done_reason if self.ended else "",
            filter_hits=[*self._hits, *_named(self._text.hits, "reply"), *_named(self._thinking.hits, "thinking")],
            prompt_tokens=self._last.prompt_eval_count,
            reply_tokens=self._last.eval_count,
            first_token_ms=self._first_token_ms,
            total_ms=self._elapsed_ms(),
            options=self.asked.options,
            subject=self.asked.subject,
        )

    def end(self) -> Ended:
        """How it ended, for the last chunk."""
        found = {name: getattr(self._last, name) for name in DURATIONS}
        return Ended(
            turn_id=self.turn_id,
            model_tag=self.served.tag,
            done_reason=self._done_reason,
            prompt_tokens=self._last.prompt_eval_count,
            reply_tokens=self._last.eval_count,
            durations={name: value for name, value in found.items() if value is not None},
        )

    @property
    def _done_reason(self) -> str:
        return BLOCKED if self.blocked else (self._last.done_reason or "stop")

    @property
    def _prompt(self) -> str:
        return next((m["content"] for m in reversed(self.asked.messages) if m["role"] == "user"), "")

    def _filter_input(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not self._words.rules:
            return messages
        filtered = []
        for number, message in enumerate(messages):
            checked = self._words.check(message["content"], "in")
            self._hits.extend(_named(checked.hits, f"messages[{number}].content"))
            self.blocked = self.blocked or checked.blocked
            filtered.append({**message, "content": checked.text})
        return filtered

    def _filter_values(self, value: Any, field: str) -> Any:
        """Every string inside a JSON value, filtered whole: tool calls come in one piece."""
        if not self._words.rules:
            return value
        if isinstance(value, str):
            checked = self._words.check(value, "out")
            self._hits.extend(_named(checked.hits, field))
            self.blocked = self.blocked or checked.blocked
            return checked.text
        if isinstance(value, list):
            return [self._filter_values(item, f"{field}[{number}]") for number, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self._filter_values(item, f"{field}.{key}") for key, item in value.items()}
        return value

    def _end(self, piece: Piece, chunk: Chunk) -> None:
        self.ended = True
        if not self.blocked:
            self._last = chunk
            piece.thinking += self._thinking.end()
            piece.text += self._text.end()
            return
        piece.tool_calls = []
        piece.text += refusal(self._prompt, began=bool(self._said.text or piece.text))

    def _keep(self, piece: Piece) -> Piece:
        self._said.text += piece.text
        self._said.thinking += piece.thinking
        self._said.tool_calls.extend(piece.tool_calls)
        return piece

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000


def _named(hits: list[Hit], field: str) -> Iterator[FilterHit]:
    """Hits as a turn keeps them: with the field that the text stood in."""
    for hit in hits:
        yield FilterHit(
            rule=hit.rule, category=hit.category, action=hit.action, direction=hit.direction,
            field=field, start=hit.start, end=hit.end,
        )  # fmt: skip
