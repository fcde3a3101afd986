"""What a publishable key tells: the host that it names, and how its cookies are called."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

_KEY = re.compile(r"pk_(test|live)_([A-Za-z0-9+/]+)=*")
_HOST = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?")


def kind(key: str) -> str | None:
    """Return ``test`` (development) or ``live`` (production); None if it is no publishable key."""
    match = _KEY.fullmatch(key)
    return None if match is None else match[1]


def frontend_host(key: str) -> str | None:
    """Return the host of the Frontend API; None if the key is malformed.

    The third part of the key is base64, padded or not, of the host and one ``$``.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    try:
        text = base64.b64decode(match[2] + "=" * (-len(match[2]) % 4), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None
    host = text.removesuffix("$")
    return host if host != text and _HOST.fullmatch(host) else None


def issuer(key: str) -> str | None:
    """Return the ``iss`` of the instance's session tokens; None if the key is malformed."""
    host = frontend_host(key)
    return host and f"https://{host}"


def cookie_suffix(key: str) -> str:
    """Return what Clerk appends to the names of its cookies, so that several apps can share a host."""
    digest = hashlib.sha1(key.encode(), usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).decode()[:8]
