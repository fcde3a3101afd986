"""Who is let in by a session token, and what the others are answered."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.test import Client, override_settings

from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk
from tests.test_capture import age, no_table

__all__ = ["no_table"]

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.api.pages"),
    pytest.mark.usefixtures("middleware"),
]

LINKED = override_settings(CLERKSYNC_LINK_USERS=True)


def reads(clerk: FakeClerk) -> list[str]:
    """The users that were read."""
    return [request.path for request in clerk.requests if request.path.startswith("/v1/users/")]


def test_nobody(client: Client, clerk: FakeClerk, django_assert_num_queries: Any) -> None:
    """Without a token there is a visitor, and nothing is asked."""
    with django_assert_num_queries(0):
        assert client.get("/who/").json()["kind"] == "AnonymousUser"
        answer = client.get("/in/")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    assert clerk.requests == []


def test_bearer__unknown_user(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A token in the header is enough: the user is read once, and is request.user."""
    answer = client.get("/in/", headers=clerk.bearer(user))
    assert answer.json() == {
        "user": user["id"],
        "is_authenticated": True,
        "kind": "ClerkUser",
        "session": f"sess_{user['id'].removeprefix('user_')}",
        "in_transaction": True,
    }
    assert ClerkUser.objects.get().email == "isla@harbour-works.io"
    assert reads(clerk) == [f"/v1/users/{user['id']}"]


def test_captured__once(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Whether or not the middleware has read the user, nobody reads again."""
    clerk.sync_users(user["id"])
    age(user["id"], 301)
    token = clerk.bearer(user)
    client.get("/in/", headers=token)
    client.get("/in/", headers=token)
    assert reads(clerk) == [f"/v1/users/{user['id']}"]


def test_steady_state(
    client: Client, clerk: FakeClerk, user: dict[str, Any], django_assert_num_queries: Any
) -> None:
    """A known user costs one statement and no request."""
    token = clerk.bearer(user)
    client.get("/in/", headers=token)
    clerk.clear_requests()
    with django_assert_num_queries(1):
        client.get("/in/", headers=token)
    assert clerk.requests == []


def test_bearer__writes_without_csrf(clerk: FakeClerk, user: dict[str, Any]) -> None:
    """No other site can have a header sent."""
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/in/", headers=clerk.bearer(user)).status_code == 200


def test_cookie__reads(clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Clerk's cookie lets in, too."""
    strict = Client(enforce_csrf_checks=True)
    clerk.sign_in(strict, user)
    assert strict.get("/in/").json()["user"] == user["id"]


def test_cookie__writes_with_csrf(clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A browser sends cookies for other sites, so writing needs Django's token: 403, not 401."""
    strict = Client(enforce_csrf_checks=True)
    clerk.sign_in(strict, user)
    answer = strict.post("/in/")
    assert (answer.status_code, answer.json()["detail"]) == (403, "CSRF Failed: CSRF cookie not set.")
    secret = strict.cookies["csrftoken"] = "a" * 32
    assert strict.post("/in/", headers={"X-CSRFToken": str(secret)}).status_code == 200


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"expires_in": -30, "issued_ago": 90}, "expired"),
        ({"status": "pending"}, "session_pending"),
        ({"issued_ago": -60, "expires_in": 120}, "not_yet_valid"),
        ({"header": {"kid": "ins_forged"}}, "token_not_accepted"),
        ({"omit": ["sid"]}, "token_not_accepted"),
        ({"claims": {"iss": "https://clerk.elsewhere.test"}}, "token_not_accepted"),
    ],
)
def test_bearer__refused(
    client: Client, clerk: FakeClerk, user: dict[str, Any], options: dict[str, Any], code: str
) -> None:
    """401, with a code in the body and in WWW-Authenticate; only what the client can act on is told."""
    for path in ("/in/", "/who/"):
        answer = client.get(path, headers=clerk.bearer(user, **options))
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert (
            answer["WWW-Authenticate"]
            == f'Bearer realm="api", error="invalid_token", error_description="{code}"'
        )
    assert not ClerkUser.objects.exists()


