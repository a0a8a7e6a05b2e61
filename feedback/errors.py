"""Every error that a person can meet, as one small tree.

    RatchetError
    ├── InvalidInput              the caller's data is wrong: mend it and send it again
    │   ├── MalformedBody         not JSON, or not the shape that the route takes
    │   ├── InvalidRating         stars 9, neither verdict nor stars, …
    │   ├── InvalidAnnotation     a grade out of range, an unknown tier, …
    │   ├── InvalidWords          a word list that can't be read: file, line, reason
    │   ├── BlockedText           a correction with a word that blocks: it would be learnt from
    │   ├── InvalidSettings       file, key and nearest valid key
    │   ├── Unsupported           right in shape, but not something that can be done: n > 1, an image by URL
    │   ├── MethodNotAllowed      the path is right, the method is not
    │   └── BodyTooLarge          over `gateway.body_limit_bytes`
    ├── NotFound
    │   ├── UnknownAlias          no such name to chat with
    │   ├── UnknownTurn
    │   ├── UnknownVersion
    │   ├── UnknownSnapshot
    │   ├── UnknownTokenizer
    │   ├── UnknownCycle
    │   ├── UnknownRequest
    │   ├── UnknownRoute
    │   └── BaseModelMissing      the package that carries the default base model
    ├── Conflict                  right in itself, but not now
    │   ├── StoreLocked           another process owns the database file
    │   ├── CycleRunning          one cycle at a time
    │   ├── NothingToLearn        the pool is too small for a snapshot that means anything
    │   └── SnapshotCorrupt       a frozen file no longer has the hash that its manifest gives
    ├── Unauthorized              no key, or one that holds no longer
    ├── Forbidden                 may not be done here, or not with this key
    ├── Unavailable               not the caller's fault: try again
    │   ├── UpstreamDown          no Ollama and no engine answers
    │   ├── UpstreamBroke         a reply was cut before its end
    │   ├── UpstreamRefused       the upstream answered with an error of its own
    │   ├── Overloaded            every host of the upstream is busy and enough requests wait already
    │   ├── RateLimited           this key's requests or tokens of the minute are used up
    │   ├── StoreUnavailable      a write could not be made durable
    │   ├── StoreBusy             the writer's queue is full
    │   └── EngineMissing         the optional package that runs models here
    └── CycleFailed               a step of a cycle could not be done; the journal says which and why

Each class has a kebab-case `code`; each instance a sentence and a mend. `service.errors` turns them into HTTP in one
table. Nothing here may carry a person's text or a secret: messages go to logs.
"""

from __future__ import annotations


class RatchetError(Exception):
    """An error with a stable code, one sentence saying what is wrong, and one saying how to mend it."""

    code = "ratchet-error"

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message} {self.mend}".strip()


class InvalidInput(RatchetError):
    code = "invalid-input"


class MalformedBody(InvalidInput):
    code = "malformed-body"


class InvalidRating(InvalidInput):
    code = "invalid-rating"


class InvalidAnnotation(InvalidInput):
    code = "invalid-annotation"


class InvalidWords(InvalidInput):
    code = "invalid-words"


class BlockedText(InvalidInput):
    code = "blocked-text"


class InvalidSettings(InvalidInput):
    code = "invalid-settings"


class Unsupported(InvalidInput):
    code = "unsupported"


class IdempotencyMismatch(InvalidInput):
    code = "idempotency-mismatch"


class MethodNotAllowed(InvalidInput):
    code = "method-not-allowed"


class BodyTooLarge(InvalidInput):
    code = "body-too-large"


class NotFound(RatchetError):
    code = "not-found"


class UnknownAlias(NotFound):
    code = "unknown-alias"


class UnknownTurn(NotFound):
    code = "unknown-turn"


class UnknownVersion(NotFound):
    code = "unknown-version"


class UnknownSnapshot(NotFound):
    code = "unknown-snapshot"


class UnknownTokenizer(NotFound):
    code = "unknown-tokenizer"


class UnknownCycle(NotFound):
    code = "unknown-cycle"


class UnknownRequest(NotFound):
    code = "unknown-request"


class UnknownRoute(NotFound):
    code = "unknown-route"


class BaseModelMissing(NotFound):
    code = "base-model-missing"


class Conflict(RatchetError):
    code = "conflict"


class StoreLocked(Conflict):
    code = "store-locked"


class CycleRunning(Conflict):
    code = "cycle-running"


class NothingToLearn(Conflict):
    code = "nothing-to-learn"


class SnapshotCorrupt(Conflict):
    code = "snapshot-corrupt"


class Unauthorized(RatchetError):
    code = "unauthorized"


class IdempotencyBusy(Conflict):
    code = "idempotency-busy"


class Forbidden(RatchetError):
    code = "forbidden"


class Unavailable(RatchetError):
    code = "unavailable"


class UpstreamDown(Unavailable):
    code = "upstream-down"


class UpstreamBroke(Unavailable):
    code = "upstream-broke"


class UpstreamRefused(Unavailable):
    """The upstream answered with an error of its own; `status` is its HTTP status, kept for the client."""

    code = "upstream-refused"

    def __init__(self, message: str, mend: str = "", *, status: int = 502) -> None:
        super().__init__(message, mend)
        self.status = status


class Overloaded(Unavailable):
    code = "overloaded"


class RateLimited(Unavailable):
    """`retry_after_s`: when asking again may help, in whole seconds."""

    code = "rate-limited"

    def __init__(self, message: str, mend: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(message, mend)
        self.retry_after_s = retry_after_s


class StoreUnavailable(Unavailable):
    code = "store-unavailable"


class StoreBusy(Unavailable):
    code = "store-busy"


class EngineMissing(Unavailable):
    code = "engine-missing"


class CycleFailed(RatchetError):
    code = "cycle-failed"
