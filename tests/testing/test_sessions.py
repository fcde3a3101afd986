"""Session tokens of the fake Clerk, read with PyJWT and with our own verification."""

from __future__ import annotations

import hashlib
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client, RequestFactory, override_settings

from clerksync import publishable_key, tokens
from clerksync.testing import FakeClerk

PERMISSIONS = ["org:invoices:read", "org:invoices:create", "org:teams:read"]


def decoded(clerk: FakeClerk, token: str, *, verify_exp: bool = True) -> dict[str, Any]:
    """The claims, by another implementation."""
    public = jwt.PyJWKSet.from_dict(clerk.instance.jwks())[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token, public.key, algorithms=["RS256"], options={"verify_exp": verify_exp}
    )
    return claims


def test_token__as_clerk_makes_them(clerk: FakeClerk) -> None:
    """Header and claims of a plain session token."""
    user = clerk.create_user()
    token = clerk.token(user)
    assert jwt.get_unverified_header(token) == {
        "alg": "RS256",
        "typ": "JWT",
        "kid": clerk.instance_id,
        "cat": "cl_B7d4PD111AAA",
    }
    claims = decoded(clerk, token)
    assert claims["iat"] == pytest.approx(time.time(), abs=5)
    assert claims == {
        "v": 2,
        "iss": "https://clerk.harbour.test",
        "sub": user["id"],
        "sid": f"sess_{user['id'].removeprefix('user_')}",
        "iat": claims["iat"],
        "nbf": claims["iat"] - 10,
        "exp": claims["iat"] + 60,
    }


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("role", ["org:admin", "admin"])
def test_token__of_an_organisation(version: Any, role: str, clerk: FakeClerk) -> None:
    """Both versions say the same."""
    claims = tokens.verify(
        clerk.token(
            "user_1",
            version=version,
            org_id="org_1",
            org_slug="quay",
            org_role=role,
            org_permissions=PERMISSIONS,
        )
    )
    assert (claims.org_id, claims.org_slug, claims.org_role) == ("org_1", "quay", "org:admin")
    assert claims.org_permissions == set(PERMISSIONS)
    assert ("v" in claims.raw, "org_id" in claims.raw) == (version == 2, version == 1)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "options", [{"org_role": "admin"}, {"org_slug": "quay"}, {"org_permissions": PERMISSIONS}]
)
def test_token__organisation_without_an_id(version: Any, options: Any, clerk: FakeClerk) -> None:
    """Whoever gives a role gets an organisation to have it in."""
    assert tokens.verify(clerk.token("user_1", version=version, **options)).org_id == "org_harbour"


@pytest.mark.parametrize("permission", ["invoices:read", "org:invoices", "org::read", "admin", ""])
def test_token__malformed_permission(permission: str, clerk: FakeClerk) -> None:
    """A permission that Clerk would not know is the test's mistake."""
    with pytest.raises(ValueError, match="org:feature:name"):
        clerk.token("user_1", org_permissions=[permission])


def test_token__times(clerk: FakeClerk) -> None:
    """Expired, and soon to expire."""
    now = time.time()
    claims = decoded(clerk, clerk.token("user_1", issued_ago=120, expires_in=-60), verify_exp=False)
    assert [claims["iat"] - now, claims["exp"] - now] == pytest.approx([-120, -60], abs=5)


def test_token__odd_ones(clerk: FakeClerk) -> None:
    """Everything can be made wrong."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    token = clerk.token(
        "user_1", key=key, header={"cat": None, "alg": "none"}, claims={"sub": 7, "x": 1}, omit=["exp", "v"]
    )
    header = jwt.get_unverified_header(token)
    assert ("cat" in header, header["alg"]) == (False, "none")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert ("exp" in claims, "v" in claims, claims["sub"], claims["x"]) == (False, False, 7, 1)
    with pytest.raises(jwt.InvalidSignatureError):
        decoded(clerk, clerk.token("user_1", key=key))


def test_token__actor_and_status(clerk: FakeClerk) -> None:
    """By the impersonator's id or as the whole claim."""
    claims = decoded(clerk, clerk.token("user_1", actor="user_2", status="active"))
    assert (claims["act"]["sub"], claims["sts"]) == ("user_2", "active")
    assert (
        decoded(clerk, clerk.token("user_1", actor={"sub": "agent_1", "type": "agent"}))["act"]["type"]
        == "agent"
    )


def test_token__authorized_party(clerk: FakeClerk) -> None:
    """One that the project accepts, unless another or none is asked for."""
    assert "azp" not in decoded(clerk, clerk.token("user_1"))
    with override_settings(CLERKSYNC_AUTHORIZED_PARTIES=["https://a.test", "https://b.test"]):
        assert decoded(clerk, clerk.token("user_1"))["azp"] == "https://a.test"
        assert decoded(clerk, clerk.token("user_1", azp="https://c.test"))["azp"] == "https://c.test"
        assert "azp" not in decoded(clerk, clerk.token("user_1", azp=None))


def test_bearer__header(clerk: FakeClerk) -> None:
    """As Django's test client takes it."""
    request = RequestFactory().get("/", headers=clerk.bearer("user_1", session_id="sess_7"))
    scheme, _, token = request.headers["Authorization"].partition(" ")
    assert (scheme, tokens.verify(token).session_id) == ("Bearer", "sess_7")


def test_sign_in__cookies(clerk: FakeClerk) -> None:
    """Both names that Clerk's script sets."""
    client = Client()
    user = clerk.create_user()
    token = clerk.sign_in(client, user)
    suffix = urlsafe_b64encode(hashlib.sha1(clerk.publishable_key.encode()).digest()).decode()[:8]  # noqa: S324
    assert {name: cookie.value for name, cookie in client.cookies.items()} == {
        "__session": token,
        f"__session_{suffix}": token,
    }
    assert suffix == publishable_key.cookie_suffix(clerk.publishable_key)
    assert tokens.verify(token).user_id == user["id"]


def test_sign_in__without_a_publishable_key(clerk: FakeClerk) -> None:
    """Then nobody knows the suffix."""
    client = Client()
    with override_settings(CLERK_PUBLISHABLE_KEY=""):
        clerk.sign_in(client, "user_1")
    assert list(client.cookies) == ["__session"]


def test_rotation__of_the_signing_key(clerk: FakeClerk) -> None:
    """The key set and new tokens change together."""
    before = clerk.instance.jwks()
    clerk.rotate_signing_key()
    after = clerk.instance.jwks()
    assert before["keys"][0]["n"] != after["keys"][0]["n"]
    assert before["keys"][0]["kid"] == after["keys"][0]["kid"]
    clerk.rotate_signing_key(key_id="ins_2")
    assert decoded(clerk, clerk.token("user_1"))["sub"] == "user_1"
    assert clerk.instance.jwks()["keys"][0]["kid"] == "ins_2"


def test_keys__of_instances_differ() -> None:
    """One instance has the same key in all tests, which saves the time to make it; others have others."""
    first, second, other = FakeClerk(), FakeClerk(), FakeClerk(instance_id="ins_other")
    assert first.instance.jwks() == second.instance.jwks()
    assert first.instance.jwks()["keys"][0]["n"] != other.instance.jwks()["keys"][0]["n"]
    second.rotate_signing_key()
    assert first.instance.jwks() != second.instance.jwks()
