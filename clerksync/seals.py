"""Seals tell a user whom a list shows just as the table holds them, without reading more than three keys: pure.

A row's seal covers the bytes that it was made of, the settings that shaped it, its digest and its watched
columns. Made again of the bytes that are listed now and of what the row holds now, it fits only if nothing of
that has changed; whatever does not fit is read in full, and judged by the apply rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

import msgspec

from clerksync.fields import MAX_MS
from clerksync.wire import MAX_ID, decode_array

#: Parts that are read here, and must be read alike everywhere.
KEYS = frozenset({"id", "created_at", "updated_at"})


_Time = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]


class _Keys(msgspec.Struct, gc=False):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
    created_at: _Time
    updated_at: _Time


_decode_keys = msgspec.json.Decoder(list[_Keys]).decode


class Head(msgspec.Struct, frozen=True, gc=False):
    """What is read of a listed user at first; ``hashed`` stands for all of the bytes."""

    clerk_id: str
    created_ms: int
    updated_ms: int
    observed_ms: int
    raw: msgspec.Raw
    hashed: str


def read_heads(body: bytes, *, observed_ms: int | None) -> list[Head] | None:
    """The heads of a page of a list; None if anything about it is odd, so that it is to be read in full."""
    try:
        keys, raws = _decode_keys(body), decode_array(body)
    except (msgspec.MsgspecError, RecursionError):
        return None
    ids = "".join([key.id for key in keys])
    if not (ids.isascii() and ids.isprintable()):
        return None
    return [
        Head(
            key.id,
            key.created_at,
            key.updated_at,
            key.updated_at if observed_ms is None else observed_ms,
            raw,
            hash_bytes(raw),
        )
        for key, raw in zip(keys, raws, strict=True)
    ]


def hash_bytes(raw: bytes | msgspec.Raw) -> str:
    """A hash of a user's JSON; where the processor helps, SHA-256 takes half of BLAKE2's time."""
    return hashlib.sha256(raw).hexdigest()


def seal(hashed: str, *, digest: str, watched: Sequence[str | None]) -> str:
    """The seal of a row with these columns, made of these bytes; the digest tells the settings."""
    return hashlib.sha256(msgspec.json.encode((hashed, digest, watched))).hexdigest()[:32]
