"""Public keys out of text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.core.exceptions import ImproperlyConfigured

from clerksync.exceptions import InvalidResponse
from clerksync.public_keys import parse_key_set, parse_pem
from clerksync.testing.instance import Instance

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
CURVE = ec.generate_private_key(ec.SECP256R1())
INSTANCE = Instance("ins_1", "production", "sk_live_x")


def pem(key: Any, format: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, format)
    return text.decode()


PEM = pem(KEY)
FORMS = {
    "as it is": PEM,
    "literal line breaks": PEM.replace("\n", "\\n"),
    "literal line breaks of Windows": PEM.replace("\n", "\\r\\n"),
    "line breaks of Windows": PEM.replace("\n", "\r\n"),
    "no line breaks": PEM.replace("\n", ""),
    "spaces": PEM.replace("\n", " "),
    "base64 alone": "".join(PEM.splitlines()[1:-1]),
    "PKCS 1": pem(KEY, PublicFormat.PKCS1),
}


@pytest.mark.parametrize("form", FORMS)
def test_pem__mended(form: str) -> None:
    """However an environment variable or a dashboard has left it."""
    assert parse_pem(FORMS[form]).public_numbers() == KEY.public_key().public_numbers()


def test_pem__parsed_once() -> None:
    """The same object for the same text."""
    assert parse_pem(PEM) is parse_pem(PEM)


UNUSABLE = {
    "word": "harbour",
    "publishable key": "pk_test_Y2xlcmsuaGFyYm91ci50ZXN0JA",
    "cut": PEM[:200],
    "weak": pem(WEAK),
    "curve": pem(CURVE),
    "empty": "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----",
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_pem__unusable(name: str) -> None:
    """Said at once, without the text."""
    with pytest.raises(ImproperlyConfigured, match=r"^CLERK_JWT_KEY is not a public RSA key") as caught:
        parse_pem(UNUSABLE[name])
    assert UNUSABLE[name] not in str(caught.value).split()


def test_pem__private() -> None:
    """A private key does not belong here."""
    text = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ImproperlyConfigured, match="private key") as caught:
        parse_pem(text)
    assert text.splitlines()[1] not in str(caught.value)


def entry(**changes: Any) -> dict[str, Any]:
    """One entry of a key set."""
    sound: dict[str, Any] = INSTANCE.jwks()["keys"][0]
    return {name: value for name, value in (sound | changes).items() if value is not None}


def key_set(*entries: object) -> bytes:
    return json.dumps({"keys": entries}).encode()


def number(value: int) -> str:
    return (
        base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()
    )


def test_key_set__read() -> None:
    """By their ids; what else an entry says is not read, and the algorithm may be left out."""
    keys = parse_key_set(key_set(entry(), entry(kid="ins_2", alg=None, x5c=[])))
    assert keys.keys() == {"ins_1", "ins_2"}
    assert keys["ins_1"].public_numbers() == INSTANCE.signing_key.public_key().public_numbers()


BROKEN: dict[str, object] = {
    "curve": {"kty": "EC", "use": "sig", "kid": "e", "crv": "P-256", "x": "AA", "y": "AA"},
    "encryption": entry(kid="x", use="enc"),
    "no use": entry(kid="x", use=None),
    "another algorithm": entry(kid="x", alg="RS512"),
    "no id": entry(kid=None),
    "empty id": entry(kid=""),
    "number as id": entry(kid=7),
    "no modulus": entry(kid="x", n=None),
    "number as modulus": entry(kid="x", n=7),
    "no base64": entry(kid="x", n="!!!!"),
    "not ascii": entry(kid="x", n="\u00e4"),
    "empty modulus": entry(kid="x", n=""),
    "weak": entry(kid="x", n=number(WEAK.public_key().public_numbers().n)),
    "huge": entry(kid="x", n="B" * 100_000),
    "even exponent": entry(kid="x", e="Ag"),
    "exponent of one": entry(kid="x", e="AQ"),
    "text": "key",
    "null": None,
    "list": [],
}


@pytest.mark.parametrize("name", BROKEN)
def test_key_set__broken_entry(name: str) -> None:
    """It is passed over, wherever it stands, and the sound one is used."""
    for entries in ([BROKEN[name], entry()], [entry(), BROKEN[name]]):
        assert parse_key_set(key_set(*entries)).keys() == {"ins_1"}
    with pytest.raises(InvalidResponse):
        parse_key_set(key_set(BROKEN[name]))


@pytest.mark.parametrize(
    "body", [b"{}", b'{"keys": {}}', b'{"keys": null}', b'{"keys": []}', b"[]", b"{", b"\xff", b"[" * 100_000]
)
def test_key_set__none(body: bytes) -> None:
    """What is no key set, or an empty one, is an odd answer."""
    with pytest.raises(InvalidResponse):
        parse_key_set(body)
