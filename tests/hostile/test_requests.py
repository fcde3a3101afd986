"""Hostile visitors of pages: bombs of cookies and forged tokens; a visitor like any, at little cost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import Client

from clerksync.models import ClerkUser
from clerksync.publishable_key import cookie_suffix
from clerksync.testing import FakeClerk
from tests.figures import tell
from tests.session_tokens import OTHER_KEY, encoded, pem

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.pages")]

NOBODY = {"id": None, "state": "signed-out"}
EVIL = "http://evil.test/keys.json"
LINES = "x\r\nFORGED \x1b[31m\x00"
#: Of one page, in seconds of processor time: a hundred times what it takes.
MOST = 2.0


def numbers(key: RSAPrivateKey) -> dict[str, str]:
    """The public half of a key as a JWK."""
    public = key.public_key().public_numbers()
    parts = {"n": public.n.to_bytes(256, "big"), "e": public.e.to_bytes(3, "big")}
    return {
        "kty": "RSA",
        **{name: base64.urlsafe_b64encode(part).decode().rstrip("=") for name, part in parts.items()},
    }


#: What a forger's header says; the token is signed with the key that it names, or brings along.
HEADERS: dict[str, dict[str, Any]] = {
    "own_key": {},
    "jku": {"jku": EVIL},
    "x5u": {"x5u": EVIL, "kid": None},
    "jwk": {"jwk": numbers(OTHER_KEY), "kid": None},
    "x5c": {"x5c": [base64.b64encode(b"0" * 900).decode()], "x5t": "AAAA"},
    "everything": {"jku": EVIL, "x5u": EVIL, "jwk": numbers(OTHER_KEY), "url": EVIL, "iss": EVIL},
    "kid_of_a_path": {"kid": "../../../../dev/null"},
    "kid_of_a_url": {"kid": EVIL},
    "kid_of_sql": {"kid": "x' UNION SELECT 'key'; --"},
    "kid_of_lines": {"kid": LINES},
    "kid_of_a_command": {"kid": "|/bin/true"},
    "kid_of_a_template": {"kid": "%(asctime)s{0}%n"},
    "kid_too_long": {"kid": "k" * 5_000},
    "kid_of_no_text": {"kid": ["ins_1"]},
    "kid_of_half_a_character": {"kid": "\ud800"},
    "kid_empty": {"kid": ""},
    "critical": {"crit": ["b64"], "b64": False},
    "zipped": {"zip": "DEF"},
    "type_of_lines": {"typ": LINES},
    "category_of_lines": {"cat": LINES},
    "category_of_a_list": {"cat": ["cl_B7d4PD111AAA"]},
    **{f"alg_{alg}": {"alg": alg} for alg in (
        "none", "None", "", "HS256", "rs256", "RS384", "PS256", "ES256", "EdDSA", "RSA1_5", LINES, None, 256, ["RS256"],
    )},
}  # fmt: skip


def deep(depth: int) -> bytes:
    """JSON that is nested so deep."""
    return b'{"sub":"user_a","a":' + b"[" * depth + b"]" * depth + b"}"


def forged(clerk: FakeClerk, user: dict[str, Any]) -> dict[str, str]:
    """Tokens that nobody should accept, by name."""
    good = clerk.token(user)
    header, claims, signature = good.split(".")
    none = encoded({"alg": "none", "typ": "JWT"})
    symmetric = encoded({"alg": "HS256", "typ": "JWT", "kid": clerk.instance.key_id})
    public = clerk.instance.signing_key.public_key()
    secrets = {
        "pem": pem(clerk.instance.signing_key).encode(),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "nothing": b"",
    }
    by_secret = {
        f"hs256_with_{name}": f"{symmetric}.{claims}."
        + encoded(hmac.digest(secret, f"{symmetric}.{claims}".encode(), hashlib.sha256))
        for name, secret in secrets.items()
    }
    huge = b'{"exp":' + b"9" * 9_000 + b"}"
    return {
        **{name: clerk.token(user, header=values, key=OTHER_KEY) for name, values in HEADERS.items()},
        **by_secret,
        "unsigned": f"{none}.{claims}.",
        "unsigned_with_a_signature": f"{none}.{claims}.{signature}",
        "signature_cut": f"{header}.{claims}.{signature[:-4]}",
        "signature_of_a_byte": f"{header}.{claims}.AA",
        "signature_of_another": f"{header}.{encoded({'sub': 'user_other'})}.{signature}",
        "five_parts": f"{good}.{claims}.{signature}",
        "deep_claims": f"{header}.{encoded(deep(1_000))}.{signature}",
        "deep_header": f"{encoded(deep(1_000))}.{claims}.{signature}",
        "deepest": f"{header}.{encoded(deep(5_000))}.{signature}",
        "of_64_kb": f"{header}.{'A' * 65_536}.{signature}",
        "of_dots": "." * 65_536,
        "of_no_text": f"{encoded(bytes(range(256)))}.{encoded(bytes(999))}.{signature}",
        "issuer_of_lines": clerk.token(user, claims={"iss": LINES}, key=OTHER_KEY),
        "huge_numbers": f"{header}.{encoded(huge)}.{signature}",
    }


@pytest.fixture
def user(clerk: FakeClerk) -> dict[str, Any]:
    """A user."""
    return clerk.create_user(first_name="Isla")


def test_token__forged(
    client: Client, clerk: FakeClerk, user: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A forger is nobody, in the header and in the cookie; nobody else is asked, and no line of the log is theirs."""
    caplog.set_level(logging.DEBUG)
    tokens = forged(clerk, user)
    for name, token in tokens.items():
        for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"__session={token}"}):
            began = time.process_time()
            answer = client.get("/plain/", headers=headers)
            assert (answer.status_code, answer.json()) == (200, NOBODY), name
            assert time.process_time() - began < MOST, name
        assert client.get("/guarded/", headers={"Authorization": f"Bearer {token}"}).status_code in {
            302,
            401,
        }, name
    assert {request.path for request in clerk.requests} <= {"/v1/jwks"}
    assert len(clerk.requests) <= 2
    assert not ClerkUser.objects.exists()
    for record in caplog.records:
        line = record.getMessage()
        assert line.isprintable(), line
        assert not any(token in line for token in tokens.values())
        assert "evil.test:" not in line
    tell("hostile requests of pages", len(tokens))


