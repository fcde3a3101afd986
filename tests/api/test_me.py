"""``GET me/``: the caller's profile, read from Clerk before answering if that is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import django
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
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


def reads(clerk: FakeClerk) -> int:
    """How many users were read."""
    return sum(request.path.startswith("/v1/users/") for request in clerk.requests)


def test_nobody(client: Client, clerk: FakeClerk, admin_user: Any) -> None:
    """It is for users of Clerk; who else is known is not meant."""
    assert client.get("/api/me/").status_code == 401
    client.force_login(admin_user)
    assert client.get("/api/me/").status_code == 401


def test_unknown(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A user whom the table does not know is read, once, and told in full."""
    answer = client.get("/api/me/", headers=clerk.bearer(user))
    told = answer.json()
    assert told["display_name"] == "Isla Berg"
    assert list(told) == [
        "clerk_id", "email", "email_verified", "phone_number", "phone_verified", "username",
        "first_name", "last_name", "display_name", "image_url", "has_image", "external_id",
        "password_enabled", "two_factor_enabled", "created_at", "updated_at", "last_sign_in_at",
        "last_active_at", "legal_accepted_at", "public_metadata", "unsafe_metadata", "state",
    ]  # fmt: skip
    assert (told["clerk_id"], told["state"], reads(clerk)) == (user["id"], "active", 1)
    assert "Clerk-Data-Age" not in answer
    assert answer["Cache-Control"] == "no-store, private"
    assert {"Authorization", "Cookie"} <= set(answer["Vary"].split(", "))


def test_steady_state(
    client: Client, clerk: FakeClerk, user: dict[str, Any], django_assert_num_queries: Any
) -> None:
    """A fresh profile costs two statements and no request."""
    for _ in range(2):
        client.get("/api/me/", headers=clerk.bearer(user))
    clerk.clear_requests()
    with django_assert_num_queries(2):
        client.get("/api/me/", headers=clerk.bearer(user))
    assert clerk.requests == []


@pytest.mark.parametrize("how", ["inline", "mark"])
def test_stale(client: Client, clerk: FakeClerk, user: dict[str, Any], how: str) -> None:
    """A profile that is not fresh is read before answering, also where pages put that off."""
    clerk.sync_users(user["id"])
    clerk.advance(seconds=1)
    clerk.update_user(user["id"], first_name="Marin")
    age(user["id"], 301)
    with override_settings(CLERKSYNC_REFRESH=how):
        answer = client.get("/api/me/", headers=clerk.bearer(user))
    assert (answer.json()["first_name"], reads(clerk)) == ("Marin", 1)
    assert "Clerk-Data-Age" not in answer
    assert not ClerkUser.objects.get().needs_refresh


