"""What tests of session tokens share."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clerksync import tokens
from clerksync.exceptions import TokenError

USER = "user_2mXbLrPqYdWv8kTzJcNhG4sAeUo"
PARTY = "https://app.harbour.test"
#: A forger's.
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
#: For tokens with times of their own.
NOW = 1_800_000_000


def reason(token: str, **options: Any) -> str:
    """Why a token is refused."""
    with pytest.raises(TokenError) as caught:
        tokens.verify(token, **options)
    assert not token or token not in str(caught.value)
    return caught.value.reason


def pem(key: rsa.RSAPrivateKey) -> str:
    """The public half of a key."""
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public.decode()


def encoded(value: object) -> str:
    """A part of a token."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()