def test_token__of_a_key_set_of_their_own(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """What a genuine token says besides is not followed either."""
    token = clerk.token(user, header={"jku": EVIL, "x5u": EVIL, "jwk": numbers(OTHER_KEY)})
    assert client.get("/plain/", headers={"Authorization": f"Bearer {token}"}).json()["id"] == user["id"]
    assert {request.path for request in clerk.requests} <= {"/v1/jwks", f"/v1/users/{user['id']}"}


def bombs(clerk: FakeClerk, user: dict[str, Any], key: str) -> dict[str, str]:
    """Headers full of cookies, in which there is no session."""
    bad = clerk.token(user, key=OTHER_KEY)
    own = f"__session_{cookie_suffix(key)}"
    return {
        "hundreds": "; ".join(f"c{number}=v" for number in range(2_000)),
        "hundreds_of_sessions": "; ".join(f"__session={bad[:-6]}{number:06d}" for number in range(500)),
        "hundreds_of_suffixes": "; ".join(f"__session_{number:08x}={bad}" for number in range(500)),
        "of_64_kb": f"__session={'A' * 65_536}; {own}={'B' * 65_536}",
        "of_64_kb_that_look_right": f"__session={bad}{'A' * 65_536}; {own}={bad}{'B' * 65_536}",
        "of_a_megabyte": "; ".join(["__session=" + "A.A.A" * 200_000]),
        # Servers let no more than 8 KB pass; of more, Python before 3.11.10 and 3.12.6 takes very long.
        "of_quotes": '__session="' + "\\" * 8_000 + '"',
        "of_octal_quotes": '__session="' + "\\377" * 2_000 + '"',
        "of_separators": ";" * 65_536 + "=" * 65_536,
        "of_equals": "__session" + "=" * 65_536,
        "of_controls": f"__session=\x01\x02\x7f; {own}=\t",
        "of_bytes": "__session=\xff\xfe\xe9",
        "percent": "__session=%00%0a%0d; __client_uat=" + "9" * 10_000,
    }


@pytest.mark.parametrize("path", ["/plain/", "/user/", "/plain-async/"])
def test_cookies__bombs(
    client: Client, clerk: FakeClerk, user: dict[str, Any], settings: Any, path: str
) -> None:
    """Whatever is in the cookies, the page is served to nobody in particular, in bounded time."""
    for name, header in bombs(clerk, user, settings.CLERK_PUBLISHABLE_KEY).items():
        began = time.process_time()
        answer = client.get(path, headers={"Cookie": header})
        assert answer.status_code == 200, name
        assert json.loads(answer.content).get("id") is None, name
        assert time.process_time() - began < MOST, name
    assert {request.path for request in clerk.requests} <= {"/v1/jwks"}
    assert len(clerk.requests) <= 1
    tell("hostile requests of pages", 13)


def test_cookies__one_of_many_is_genuine(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Strange cookies do not hide the real one."""
    many = "; ".join(f"__session_{number:08x}=x.y.z" for number in range(500))
    answer = client.get("/plain/", headers={"Cookie": f"{many}; __session={clerk.token(user)}; {many}"})
    assert answer.json()["id"] == user["id"]
