"""Verification of session tokens: each rule refuses for its own reason alone, and has an accepted neighbour."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from clerksync import tokens
from clerksync.exceptions import ClerkUnavailable, TokenError
from clerksync.keys import PemKey
from clerksync.testing import FakeClerk
from clerksync.token_rules import Rules

USER = "user_2mXbLrPqYdWv8kTzJcNhG4sAeUo"
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PARTY = "https://app.harbour.test"


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


@pytest.mark.parametrize("omitted", ["exp", "iat", "sub", "sid"])
def test_required__missing(omitted: str, clerk: FakeClerk) -> None:
    """Without any one of the four nobody is let in; null is the same."""
    assert reason(clerk.token(USER, omit=[omitted])) == "missing_claim"
    assert reason(clerk.token(USER, claims={omitted: None})) == "missing_claim"


@pytest.mark.parametrize("omitted", ["nbf", "azp", "jti", "v", "sts", "act"])
def test_optional__missing(omitted: str, clerk: FakeClerk) -> None:
    """The others may be missing."""
    assert tokens.verify(clerk.token(USER, omit=[omitted])).user_id == USER


WRONG: dict[str, list[Any]] = {
    "exp": [True, "9999999999", [], -1, 1e300, 10**30, "NaN"],
    "iat": [True, "1", {}, -1],
    "nbf": [True, "1", {}, -1, None],
    "sub": [True, 7, [], "", "user_" + "x" * 300],
    "sid": [True, 7, [], "", "s" * 300],
    "act": [True, "user_1", []],
    "azp": [True, 7, []],
}


@pytest.mark.parametrize("name", WRONG)
def test_types__wrong(name: str, clerk: FakeClerk) -> None:
    """A claim of another type, or beyond all bounds, is refused even if it is genuine."""
    for value in WRONG[name]:
        assert reason(clerk.token(USER, claims={name: value})) == "malformed"


def test_types__nan(clerk: FakeClerk) -> None:
    """NaN is no JSON, and would be neither before nor after any time."""
    assert reason(clerk.token(USER, claims={"exp": float("nan")})) == "malformed"


def test_types__fractions(clerk: FakeClerk) -> None:
    """Times may have fractions."""
    assert tokens.verify(clerk.token(USER, claims={"exp": time.time() + 60.5})).user_id == USER


NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"exp": NOW - 4}, None),
        ({"exp": NOW - 5}, "expired"),
        ({"exp": NOW - 4.9}, None),
        ({"nbf": NOW + 5}, None),
        ({"nbf": NOW + 6}, "not_yet_valid"),
        ({"iat": NOW + 5}, None),
        ({"iat": NOW + 6}, "not_yet_valid"),
    ],
    ids=str,
)
def test_clock__leeway(claims: dict[str, Any], expected: str | None, clerk: FakeClerk) -> None:
    """Clerk's clock and ours may differ by 5 s on either side."""
    sound = {"iat": NOW - 20, "nbf": NOW - 30, "exp": NOW + 40}
    token = clerk.token(USER, claims=sound | claims)
    if expected is None:
        assert tokens.verify(token, now=NOW).user_id == USER
    else:
        assert reason(token, now=NOW) == expected


def test_clock__of_the_system(clerk: FakeClerk) -> None:
    """Without a time it is the present one."""
    assert reason(clerk.token(USER, expires_in=-6)) == "expired"
    assert tokens.verify(clerk.token(USER, expires_in=-2)).user_id == USER


@pytest.mark.parametrize(
    "subject", ["org_1", "client_1", "user1", "user_", "user_a b", "user_a\n", "user_a/b"]
)
def test_subject__no_user(subject: str, clerk: FakeClerk) -> None:
    """A session is a user's."""
    assert reason(clerk.token(subject, session_id="sess_1")) == "subject"


@pytest.mark.parametrize("version", [1, 2])
def test_pending__signed_out(version: Any, clerk: FakeClerk) -> None:
    """A session that lacks a step lets nobody in; an active one does."""
    assert reason(clerk.token(USER, status="pending", version=version)) == "session_pending"
    assert tokens.verify(clerk.token(USER, status="active", version=version)).user_id == USER


def test_actor__exposed(clerk: FakeClerk) -> None:
    """Who impersonates is told; the user is the one who is impersonated."""
    claims = tokens.verify(clerk.token(USER, actor="user_support"))
    assert claims.user_id == USER
    assert claims.actor is not None
    assert claims.actor["sub"] == "user_support"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"cat": "cl_B7d4PD222AAA"}, "template_token"),
        ({"cat": "cl_B7d4PD333AAA"}, "machine_token"),
        ({"cat": "cl_something"}, "category"),
        ({"cat": 7}, "category"),
        ({"cat": ["cl_B7d4PD111AAA"]}, "category"),
        ({"typ": "at+jwt"}, "machine_token"),
        ({"typ": "application/at+jwt"}, "machine_token"),
        ({"typ": "JWE"}, "malformed"),
        ({"typ": []}, "malformed"),
        ({"crit": ["exp"]}, "malformed"),
        ({"kid": "k" * 300}, "malformed"),
    ],
    ids=str,
)
def test_header__refused(header: dict[str, Any], expected: str, clerk: FakeClerk) -> None:
    """What says that it is something else is refused, though it is signed well, and no key is asked for."""
    assert reason(clerk.token(USER, header=header)) == expected
    assert clerk.requests == []


