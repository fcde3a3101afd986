"""Verification of session tokens: signatures, keys, junk, and what is remembered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from clerksync import tokens
from clerksync.exceptions import ClerkUnavailable, TokenError
from clerksync.keys import PemKey
from clerksync.testing import FakeClerk
from clerksync.token_rules import Rules
from tests.session_tokens import NOW, OTHER_KEY, PARTY, USER, encoded, pem, reason


def with_header(token: str, **changes: Any) -> str:
    """The token with another header under the same signature."""
    header, claims, signature = token.split(".")
    known = json.loads(base64.urlsafe_b64decode(header + "=="))
    return ".".join((encoded(known | changes), claims, signature))


def test_verify__genuine(clerk: FakeClerk) -> None:
    """Who it is, and everything else that the token says."""
    claims = tokens.verify(clerk.token(USER, azp=PARTY, session_id="sess_1", claims={"email": "a@b.test"}))
    assert (claims.user_id, claims.session_id) == (USER, "sess_1")
    assert (claims.authorized_party, claims.issuer) == (PARTY, clerk.instance.issuer)
    assert claims.expires_at - claims.issued_at == 60
    assert (claims.actor, claims.raw["email"]) == (None, "a@b.test")
    assert [request.path for request in clerk.requests] == ["/v1/jwks"]


def test_actor__exposed(clerk: FakeClerk) -> None:
    """Who impersonates is told; the user is the one who is impersonated."""
    claims = tokens.verify(clerk.token(USER, actor="user_support"))
    assert claims.user_id == USER
    assert claims.actor is not None
    assert claims.actor["sub"] == "user_support"


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", "HS256", "RS384", "RS512", "PS256", "ES256", None, []]
)
def test_algorithm__another(algorithm: Any, clerk: FakeClerk) -> None:
    """Only RS256, whatever else would verify."""
    header, claims, _ = with_header(clerk.token(USER), alg=algorithm).split(".")
    assert reason(f"{header}.{claims}.{encoded(b'x')}") == "algorithm"
    assert clerk.requests == []


def test_algorithm__public_key_as_secret(clerk: FakeClerk) -> None:
    """HS256 with the public key, which everybody knows, as the secret; also under the name of RS256."""
    for algorithm, expected in (("HS256", "algorithm"), ("RS256", "signature")):
        header, claims, _ = with_header(clerk.token(USER), alg=algorithm).split(".")
        secret = pem(clerk.instance.signing_key).encode()
        signature = hmac.new(secret, f"{header}.{claims}".encode(), hashlib.sha256).digest()
        assert reason(f"{header}.{claims}.{encoded(signature)}") == expected


def test_signature__another_key(clerk: FakeClerk) -> None:
    """A forger's own key under the true id."""
    assert reason(clerk.token(USER, key=OTHER_KEY)) == "signature"
    assert tokens.verify(clerk.token(USER)).user_id == USER


def test_signature__of_other_claims(clerk: FakeClerk) -> None:
    """One changed character of the claims or of the header is enough."""
    header, claims, signature = clerk.token(USER).split(".")
    _, others, _ = clerk.token(USER + "x").split(".")
    assert reason(f"{header}.{others}.{signature}") == "signature"
    assert reason(with_header(f"{header}.{claims}.{signature}", more=1)) == "signature"


def test_key__forged_id(clerk: FakeClerk) -> None:
    """The instance has no such key."""
    assert reason(clerk.token(USER, key=OTHER_KEY, header={"kid": "ins_forged"})) == "unknown_key"


def test_key__no_id(clerk: FakeClerk) -> None:
    """Without an id there is nothing to ask for."""
    assert reason(clerk.token(USER, header={"kid": None})) == "unknown_key"
    assert clerk.requests == []


def test_instance__another(clerk: FakeClerk) -> None:
    """A token of another instance, which is called like ours, is not ours."""
    other = FakeClerk(instance_id=clerk.instance_id)
    other.rotate_signing_key()
    assert reason(other.token(USER)) == "signature"
    assert reason(FakeClerk(instance_id="ins_other").token(USER)) == "unknown_key"


