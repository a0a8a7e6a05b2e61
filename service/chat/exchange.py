"""One prompt and its reply, from what was asked to the turn that is stored: all decisions, no waiting.

Holds what a turn needs while the reply comes in, filters both ways, and makes the turn at its end. `delivery` does the
asking, the sending and the storing. Must never let text out that the filter has not let through.
"""

from __future__ import annotations

import time

import msgspec

from feedback.mint import new_id, now
from feedback.turns import FilterHit, Message, Status, Turn, conversation_of
from service.aliases import Target
from service.chat.asked import Asked, Ended, Piece
from service.chat.fields import Fields, named
from service.chat.logprobs import Logprobs
from service.chat.refusals import refusal
from service.chat.uncertainty import Uncertainty
from service.upstream.reply import MANY, Chunk, joined
from service.words.filter import StreamFilter, WordFilter
from service.words.rules import Direction

BLOCKED = "content_filter"
"""The done reason of a blocked reply, in both dialects."""
NO_TEXT = frozenset({
    "options", "think", "keep_alive", "images", "context", "raw", "truncate", "shift", "logprobs", "top_logprobs",
})  # fmt: skip
"""What of a request, beside its messages, carries no text to the model; whatever else there is goes through the filter,
also what only the upstream knows."""
TEXTS = frozenset({"tools", "format", "suffix", "template"})
"""Of the others those that a hit may name; any further name may be somebody's text."""
HITS_LIMIT = 1000
"""Hits that a turn keeps; a megabyte of one short word has more, and all of them are counted."""
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