def test_stale__task(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """So it is where a worker would read it, and has not yet."""
    pytest.importorskip("clerksync.tasks", reason="neither Django 6.0 nor django-tasks is installed")
    clerk.sync_users(user["id"])
    clerk.advance(seconds=1)
    clerk.update_user(user["id"], first_name="Marin")
    age(user["id"], 301)
    package = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
    nobody = {"default": {"BACKEND": f"{package}.backends.dummy.DummyBackend"}}
    with override_settings(CLERKSYNC_REFRESH="task", TASKS=nobody):
        answer = client.get("/api/me/", headers=clerk.bearer(user))
    assert answer.json()["first_name"] == "Marin"


@override_settings(CLERKSYNC_REFRESH_AFTER=0)
def test_every_request(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Where every request reads, one request still reads once."""
    for _ in range(3):
        answer = client.get("/api/me/", headers=clerk.bearer(user))
        assert "Clerk-Data-Age" not in answer
    assert reads(clerk) == 3


def test_placeholder(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Invented data is replaced before anybody sees it, though the row looks fresh."""
    clerk.sync_users(user["id"])
    client.get("/api/me/", headers=clerk.bearer(user))
    made_up = {"email": f"{user['id']}@example.com", "first_name": "New", "last_name": "User"}
    ClerkUser.objects.update(**made_up, checked_at=None)
    answer = client.get("/api/me/", headers=clerk.bearer(user))
    assert (answer.json()["email"], reads(clerk)) == ("isla@harbour-works.io", 1)


def test_clerk_down(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """With Clerk down the answer is what is known, and how old that is."""
    clerk.sync_users(user["id"])
    client.get("/api/me/", headers=clerk.bearer(user))
    age(user["id"], 1000)
    clerk.fail(503, times=None, on="GET /v1/users/{id}")
    with override_settings(CLERKSYNC_REFRESH_AFTER=301):  # so that this process has nothing in mind
        for _ in range(2):
            answer = client.get("/api/me/", headers=clerk.bearer(user))
            assert (answer.status_code, answer.json()["first_name"]) == (200, "Isla")
            assert 990 <= int(answer["Clerk-Data-Age"]) < 1100


def test_clerk_down__unknown(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Of a user of whom nothing is known, the id is told; the state says why there is no more."""
    client.get("/api/me/", headers=clerk.bearer(clerk.create_user()))  # has the keys read
    clerk.fail(503, times=None, on="GET /v1/users/{id}")
    answer = client.get("/api/me/", headers=clerk.bearer(user))
    assert answer.status_code == 200
    told = answer.json()
    assert (told["clerk_id"], told["state"], told["email"]) == (user["id"], "incomplete", None)
    assert 0 <= int(answer["Clerk-Data-Age"]) < 60


@override_settings(CLERKSYNC_REFRESH_AFTER=None)
def test_age__never_stale(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Where users are fresh for ever their age is no news."""
    clerk.sync_users(user["id"])
    age(user["id"], 100_000)
    answer = client.get("/api/me/", headers=clerk.bearer(user))
    assert "Clerk-Data-Age" not in answer
    assert reads(clerk) == 0


def test_no_table__503(client: Client, clerk: FakeClerk, user: dict[str, Any], no_table: None) -> None:
    """Without a table there is nothing to tell."""
    assert client.get("/api/me/", headers=clerk.bearer(user)).status_code == 503


def test_private_metadata__refused(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A user of Clerk may not read what is kept from the browser, not even the own one's."""
    answer = client.get("/api/me/?include=private_metadata", headers=clerk.bearer(user))
    assert answer.status_code == 403


@override_settings(CLERKSYNC_LINK_USERS=True)
def test_private_metadata__allowed(client: Client, clerk: FakeClerk) -> None:
    """A linked user with the permission may, and gets it only when asking."""
    user = clerk.create_user(private_metadata={"plan": "gold"})
    client.get("/api/me/", headers=clerk.bearer(user))
    django_user: Any = get_user_model()._default_manager.get()
    django_user.user_permissions.add(Permission.objects.get(codename="view_private_metadata"))
    asked = client.get("/api/me/?include=private_metadata", headers=clerk.bearer(user))
    assert asked.json()["private_metadata"] == {"plan": "gold"}
    assert "private_metadata" not in client.get("/api/me/", headers=clerk.bearer(user)).json()


def test_unknown_parameter(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A parameter that does not exist is an error, and so is a value."""
    headers = clerk.bearer(user)
    assert client.get("/api/me/?includes=x", headers=headers).json() == {
        "includes": ["There is no such parameter; there are: include."]
    }
    assert client.get("/api/me/?include=x", headers=headers).status_code == 400
    assert client.get("/api/me/?format=json", headers=headers).status_code == 200


def test_write__not_allowed(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Profiles are changed at Clerk."""
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)("/api/me/", headers=clerk.bearer(user)).status_code == 405


def test_future_claims(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A token that knows another address leads to a read, too."""
    clerk.sync_users(user["id"])
    clerk.advance(seconds=1)
    clerk.update_user(user["id"], email="isla@tidegate-press.com")
    past = datetime.now(UTC) - timedelta(seconds=30)
    ClerkUser.objects.update(observed_ms=int(past.timestamp() * 1000))
    with override_settings(CLERKSYNC_CLAIM_FIELDS={"mail": "email"}):
        headers = clerk.bearer(user, claims={"mail": "isla@tidegate-press.com"})
        assert client.get("/api/me/", headers=headers).json()["email"] == "isla@tidegate-press.com"