@pytest.mark.parametrize(
    "header",
    [{"cat": None}, {"cat": "cl_I7d4PD111III"}, {"typ": None}, {"oiat": 1}, {"more": {"a": 1}}],
    ids=str,
)
def test_header__accepted(header: dict[str, Any], clerk: FakeClerk) -> None:
    """A category that says nothing, no type, and whatever Clerk may add."""
    assert tokens.verify(clerk.token(USER, header=header)).user_id == USER


def test_machine_token__by_its_subject(clerk: FakeClerk) -> None:
    """A machine is no user, and costs no request."""
    assert reason(clerk.token("mch_1", session_id="sess_1")) == "machine_token"
    assert clerk.requests == []


@pytest.mark.parametrize("prefix", ["ak_", "oat_", "mt_", "m2m_"])
def test_machine_token__by_its_prefix(prefix: str, clerk: FakeClerk) -> None:
    """API keys and their like are opaque."""
    assert reason(prefix + "x" * 40) == "machine_token"
    assert clerk.requests == []


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


@pytest.mark.parametrize(
    ("party", "expected"),
    [
        (PARTY, None),
        (None, None),
        (f"{PARTY}/", "azp"),
        ("https://evil.test", "azp"),
        ("", "azp"),
        ("null", "azp"),
    ],
)
@override_settings(CLERKSYNC_AUTHORIZED_PARTIES=[PARTY, "https://b.test"])
def test_azp__configured(party: str | None, expected: str | None, clerk: FakeClerk) -> None:
    """Only our origins, or nobody known, may have asked for a token."""
    token = clerk.token(USER, azp=party)
    if expected:
        assert reason(token) == expected
    else:
        assert tokens.verify(token).authorized_party == party


def test_azp__missing_not_allowed(clerk: FakeClerk) -> None:
    """Unless a token has to tell; without parties there is nothing to compare it with."""
    token = clerk.token(USER, azp=None)
    with override_settings(CLERKSYNC_ALLOW_MISSING_AZP=False, CLERKSYNC_AUTHORIZED_PARTIES=[PARTY]):
        assert reason(token) == "azp"
        assert tokens.verify(clerk.token(USER, azp=PARTY)).user_id == USER
    with override_settings(CLERKSYNC_ALLOW_MISSING_AZP=False, CLERKSYNC_AUTHORIZED_PARTIES=[]):
        assert tokens.verify(token).user_id == USER


def test_azp__not_configured(clerk: FakeClerk) -> None:
    """An empty list means any, not none."""
    assert tokens.verify(clerk.token(USER, azp="https://anything.test")).user_id == USER


@pytest.mark.parametrize(
    "issuer", ["https://clerk.evil.test", "https://clerk.harbour.test/", "", None, 7, []]
)
def test_issuer__another(issuer: Any, clerk: FakeClerk) -> None:
    """The publishable key names who issues tokens; others cost no request."""
    assert reason(clerk.token(USER, claims={"iss": issuer})) == "issuer"
    assert clerk.requests == []


PROXY = "https://app.harbour.test/__clerk"


@pytest.mark.parametrize(
    ("setting", "issuer", "expected"),
    [
        (PROXY, PROXY, None),
        (PROXY, "https://clerk.harbour.test", "issuer"),
        ([PROXY, "https://clerk.harbour.test"], "https://clerk.harbour.test", None),
        ([PROXY], "https://clerk.harbour.test", "issuer"),
        ([], "https://clerk.harbour.test", None),
        ([], PROXY, "issuer"),
        (None, "https://anything.test", None),
    ],
)
def test_issuer__configured(setting: Any, issuer: str, expected: str | None, clerk: FakeClerk) -> None:
    """A proxy's or a satellite's own, several, or no check at all."""
    token = clerk.token(USER, claims={"iss": issuer})
    with override_settings(CLERKSYNC_ISSUER=setting):
        if expected:
            assert reason(token) == expected
        else:
            assert tokens.verify(token).issuer == issuer


def test_issuer__not_known(clerk: FakeClerk) -> None:
    """Without a publishable key nobody knows who it should be."""
    with override_settings(CLERK_PUBLISHABLE_KEY=""):
        assert tokens.verify(clerk.token(USER, claims={"iss": "https://anything.test"})).user_id == USER
        assert tokens.verify(clerk.token(USER, omit=["iss"])).issuer is None


@pytest.mark.parametrize(
    ("audience", "expected"),
    [("api", None), (["web", "api"], None), ("web", "audience"), (["web"], "audience"), ([7], "audience"),
     (None, "audience"), ([], "audience"), ({}, "audience")],
)  # fmt: skip
def test_audience__configured(audience: Any, expected: str | None, clerk: FakeClerk) -> None:
    """Compared only if it is configured; otherwise a token may name any."""
    token = clerk.token(USER, claims={"aud": audience})
    with override_settings(CLERKSYNC_AUDIENCE=["api", "jobs"]):
        if expected:
            assert reason(token) == expected
        else:
            assert tokens.verify(token).user_id == USER
    assert tokens.verify(token).user_id == USER


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
