"""The Clerk instance that a fake plays: its id, its environment and its keys."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass
from functools import lru_cache

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
    key_id: str = ""
    _rotated: rsa.RSAPrivateKey | None = None

    def __post_init__(self) -> None:
        self.key_id = self.key_id or self.instance_id

    @property
    def signing_key(self) -> rsa.RSAPrivateKey:
        """The key that signs session tokens."""
        with _making:  # threads that come at once must not make a key each
            return self._rotated or _key_of(self.instance_id)

    def rotate_key(self, key_id: str | None = None) -> None:
        """Take a new signing key."""
        self._rotated = _new_key()
        self.key_id = key_id or self.key_id

    @property
    def issuer(self) -> str:
        """Who issues session tokens."""
        return f"https://{FRONTEND}"

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
        """Return the key set, whose key id is the instance's id unless the key was rotated."""
        numbers = self.signing_key.public_key().public_numbers()
        key = {
            "use": "sig",
            "kty": "RSA",
            "kid": self.key_id,
            "alg": "RS256",
            "n": _base64url(numbers.n),
            "e": _base64url(numbers.e),
        }
        return {"keys": [key]}


_making = threading.Lock()


@lru_cache(maxsize=16)
def _key_of(instance_id: str) -> rsa.RSAPrivateKey:
    """Make one key for all tests that play this instance: it takes a tenth of a second."""
    return _new_key()


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _base64url(number: int) -> str:
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return _unpadded(octets)


def _unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
