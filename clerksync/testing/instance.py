"""The Clerk instance that a fake plays: its id, its environment and its keys."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric import rsa

from clerksync.testing.wire import Json

#: Where browsers would reach the instance; nobody can (RFC 2606).
FRONTEND = "clerk.harbour.test"


@dataclass
class Instance:
    """One instance; its signing key is made at first use, and is not drawn from the seed."""

    instance_id: str
    environment: str
    secret_key: str

    @cached_property
    def signing_key(self) -> rsa.RSAPrivateKey:
        """The key that signs session tokens."""
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def publishable_key(self) -> str:
        """The key that frontends carry: it spells their host."""
        kind = "live" if self.environment == "production" else "test"
        return f"pk_{kind}_{_unpadded(f'{FRONTEND}$'.encode())}"

    def describe(self) -> Json:
        """Return Clerk's Instance object."""
        return {
            "object": "instance",
            "id": self.instance_id,
            "environment_type": self.environment,
            "allowed_origins": None,
            "workspace_id": None,
        }

    def jwks(self) -> Json:
        """Return the key set, whose key id is the instance's id."""
        numbers = self.signing_key.public_key().public_numbers()
        key = {
            "use": "sig",
            "kty": "RSA",
            "kid": self.instance_id,
            "alg": "RS256",
            "n": _base64url(numbers.n),
            "e": _base64url(numbers.e),
        }
        return {"keys": [key]}


def _base64url(number: int) -> str:
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return _unpadded(octets)


def _unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
