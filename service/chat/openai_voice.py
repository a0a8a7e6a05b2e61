"""Answers in OpenAI's dialect: JSON or server-sent events. A whole one and a finishing chunk carry the turn's id."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from service.chat.asked import Asked, Ended, Piece
from service.errors import Failure

FINISH = {"stop": "stop", "length": "length", "content_filter": "content_filter"}
"""Ollama's done reason → OpenAI's finish reason; anything else is a stop."""


class OpenAIVoice:
    """A chat's."""

    stream_type = "text/event-stream; charset=utf-8"
    id_prefix = "chatcmpl-"
    whole_object = "chat.completion"
    piece_object = "chat.completion.chunk"

    def __init__(self, asked: Asked, turn_id: str, model_tag: str) -> None:
        self._usage_wanted = asked.usage_wanted
        self._logprobs = asked.logprobs
        self._begun = False
        self._calls = 0
        """Tool calls that were told so far."""
        self._turn_id = turn_id
        self._head = {
            "id": self.id_prefix + turn_id.removeprefix("turn-"),
            "created": int(time.time()),
            "model": asked.model,
            "system_fingerprint": model_tag,
        }

    def piece(self, piece: Piece) -> bytes:
        return self._event([self._piece(piece)])

    def last(self, ended: Ended) -> bytes:
        turn = {"turn_id": ended.turn_id} if ended.turn_id else {}
        events = self._event([self._finish(ended)], **turn)
        if self._usage_wanted:
            events += self._event([], usage=_usage(ended))
        return events + b"data: [DONE]\n\n"

    def whole(self, said: Piece, ended: Ended) -> bytes:
        turn = {"turn_id": ended.turn_id} if ended.turn_id else {}
        choice = self._choice(said, ended)
        return msgspec.json.encode(
            {**self._head, "object": self.whole_object, "choices": [choice], "usage": _usage(ended), **turn}
        )

    def broken(self, failure: Failure) -> bytes:
        return b"data: " + msgspec.json.encode(failure.body("openai")) + b"\n\n"

    def _piece(self, piece: Piece) -> dict[str, Any]:
        delta: dict[str, Any] = {} if self._begun else {"role": "assistant"}
        self._begun = True
        if piece.text or not piece.tool_calls:
            delta["content"] = piece.text
        delta |= self._rest(piece, streamed=True)
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return {**choice, "logprobs": {"content": piece.logprobs}} if piece.logprobs else choice

    def _finish(self, ended: Ended) -> dict[str, Any]:
        return {"index": 0, "delta": {}, "finish_reason": self._reason(ended)}

    def _choice(self, said: Piece, ended: Ended) -> dict[str, Any]:
        content = said.text or (None if said.tool_calls else "")
        message = {"role": "assistant", "content": content, **self._rest(said, streamed=False)}
        choice = {"index": 0, "message": message, "finish_reason": self._reason(ended)}
        return {**choice, "logprobs": {"content": said.logprobs}} if self._logprobs else choice

    def _rest(self, piece: Piece, *, streamed: bool) -> dict[str, Any]:
        """What a message has beside its text."""
        found: dict[str, Any] = {"reasoning": piece.thinking} if piece.thinking else {}
        if piece.tool_calls:
            calls = [self._call(call) for call in piece.tool_calls]
            if not streamed:
                for call in calls:
                    del call["index"]
            found["tool_calls"] = calls
        return found

    def _call(self, given: Any) -> dict[str, Any]:
        """A call in OpenAI's shape: arguments as JSON text, an id of its own where the upstream gave none."""
        index = self._calls
        self._calls += 1
        given = given if isinstance(given, dict) else {}
        function = given.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments", {})
        text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
        call_id = given.get("id") or f"call_{self._turn_id.removeprefix('turn-')}_{index}"
        return {
            "index": index,
            "id": call_id,
            "type": "function",
            "function": {"name": function.get("name", ""), "arguments": text},
        }

    def _reason(self, ended: Ended) -> str:
        reason = FINISH.get(ended.done_reason, "stop")
        return "tool_calls" if reason == "stop" and self._calls else reason

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**self._head, "object": self.piece_object, "choices": choices, **more}
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


class CompletionVoice(OpenAIVoice):
    """A completion's: a text where a chat has a message."""

    id_prefix = "cmpl-"
    whole_object = piece_object = "text_completion"

    def __init__(self, asked: Asked, turn_id: str, model_tag: str) -> None:
        super().__init__(asked, turn_id, model_tag)
        self._at = 0
        """Characters of the text whose tokens were told."""

    def _piece(self, piece: Piece) -> dict[str, Any]:
        return {"index": 0, "text": piece.text, "logprobs": self._legacy(piece), "finish_reason": None}

    def _finish(self, ended: Ended) -> dict[str, Any]:
        return {"index": 0, "text": "", "logprobs": None, "finish_reason": self._reason(ended)}

    def _choice(self, said: Piece, ended: Ended) -> dict[str, Any]:
        reason = self._reason(ended)
        return {"index": 0, "text": said.text, "logprobs": self._legacy(said), "finish_reason": reason}

    def _legacy(self, piece: Piece) -> dict[str, Any] | None:
        """Logprobs as completions have them: one list for each of their parts."""
        if not self._logprobs:
            return None
        offsets: list[int] = []
        for one in piece.logprobs:
            offsets.append(self._at)
            self._at += len(one["token"])
        return {
            "tokens": [one["token"] for one in piece.logprobs],
            "token_logprobs": [one["logprob"] for one in piece.logprobs],
            "top_logprobs": [
                {other["token"]: other["logprob"] for other in one.get("top_logprobs", ())} for one in piece.logprobs
            ],
            "text_offset": offsets,
        }


def _usage(ended: Ended) -> dict[str, int]:
    prompt, reply = ended.prompt_tokens or 0, ended.reply_tokens or 0
    return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}
