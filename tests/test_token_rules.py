"""The rules for tokens: each refuses for its own reason alone, and has a neighbour that is accepted."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import override_settings

from clerksync import tokens
from clerksync.testing import FakeClerk
from tests.session_tokens import NOW, PARTY, USER, reason


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
