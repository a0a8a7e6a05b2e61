"""What a key looks like, and what is kept of it: `rk_<32 hex digits: its id>_<48 hex digits: its secret>`.

The id finds the key at once; the secret (192 random bits) is compared by its salted scrypt hash, which takes tens of
milliseconds and 16 MiB and so must never run on the event loop. Must never be logged, nor put into an error.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

PREFIX = "rk"
SECRET_BYTES = 24
SALT_BYTES = 16
COST, BLOCK, LANES = 2**14, 8, 1
"""scrypt's n, r, p: 16 MiB."""
MEMORY_LIMIT_BYTES = 64 * 1024 * 1024
LONGEST = 256
"""Characters of a token; nothing longer is looked at."""


def new_token(key_id: str) -> str:
    """The token of a new key. `key_id` is a minted id, `key-<32 hex digits>`."""
    return f"{PREFIX}_{key_id.removeprefix('key-')}_{secrets.token_hex(SECRET_BYTES)}"


def parse(token: bytes) -> tuple[str, bytes] | None:
    """The key's id and the secret that a token claims; none where it is no token of ours."""
    parts = token.split(b"_") if len(token) <= LONGEST else []
    if len(parts) != 3 or parts[0] != PREFIX.encode() or not parts[2] or not parts[1].isalnum():
        return None
    return f"key-{parts[1].decode()}", parts[2]


def hash_secret(secret: bytes) -> str:
    """What is stored of a secret: the parameters, a fresh salt and the hash. Takes tens of milliseconds."""
    salt = secrets.token_bytes(SALT_BYTES)
    return f"scrypt${COST}${BLOCK}${LANES}${salt.hex()}${_scrypt(secret, salt, COST, BLOCK, LANES).hex()}"


def matches(secret: bytes, stored: str) -> bool:
    """Whether this is the secret that was hashed, in a time that does not depend on how near it is."""
    kind, cost, block, lanes, salt, wanted = stored.split("$")
    if kind != "scrypt":
        return False
    found = _scrypt(secret, bytes.fromhex(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(found, bytes.fromhex(wanted))


def _scrypt(secret: bytes, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(secret, salt=salt, n=cost, r=block, p=lanes, maxmem=MEMORY_LIMIT_BYTES, dklen=32)