JUNK = ["", ".", "..", "a.b", "a.b.c.d", "a.b.c", "Bearer a.b.c", "\u00e4.\u00f6.\u00fc", "a.b.c\n", " a.b.c", "e30.e30.e30",
        "W10.W10.W10", "bnVsbA.bnVsbA.bnVsbA", encoded(b"[" * 9000) + ".e30.e30", "x" * 20_000,
        encoded({"alg": "RS256", "kid": "ins_1"}) + "." + encoded(b"{" * 5000) + ".e30",
        encoded({"alg": "RS256", "kid": "ins_1"}) + "." + encoded(b"[]") + ".e30",
        encoded({"alg": "RS256", "kid": "ins_1"}) + "." + encoded(b'"\xff"') + ".e30",
        encoded({"alg": "RS256", "kid": "ins_1", "x": "x" * 20_000}) + ".e30.e30"]  # fmt: skip


@pytest.mark.parametrize("number", range(len(JUNK)))
def test_junk__no_request(number: int, clerk: FakeClerk) -> None:
    """Nothing that cannot be a token makes us ask Clerk."""
    assert reason(JUNK[number]) in {"malformed", "algorithm"}
    assert clerk.requests == []


def test_length__bounded(clerk: FakeClerk) -> None:
    """A token of more than 16 KiB is not even read; one of 10 KB is."""
    assert tokens.verify(clerk.token(USER, claims={"x": "x" * 10_000})).user_id == USER
    assert reason(clerk.token(USER, claims={"x": "x" * 14_000})) == "malformed"


@given(st.text() | st.lists(st.text(alphabet="abAB09-_=+/."), min_size=3, max_size=3).map(".".join))
def test_fuzz__text(text: str) -> None:
    """Whatever comes is refused by a TokenError, and no key is looked up: none is configured."""
    with override_settings(CLERK_SECRET_KEY=""), pytest.raises(TokenError):
        tokens.verify(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["alg", "kid", "cat", "typ", "crit", "b64", "exp", "iat", "nbf", "sub", "sid", "azp", "iss", "aud",
                         "act", "sts", "v", "o", "fea", "org_id", "org_role", "org_permissions"])  # fmt: skip


