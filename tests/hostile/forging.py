"""Deliveries with any bytes and any headers, truly signed or not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import time

from clerksync.testing.deliveries import WEBHOOK_SECRET, Delivery

_KEY = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
_numbers = itertools.count(1)


def sign(body: bytes, *, svix_id: str | None = None, at: int | None = None, family: str = "svix") -> Delivery:
    """A delivery of any bytes, signed as Svix would; ``at`` in seconds, now by default."""
    named = f"msg_hostile_{next(_numbers)}" if svix_id is None else svix_id
    timestamp = str(int(time.time()) if at is None else at)
    headers = {"id": named, "timestamp": timestamp, "signature": signature(body, named, timestamp)}
    return Delivery(body, {f"{family}-{name}": value for name, value in headers.items()})


def signature(body: bytes, svix_id: str, timestamp: str) -> str:
    """The signature of any bytes under any id and time."""
    digest = hmac.digest(_KEY, f"{svix_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def is_text(body: bytes) -> bool:
    """Whether it is UTF-8, which alone Svix signs."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
