"""Public keys out of text: the PEM of a setting, and the key set that Clerk answers."""

from __future__ import annotations

import base64
import logging
import re
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_der_public_key
from django.core.exceptions import ImproperlyConfigured

from clerksync.exceptions import InvalidResponse
from clerksync.logs import Log, told

logger = logging.getLogger(__name__)

_MIN_BITS, _MAX_BITS = 2048, 8192
_ARMOUR = re.compile(r"-----(BEGIN|END) ([A-Z ]+)-----")
_WHERE = "Copy it from Clerk's dashboard, API keys, JWKS public key (PEM)."


@lru_cache(maxsize=8)
def parse_pem(text: str) -> RSAPublicKey:
    """Return a public RSA key from PEM, also if its line breaks are lost or written as backslash and n.

    Raises:
        ImproperlyConfigured: It is none, or too weak; the text is not shown.
    """
    mended = text.replace("\\n", "\n").replace("\\r", "")
    label = _ARMOUR.search(mended)
    if label and "PRIVATE" in label[2]:
        raise ImproperlyConfigured(
            f"CLERK_JWT_KEY holds a private key, which is no business of ours. {_WHERE}"
        )
    try:
        der = base64.b64decode("".join(_ARMOUR.sub("", mended).split()), validate=True)
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey) or not _MIN_BITS <= key.key_size <= _MAX_BITS:
        raise ImproperlyConfigured(f"CLERK_JWT_KEY is not a public RSA key of 2048 bits or more. {_WHERE}")
    return key


class _KeySet(msgspec.Struct):
    keys: list[Any]


def parse_key_set(body: bytes) -> dict[str, RSAPublicKey]:
    """Return the RSA keys for signatures of a JSON Web Key Set by their ids; others are passed over.

    Raises:
        InvalidResponse: It is no key set, or holds no such key.
    """
    try:
        entries = msgspec.json.decode(body, type=_KeySet).keys
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        entries = []
    keys = {entry["kid"]: key for entry in entries if (key := _parse_entry(entry))}
    if not keys:
        raise InvalidResponse("GET /v1/jwks: no usable RSA key in the answer")
    return keys


def _parse_entry(entry: object) -> RSAPublicKey | None:
    if not isinstance(entry, dict) or entry.get("alg", "RS256") != "RS256":
        return None
    match entry:
        case {"kty": "RSA", "use": "sig", "kid": str(kid), "n": str(n), "e": str(e)} if kid:
            try:
                key = RSAPublicNumbers(_number(e), _number(n)).public_key()
            except ValueError:
                logger.warning(
                    "A key of the instance is not readable and is passed over",
                    extra=told(Log.KEYS_UNREADABLE),
                )
                return None
            return key if _MIN_BITS <= key.key_size <= _MAX_BITS else None
    return None


def _number(text: str) -> int:
    """Read base64url without padding."""
    if len(text) * 6 > _MAX_BITS + 6 * 8:
        raise ValueError("too long")
    return int.from_bytes(
        base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), "big"
    )