@given(header=st.dictionaries(NAMES, JSON, max_size=2), claims=st.dictionaries(NAMES, JSON, max_size=4))
def test_fuzz__signed_claims(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Genuine tokens with any claims are verified or refused, and never an error of another kind."""
    rules = Rules(parties=frozenset({PARTY}), audiences=frozenset({"api"}))
    verifier = tokens.Verifier(rules=rules, source=PemKey(OTHER_KEY.public_key()))
    sound = {"iat": NOW, "nbf": NOW, "exp": NOW + 60, "aud": "api", "azp": PARTY}
    token = FakeClerk().token(USER, key=OTHER_KEY, header={"kid": None, **header}, claims=sound | claims)
    try:
        verified = verifier.verify(token, now=NOW)
    except TokenError:
        return
    assert verified.user_id.startswith("user_")
    assert verified.has(role="admin") in {True, False}


def test_unavailable__is_no_bad_token(clerk: FakeClerk) -> None:
    """Without any key nobody can tell; for a while nobody asks again."""
    clerk.fail(503, times=None, on="*")
    for _ in range(3):
        with pytest.raises(ClerkUnavailable):
            tokens.verify(clerk.token(USER))
    asked = len(clerk.requests)
    assert asked > 0
    with pytest.raises(ClerkUnavailable):
        tokens.verify(clerk.token(USER, session_id="sess_2"))
    assert len(clerk.requests) == asked


@override_settings(CLERK_SECRET_KEY="", CLERK_JWT_KEY="")
def test_keys__nothing_configured(clerk: FakeClerk) -> None:
    """Says what to do, and only when a key is needed."""
    with override_settings(CLERK_SECRET_KEY=""):
        assert reason("a.b.c") == "malformed"
        with pytest.raises(ImproperlyConfigured, match=r"set CLERK_SECRET_KEY.*or CLERK_JWT_KEY"):
            tokens.verify(clerk.token(USER))


def test_keys__pem(clerk: FakeClerk) -> None:
    """With the key in the settings Clerk is never asked, whatever id a token names."""
    token = clerk.token(USER, header={"kid": None})
    with override_settings(CLERK_JWT_KEY=pem(clerk.instance.signing_key), CLERK_SECRET_KEY=""):
        assert tokens.verify(token).user_id == USER
        assert reason(clerk.token(USER, key=OTHER_KEY)) == "signature"
    assert clerk.requests == []


def test_memory__second_sight(clerk: FakeClerk) -> None:
    """The same token is not looked at again."""
    token = clerk.token(USER)
    first = tokens.verify(token)
    assert tokens.verify(token) is first
    assert tokens.recall(token) is first
    assert tokens.recall(clerk.token(USER, session_id="sess_2")) is None


def test_memory__until_it_expires(clerk: FakeClerk) -> None:
    """A remembered token expires like any other, and is not valid before its time either."""
    token = clerk.token(USER)
    claims = tokens.verify(token)
    assert reason(token, now=claims.expires_at + 5) == "expired"
    assert tokens.recall(token, now=claims.expires_at + 5) is None
    assert tokens.verify(token, now=claims.expires_at + 4.9) == claims
    assert reason(token, now=claims.issued_at - 6) == "not_yet_valid"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"CLERKSYNC_AUTHORIZED_PARTIES": ["https://b.test"]}, "azp"),
        ({"CLERKSYNC_ISSUER": "https://b.test"}, "issuer"),
        ({"CLERKSYNC_AUDIENCE": "api"}, "audience"),
        ({"CLERK_PUBLISHABLE_KEY": "pk_live_Y2xlcmsuY2xlcmsuZGV2JA"}, "issuer"),
        ({"CLERK_JWT_KEY": pem(OTHER_KEY)}, "signature"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else value,
)
def test_memory__of_other_settings(changes: dict[str, Any], expected: str, clerk: FakeClerk) -> None:
    """What was accepted under other settings is looked at anew."""
    token = clerk.token(USER, azp=PARTY)
    claims = tokens.verify(token)
    with override_settings(**changes):
        assert reason(token) == expected
    assert tokens.verify(token) == claims


def test_memory__of_many_threads(clerk: FakeClerk) -> None:
    """Threads share what is remembered, and the one request for the keys."""
    verifier = tokens.Verifier(max_remembered=20)
    signed = [clerk.token(USER, session_id=f"sess_{number}") for number in range(40)]
    with ThreadPoolExecutor(16) as pool:
        verified = list(pool.map(verifier.verify, signed * 10))
    assert [claims.session_id for claims in verified[:40]] == [f"sess_{number}" for number in range(40)]
    assert len(verifier) == 20
    assert len(clerk.requests) == 1


def test_memory__bounded(clerk: FakeClerk) -> None:
    """The oldest are forgotten; those that have expired go first."""
    verifier = tokens.Verifier(max_remembered=5)
    for number in range(12):
        verifier.verify(clerk.token(USER, session_id=f"sess_{number}"))
        assert len(verifier) <= 5
    verifier.verify(clerk.token(USER, issued_ago=-100, expires_in=500), now=time.time() + 200)
    assert len(verifier) <= 2


def test_forgeries__evict_nothing(clerk: FakeClerk) -> None:
    """A hundred forged tokens cost at most one request, and whoever is signed in stays so."""
    genuine = clerk.token(USER)
    claims = tokens.verify(genuine)
    clerk.clear_requests()
    for number in range(100):
        header = {"kid": f"ins_{number}"} if number % 2 else {}
        assert reason(clerk.token(USER, key=OTHER_KEY, header=header)) in {"unknown_key", "signature"}
    assert len(clerk.requests) <= 1
    assert tokens.recall(genuine) is claims
    assert tokens.verify(clerk.token(USER, session_id="sess_2")).session_id == "sess_2"
    assert len(clerk.requests) <= 1


def test_forgeries__at_the_start(clerk: FakeClerk) -> None:
    """The same before anybody has signed in."""
    for number in range(100):
        assert reason(clerk.token(USER, key=OTHER_KEY, header={"kid": f"ins_{number}"})) == "unknown_key"
    assert tokens.verify(clerk.token(USER)).user_id == USER
    assert len(clerk.requests) == 1


def test_memory__until_the_keys_change(clerk: FakeClerk) -> None:
    """A token is verified anew once there are other keys: its own may have been withdrawn."""
    source, token = PemKey(clerk.instance.signing_key.public_key()), clerk.token(USER)
    verifier = tokens.Verifier(rules=Rules(), source=source)
    claims = verifier.verify(token)
    assert verifier.recall(token, time.time()) == claims
    source.edition += 1
    assert verifier.recall(token, time.time()) is None