def test_bearer__junk(client: Client, clerk: FakeClerk) -> None:
    """Junk is refused without asking Clerk."""
    for junk in ("x", "a.b.c", "ak_1", "é"):
        answer = client.get("/who/", headers={"Authorization": f"Bearer {junk}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "token_not_accepted")
    assert clerk.requests == []


def test_cookie__refused(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """An old cookie makes a visitor, not an error; where somebody is needed the reason is told."""
    client.cookies["__session"] = clerk.token(user, expires_in=-30, issued_ago=90)
    assert client.get("/who/").json()["kind"] == "AnonymousUser"
    answer = client.get("/in/")
    assert answer.status_code == 401
    assert 'error_description="expired"' in answer["WWW-Authenticate"]


def test_cookie__beside_djangos(
    client: Client, clerk: FakeClerk, user: dict[str, Any], admin_user: Any
) -> None:
    """An old cookie leaves the turn to Django's session; a good one decides."""
    client.force_login(admin_user)
    client.cookies["__session"] = clerk.token(user, expires_in=-30, issued_ago=90)
    assert client.get("/sessions/").json()["user"] == "admin"
    clerk.sign_in(client, user)
    assert client.get("/sessions/").json()["user"] == user["id"]


@pytest.mark.parametrize("scheme", ["Token", "Basic", "bearer"])
def test_other_scheme__left(client: Client, clerk: FakeClerk, user: dict[str, Any], scheme: str) -> None:
    """Another scheme is somebody else's, and cookies do not count beside it."""
    clerk.sign_in(client, user)
    assert client.get("/in/", headers={"Authorization": f"{scheme} abc"}).status_code == 401


def test_other_scheme__gets_its_turn(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """The authenticator behind ours sees it."""
    clerk.sign_in(client, user)
    with pytest.raises(AssertionError, match="Token abc"):
        client.get("/tokens/", headers={"Authorization": "Token abc"})


@pytest.mark.parametrize("sign_in", ["bearer", "cookie"])
def test_no_keys__503(client: Client, clerk: FakeClerk, user: dict[str, Any], sign_in: str) -> None:
    """While Clerk's keys cannot be had nobody can tell; that is no 401, which would sign users out."""
    clerk.fail(503, times=None, on="*")
    headers = {}
    if sign_in == "cookie":
        clerk.sign_in(client, user)
    else:
        headers = clerk.bearer(user)
    answer = client.get("/in/", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer["Retry-After"] == "10"


@pytest.mark.parametrize("column", ["banned", "deprovisioned"])
def test_shut_out(client: Client, clerk: FakeClerk, user: dict[str, Any], column: str) -> None:
    """Who is banned or deprovisioned gets 401, also as long as the token lives."""
    clerk.sync_users(user["id"])
    token = clerk.bearer(user)
    assert client.get("/in/", headers=token).status_code == 200
    ClerkUser.objects.update(**{column: True})
    answer = client.get("/in/", headers=token)
    assert (answer.status_code, answer.json()["code"]) == (401, "user_inactive")
    assert 'error_description="user_inactive"' in answer["WWW-Authenticate"]


def test_deleted(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """So does who is deleted."""
    clerk.sync_users(user["id"])
    clerk.delete_user(user["id"])
    clerk.sync_users(user["id"])
    answer = client.get("/in/", headers=clerk.bearer(user))
    assert (answer.status_code, answer.json()["code"]) == (401, "user_inactive")


def test_clerk_down__unknown_user(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A genuine token of a user who cannot be read now is enough to be somebody."""
    client.get("/in/", headers=clerk.bearer(clerk.create_user()))  # has the keys read
    clerk.fail(503, times=None, on="GET /v1/users/{id}")
    assert client.get("/in/", headers=clerk.bearer(user)).json()["user"] == user["id"]
    assert ClerkUser.objects.get(pk=user["id"]).state == "incomplete"


def test_no_table__503(client: Client, clerk: FakeClerk, user: dict[str, Any], no_table: None) -> None:
    """Without the table nobody can tell whether the user is banned."""
    assert client.get("/in/", headers=clerk.bearer(user)).status_code == 503


@LINKED
def test_linked(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """With linking on it is the Django user; the claims are still at hand."""
    answer = client.get("/in/", headers=clerk.bearer(user)).json()
    linked = ClerkUser.objects.select_related("user").get().user
    assert linked is not None
    assert (answer["user"], answer["kind"]) == (linked.get_username(), "User")
    assert answer["session"]


@LINKED
def test_linked__steady_state(
    client: Client, clerk: FakeClerk, user: dict[str, Any], django_assert_num_queries: Any
) -> None:
    """That costs no further statement."""
    for _ in range(2):
        client.get("/in/", headers=clerk.bearer(user))
    with django_assert_num_queries(1):
        client.get("/in/", headers=clerk.bearer(user))


@LINKED
def test_linked__inactive(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A Django user whom the project has deactivated gets 401."""
    client.get("/in/", headers=clerk.bearer(user))
    get_user_model()._default_manager.update(is_active=False)
    answer = client.get("/in/", headers=clerk.bearer(user))
    assert (answer.status_code, answer.json()["code"]) == (401, "user_inactive")


@override_settings(CLERKSYNC_LINK_USERS=True, CLERKSYNC_LINK_BY=["verified_email"])
def test_linked__nobody(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Where it is not clear who that is, signing in again would not help: 403."""
    manager: Any = get_user_model()._default_manager
    for name in ("one", "two"):
        manager.create_user(name, email="isla@harbour-works.io")
    assert client.get("/in/", headers=clerk.bearer(user)).status_code == 403
    assert client.get("/clerk/", headers=clerk.bearer(user)).status_code == 200


@LINKED
def test_linked__database_fails(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A database that fails is no reason to sign anybody out."""
    clerk.sync_users(user["id"])
    table = get_user_model()._meta.db_table

    def broken(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
        if sql.startswith("INSERT") and table in sql:
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(broken):
        assert client.get("/in/", headers=clerk.bearer(user)).status_code == 503


@pytest.mark.django_db(transaction=True)
def test_own_views__outside_of_transactions(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """No transaction is open while Clerk is asked, whatever ATOMIC_REQUESTS says."""
    seen = []
    clerk.fail(
        "callback", on="GET /v1/users/{id}", call=lambda request: seen.append(connection.in_atomic_block)
    )
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert client.get("/api/me/", headers=clerk.bearer(user)).status_code == 200
        assert client.get("/who/").json()["in_transaction"] is True
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert seen == [False]


def test_without_drf() -> None:
    """Who lacks Django REST framework is told what to install."""
    code = (
        "import importlib.util as util; find = util.find_spec;"
        "util.find_spec = lambda name, *more: None if name == 'rest_framework' else find(name, *more);"
        "import clerksync.api"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImproperlyConfigured: clerksync.api needs Django REST framework" in done.stderr
    assert "pip install 'clerksync[api]'" in done.stderr