class Exchange:
    """One exchange. Feed it the upstream's chunks by `hear`; `turn` is what to store."""

    def __init__(
        self,
        asked: Asked,
        target: Target,
        words: WordFilter,
        *,
        keep_texts: bool = False,
        recorded: bool = True,
        measured: bool = False,
    ) -> None:
        """`words` serves this exchange to its end, whatever is loaded meanwhile. `keep_texts`: see `Fields`.
        `measured`: the upstream is asked for log probabilities, whoever else wants them."""
        self.asked = asked
        self.recorded = recorded
        """Whether it becomes a turn; if not, its answer names none. See `service.recording`."""
        self.turn_id = new_id("turn")
        self.alias_name = target.name
        self.ended = False
        """Nothing more will be said: the upstream's last chunk was heard, or the filter blocked."""
        self._input = Fields(words, "in", keep_texts=keep_texts)
        self._output = Fields(words, "out", keep_texts=keep_texts)
        self._text = words.stream("out")
        self._words = words
        self._thinking: StreamFilter | None = None
        """Made once there is some."""
        self._logprobs = Logprobs(words) if asked.logprobs else None
        self._uncertainty = Uncertainty()
        self._measured = measured
        self._keep_texts = keep_texts
        generates = asked.route == "generate"
        self._heard: dict[str, list[str]] | None = {"reply": [], "thinking": []} if keep_texts or generates else None
        self._created_at = now()
        self._began = time.perf_counter()
        self._first_token_ms: float | None = None
        self._said = Piece(tool_calls=[], logprobs=[])
        self._last = Chunk()
        self._messages = [
            self._input.message(message, f"messages[{number}]") for number, message in enumerate(asked.messages)
        ]
        self._upstream = {
            key: value if key in NO_TEXT else self._input.value(value, key if key in TEXTS else "*")
            for key, value in asked.upstream.items()
        }
        self.blocked = self._input.blocked
        """Nothing of the upstream may be shown: the prompt or the reply has a word that blocks."""
        self.attachments: list[str] = []
        """Hashes of the prompt's images, once they are on disk."""
        stored = [Message(role=message["role"], content=message["content"]) for message in self._messages]
        self._stored_messages = stored
        self.conversation_id = conversation_of(stored, asked.conversation_id)
        self.served = target.served(self.conversation_id)

    @property
    def said(self) -> Piece:
        """Everything that was shown so far."""
        return self._said

    def upstream_body(self) -> bytes:
        """The request for the upstream: the version's own tag, filtered messages, always streamed."""
        body = {**self._upstream, "model": self.served.tag, "stream": True}
        if self._measured:
            body["logprobs"] = True
        if self.asked.route == "chat":
            body["messages"] = self._messages
        else:
            body |= {"prompt": self._messages[-1]["content"]}
            if len(self._messages) > 1:
                body["system"] = self._messages[0]["content"]
        return msgspec.json.encode(body)

    def refuse(self) -> Piece:
        """The reply to a prompt that the filter blocks: the upstream is not asked."""
        self.ended = True
        return self._keep(Piece(text=refusal(self._prompt, began=False)))

    def hear(self, chunks: list[Chunk]) -> Piece:
        """Take chunks off the upstream; return what may be shown of them now."""
        if self._first_token_ms is None:
            self._first_token_ms = self._elapsed_ms()
        piece = Piece(tool_calls=[], logprobs=[])
        for chunk in chunks if len(chunks) < MANY else joined(chunks):
            message = chunk.message
            text, thinking = message.content or chunk.response, message.thinking or chunk.thinking
            if self._heard is not None:
                self._heard["reply"].append(text)
                self._heard["thinking"].append(thinking)
            if thinking:
                piece.thinking += self._thoughts().feed(thinking)
            if text:
                piece.text += self._text.feed(text)
            if called := message.tool_calls or chunk.tool_calls:
                piece.tool_calls.extend(self._output.value(called, "tool_calls"))
            if chunk.logprobs and not thinking and not called:
                self._uncertainty.hear(chunk.logprobs)
                if self._logprobs is not None:
                    self._logprobs.hear(chunk.logprobs)
            if self._text.blocked or self._output.blocked or (self._thinking is not None and self._thinking.blocked):
                self.blocked = True
            if self.blocked or chunk.done:
                self._end(piece, chunk)
                break
        return self._keep(piece)

    def break_off(self) -> Piece:
        """The upstream broke: what was held back of its words, which nothing can go on from now."""
        piece = Piece(thinking=self._thinking.end() if self._thinking else "", text=self._text.end())
        self.blocked = self.blocked or self._text.blocked or self._thinks_blocked
        return self._keep(piece)

    def hits(self, direction: Direction) -> list[FilterHit]:
        """What hit so far on the way in, or on the way out."""
        if direction == "in":
            return self._input.hits
        thoughts = named(self._thinking.hits, "thinking") if self._thinking else []
        return [*named(self._text.hits, "reply"), *thoughts, *self._output.hits]

    @property
    def hit(self) -> bool:
        """Whether anything hit on the way out."""
        return bool(self._text.hit or self._output.hits or (self._thinking and self._thinking.hit))

    def hit_texts(self, direction: Direction) -> dict[str, str]:
        """The original of each field that hit; empty unless `keep_texts`."""
        if direction == "in":
            return self._input.texts
        heard = self._heard if self._keep_texts and self._heard is not None else {}
        return {**{field: "".join(chunks) for field, chunks in heard.items()}, **self._output.texts}

    @property
    def status(self) -> Status:
        """What the turn is, once it has ended."""
        return "blocked" if self.blocked else ("raw" if self.asked.raw else "whole")

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
            filter_hits=[*self.hits("in"), *(self.hits("out") if self.hit else ())][:HITS_LIMIT],
            prompt_tokens=self._last.prompt_eval_count,
            reply_tokens=self._last.eval_count,
            first_token_ms=self._first_token_ms,
            total_ms=self._elapsed_ms(),
            uncertainty=None if self.blocked else self._uncertainty.mean,
            options=self.asked.options,
            attachments=self.attachments,
            subject=self.asked.subject,
        )

    def end(self) -> Ended:
        """How it ended, for the last chunk."""
        found = {name: getattr(self._last, name) for name in DURATIONS}
        return Ended(
            turn_id=self.turn_id if self.recorded else "",
            model_tag=self.served.tag,
            done_reason=self._done_reason,
            prompt_tokens=self._last.prompt_eval_count,
            reply_tokens=self._last.eval_count,
            durations={name: value for name, value in found.items() if value is not None},
            context=self._context,
        )

    @property
    def _done_reason(self) -> str:
        return BLOCKED if self.blocked else (self._last.done_reason or "stop")

    @property
    def _context(self) -> list[int] | None:
        """A generation's tokens, unless they would spell out what was hidden."""
        if self._last.context is None or self._heard is None or self.blocked:
            return None
        as_shown = {"reply": self._said.text, "thinking": self._said.thinking}
        shown = all("".join(self._heard[field]) == text for field, text in as_shown.items())
        return self._last.context if shown else None

    @property
    def _prompt(self) -> str:
        return next((m["content"] for m in reversed(self.asked.messages) if m["role"] == "user"), "")

    def _thoughts(self) -> StreamFilter:
        if self._thinking is None:
            self._thinking = self._words.stream("out")
        return self._thinking

    @property
    def _thinks_blocked(self) -> bool:
        return self._thinking is not None and self._thinking.blocked

    def _end(self, piece: Piece, chunk: Chunk) -> None:
        self.ended = True
        if not self.blocked:
            self._last = chunk
            piece.thinking += self._thinking.end() if self._thinking else ""
            piece.text += self._text.end()
            self.blocked = self._text.blocked or self._thinks_blocked  # a whole word may need the end to be one
        if self.blocked:
            piece.tool_calls = []
            piece.text += refusal(self._prompt, began=bool(self._said.text or piece.text))

    def _keep(self, piece: Piece) -> Piece:
        if self._logprobs is not None and not self.blocked:
            piece.logprobs = self._logprobs.show(piece.text)
            self._said.logprobs.extend(piece.logprobs)
        self._said.text += piece.text
        self._said.thinking += piece.thinking
        self._said.tool_calls.extend(piece.tool_calls)
        return piece

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000
