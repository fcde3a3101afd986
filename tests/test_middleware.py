"""What the middleware tells a request, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.cache.backends.base import BaseCache
from django.db import OperationalError, connection
from django.test import AsyncClient, Client, override_settings
from pytest_socket import disable_socket, enable_socket

from clerksync import visits
from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk
from tests.links import add_row
from tests.test_capture import age, no_table

__all__ = ["no_table"]

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.pages")]

HTML = {"Accept": "text/html"}


@pytest.fixture
def user(clerk: FakeClerk) -> dict[str, Any]:
    """A user whom the table does not hold yet."""
    return clerk.create_user(first_name="Isla", last_name="Berg", email="isla@harbour-works.io")


def test_anonymous(client: Client, clerk: FakeClerk, django_assert_num_queries: Any) -> None:
    """Without a token there is nobody, and nothing is asked."""
    with django_assert_num_queries(0):
        assert client.get("/plain/").json() == {"id": None, "state": "signed-out"}
        assert client.get("/user/").json() == {"name": None, "is_none": True}
    assert clerk.requests == []


def test_bearer(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A token in the header names the user, who is in the table from the first request on."""
    answer = client.get("/user/", headers=clerk.bearer(user))
    assert answer.json() == {"name": "Isla Berg", "is_none": False}
    assert ClerkUser.objects.get().email == "isla@harbour-works.io"


def test_cookie(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """So does one in Clerk's cookie."""
    clerk.sign_in(client, user)
    assert client.get("/plain/").json() == {"id": user["id"], "state": "signed-in"}


def test_cookie__two_apps_on_one_host(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """The cookie that is named after our key wins; without it the other one is tried, and refused."""
    other = FakeClerk(seed=9, instance_id="ins_other", secret_key="sk_test_other", environment="development")
    stranger = other.create_user()
    clerk.sign_in(client, user)
    client.cookies["__session"] = other.token(stranger)
    assert client.get("/plain/").json()["id"] == user["id"]
    for name in list(client.cookies):
        if name != "__session":
            del client.cookies[name]
    assert client.get("/plain/").json() == {"id": None, "state": "signed-out"}


def test_cookie__second_is_tried(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A suffixed cookie that has expired lets the plain one be tried."""
    clerk.sign_in(client, user)
    (suffixed,) = (name for name in client.cookies if name.startswith("__session_"))
    client.cookies[suffixed] = clerk.token(user, expires_in=-60)
    assert client.get("/plain/").json()["id"] == user["id"]


def test_bearer__decides_alone(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A Bearer token that is not accepted is not made up for by a cookie; another scheme is no token."""
    clerk.sign_in(client, user)
    assert client.get("/plain/", headers={"Authorization": "Bearer junk"}).json()["id"] is None
    assert client.get("/plain/", headers={"Authorization": "Token junk"}).json()["id"] == user["id"]


@pytest.mark.parametrize("scheme", ["Token", "Basic", "bearer", "Bearer"])
def test_junk__asks_nobody(client: Client, clerk: FakeClerk, scheme: str) -> None:
    """Junk makes a visitor, without a request and without an error."""
    for junk in ("", "x", "a.b.c", "ak_1", "é" * 9):
        answer = client.get("/plain/", headers={"Authorization": f"{scheme} {junk}"})
        assert (answer.status_code, answer.json()["id"]) == (200, None)
    assert clerk.requests == []


def test_state__expired(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Who comes with an expired token is told apart from who comes without one."""
    client.cookies["__session"] = clerk.token(user, expires_in=-60)
    assert client.get("/plain/").json() == {"id": None, "state": "expired"}
    client.cookies["__session"] = clerk.token(user, status="pending")
    assert client.get("/plain/").json() == {"id": None, "state": "signed-out"}


def test_steady_state(
    client: Client, clerk: FakeClerk, user: dict[str, Any], django_assert_num_queries: Any
) -> None:
    """No socket; no statement where the user is not asked for, and one where it is."""
    clerk.sign_in(client, user)
    client.get("/plain/")
    client.get("/plain/")
    disable_socket()
    try:
        if connection.vendor == "sqlite":  # the other database is behind a socket of its own
            with django_assert_num_queries(0):
                assert client.get("/plain/").json()["id"] == user["id"]
            with django_assert_num_queries(1):
                assert client.get("/user/").json()["name"] == "Isla Berg"
    finally:
        enable_socket()
    before = len(clerk.requests)
    with django_assert_num_queries(1):
        client.get("/user/")
    assert len(clerk.requests) == before


def test_async(async_client: AsyncClient, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Under ASGI the same, without leaving the event loop once the user is known."""

    async def visit() -> list[Any]:
        headers = clerk.bearer(user)
        paths = ("/user-async/", "/plain-async/", "/guarded-async/", "/user/")
        return [await async_client.get(path, headers=headers) for path in paths]

    answers = async_to_sync(visit)()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[0].json() == {"name": "Isla Berg", "user": ""}
    assert answers[1].json()["id"] == user["id"]
    assert answers[3].json()["name"] == "Isla Berg"


def test_deleted_user(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Somebody whom Clerk has deleted is nobody, though the token holds for some seconds more."""
    clerk.sign_in(client, user)
    client.get("/plain/")
    clerk.advance(seconds=5)
    clerk.delete_user(user["id"])
    clerk.send_webhook("user.deleted", user)
    assert client.get("/user/").json()["name"] is None
    assert client.get("/guarded/", headers=HTML).status_code == 302


def test_banned_user(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Somebody who is banned is let into no guarded view."""
    clerk.sign_in(client, user)
    assert client.get("/guarded/").status_code == 200
    ClerkUser.objects.update(banned=True)
    assert client.get("/guarded/").status_code == 401


@pytest.mark.parametrize("path", ["/guarded/", "/guarded-async/", "/guarded-class/"])
def test_guard(client: Client, clerk: FakeClerk, user: dict[str, Any], path: str) -> None:
    """Browsers are sent to the sign-in page, others get 401; those who are signed in come in."""
    answer = client.get(f"{path}?page=2", headers=HTML)
    assert answer.status_code == 302
    assert answer["Location"] == (
        f"/accounts/login/?redirect_url=http%3A%2F%2Ftestserver{path.replace('/', '%2F')}%3Fpage%3D2"
    )
    refused = client.get(path, headers={"Accept": "application/json"})
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")
    assert refused.json() == {"error": "not signed in", "reason": "signed_out"}
    clerk.sign_in(client, user)
    assert client.get(path, headers=HTML).content == b"welcome"


@override_settings(CLERKSYNC_SIGN_IN_URL="https://accounts.harbour.test/sign-in?theme=dark")
def test_guard__sign_in_url(client: Client) -> None:
    """The address of the sign-in page may be elsewhere and have a query."""
    url = client.get("/guarded/", headers=HTML)["Location"]
    assert url.startswith("https://accounts.harbour.test/sign-in?theme=dark&redirect_url=http%3A")


def test_guard__expired_and_pending(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A 401 says why."""
    for token, reason in (
        (clerk.token(user, expires_in=-60), "expired"),
        (clerk.token(user, status="pending"), "session_pending"),
    ):
        answer = client.get("/guarded/", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["reason"]) == (401, reason)


def test_guard__role(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A role of the session's organisation can be asked for."""
    assert client.get("/guarded-class-async/", headers=clerk.bearer(user)).status_code == 403
    granted = clerk.bearer(user, org_permissions=["org:notes:read"])
    assert client.get("/guarded-class-async/", headers=granted).status_code == 200
    assert client.get("/for-admins/", headers=clerk.bearer(user)).status_code == 403
    assert client.get("/for-admins/", headers=clerk.bearer(user, org_role="org:admin")).status_code == 200


def test_guard__keys_unavailable(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """While nobody can tell who it is, nobody is called signed out: 503."""
    token = clerk.bearer(user)
    clerk.fail(500, times=None, on="GET /v1/jwks")
    assert client.get("/guarded/", headers=token).status_code == 503
    assert client.get("/plain/", headers=token).json()["id"] is None


@override_settings(
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        "clerksync.middleware.ClerkMiddleware",
    ]
)
def test_guard__beside_djangos(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Django's LoginRequiredMiddleware leaves guarded views to us."""
    assert client.get("/guarded/", headers=clerk.bearer(user)).status_code == 200


@override_settings(
    CLERKSYNC_LINK_USERS=True,
    MIDDLEWARE=[
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "clerksync.middleware.ClerkMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ],
)
@pytest.mark.parametrize("path", ["/plain/", "/user/", "/django-user/", "/plain-async/"])
def test_caches__no_page_of_others(client: Client, clerk: FakeClerk, user: dict[str, Any], path: str) -> None:
    """What a cache keeps of one user's page is shown to nobody else, whether cookie or header told who it was."""
    clerk.sign_in(client, user)
    visitors = Client().get(path)
    assert {"Cookie", "Authorization"} <= set(visitors["Vary"].split(", "))
    assert client.get(path).content != visitors.content
    assert Client().get(path).content == visitors.content
    mine = Client().get(path, headers=clerk.bearer(user)).content
    assert Client().get(path, headers=clerk.bearer(clerk.create_user())).content != mine


def test_caches__guarded_view(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Nor does ``cache_page`` around a guarded view, which keeps the page before the middleware sees it."""
    clerk.sign_in(client, user)
    assert client.get("/cached/").json() == {"id": user["id"]}
    other = clerk.create_user()
    assert client.get("/cached/", headers=clerk.bearer(other)).json() == {"id": other["id"]}
    assert Client().get("/cached/").status_code == 401


class BrokenCache(BaseCache):
    """A cache that is down."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__({})

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Fail."""
        raise ConnectionError("cache down")

    set = add = delete = get

    def clear(self) -> None:
        """Nothing to clear."""


@override_settings(
    CACHES={"default": {"BACKEND": "tests.test_middleware.BrokenCache"}}, CLERKSYNC_REFRESH_TIMEOUT=0.3
)
def test_degrades__cache_down(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A cache that is down costs what it would have saved, and no page."""
    assert client.get("/user/", headers=clerk.bearer(user)).json()["name"] == "Isla Berg"
    age(user["id"], 301)
    clerk.fail(503, times=None, on="GET /v1/users/{id}")
    assert client.get("/user/", headers=clerk.bearer(user)).json()["name"] == "Isla Berg"


def test_degrades__no_table(client: Client, clerk: FakeClerk, user: dict[str, Any], no_table: None) -> None:
    """Before the migrations the token alone tells who it is."""
    answer = client.get("/user/", headers=clerk.bearer(user))
    assert (answer.status_code, answer.json()["name"]) == (200, None)
    assert client.get("/plain/", headers=clerk.bearer(user)).json()["id"] == user["id"]


@override_settings(CLERKSYNC_REFRESH="mark")
def test_refresh__mark(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A user who is not fresh may be left to the drain."""
    clerk.sync_users(user["id"])
    age(user["id"], 301)
    client.get("/plain/", headers=clerk.bearer(user))
    assert ClerkUser.objects.get().needs_refresh


def linked_name() -> str | None:
    """The username of the one user's Django user."""
    linked = ClerkUser.objects.get().user
    return linked.get_username() if linked else None


@override_settings(CLERKSYNC_LINK_USERS=True)
def test_linked(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """The token decides who Django's user is, whatever session there is; the admin's path is Django's own."""
    boss = get_user_model().objects.create_superuser("boss", "boss@harbour-works.io", "secret")
    client.force_login(boss)
    assert client.get("/django-user/").json() == {"user": "boss", "in": True}
    clerk.sign_in(client, user)
    linked = client.get("/django-user/").json()
    assert (linked["in"], linked["user"] != "boss") == (True, True)
    assert linked_name() == linked["user"]
    assert client.get("/admin/who/").json()["user"] == "boss"
    assert client.get("/admin/").status_code == 200
    with override_settings(CLERKSYNC_EXEMPT_PATHS=()):
        assert client.get("/admin/who/").json()["user"] == linked["user"]


@override_settings(CLERKSYNC_LINK_USERS=True)
def test_linked__async(async_client: AsyncClient, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """``request.auser`` is the linked user, too."""

    async def visit() -> Any:
        return await async_client.get("/user-async/", headers=clerk.bearer(user))

    found = async_to_sync(visit)().json()
    assert found == {"name": "Isla Berg", "user": linked_name()}


@override_settings(CLERKSYNC_LINK_USERS=True)
def test_linked__statements(
    client: Client, clerk: FakeClerk, user: dict[str, Any], django_assert_num_queries: Any
) -> None:
    """The linked user costs one statement, together with the row."""
    clerk.sign_in(client, user)
    client.get("/django-user/")
    client.get("/django-user/")
    with django_assert_num_queries(1):
        client.get("/django-user/")


@override_settings(CLERKSYNC_LINK_USERS=True)
def test_linked__inactive(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """A Django user who is not active is nobody."""
    clerk.sign_in(client, user)
    assert client.get("/django-user/").json()["in"] is True
    get_user_model().objects.update(is_active=False)
    assert client.get("/django-user/").json()["in"] is False


@pytest.mark.parametrize("column", ["banned", "deprovisioned"])
@override_settings(CLERKSYNC_LINK_USERS=True)
def test_linked__shut_out(client: Client, clerk: FakeClerk, user: dict[str, Any], column: str) -> None:
    """Nor is the one whom Clerk has shut out, even while is_active says otherwise."""
    clerk.sign_in(client, user)
    assert client.get("/django-user/").json()["in"] is True
    ClerkUser.objects.update(**{column: True})
    assert client.get("/django-user/").json()["in"] is False


def test_not_linked__django_session_stays(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """With linking off Django's own session decides who Django's user is."""
    client.force_login(get_user_model().objects.create_user("boss"))
    clerk.sign_in(client, user)
    assert client.get("/django-user/").json()["user"] == "boss"


@override_settings(CLERKSYNC_LINK_USERS=True)
def test_degrades__database_down(client: Client, clerk: FakeClerk, user: dict[str, Any]) -> None:
    """Without a database there is no user, and no error either."""

    def refuse(*args: Any) -> Any:
        raise OperationalError("gone away")

    with connection.execute_wrapper(refuse):
        assert client.get("/plain/", headers=clerk.bearer(user)).json()["id"] == user["id"]
        assert client.get("/django-user/", headers=clerk.bearer(user)).json()["in"] is False


@override_settings(CLERKSYNC_LINK_USERS=True, CLERKSYNC_LINK_BY=["verified_email"])
def test_linked__undecided(
    client: Client, clerk: FakeClerk, user: dict[str, Any], django_assert_num_queries: Any
) -> None:
    """Where two Django users fit there is none, and they are not searched for on every page."""
    for name in ("one", "two"):
        get_user_model().objects.create_user(name, user["email_addresses"][0]["email_address"])
    clerk.sign_in(client, user)
    for _ in range(2):
        assert client.get("/django-user/").json()["in"] is False
    with django_assert_num_queries(1):
        client.get("/django-user/")


class Replicated:
    """Reads go to a replica, which lags behind."""

    def db_for_read(self, model: Any, **hints: object) -> str:
        """Of everything."""
        return "other"

    def db_for_write(self, model: Any, **hints: object) -> str:
        """Of everything."""
        return "default"

    def allow_relation(self, *args: object, **hints: object) -> bool:
        """It is the same database."""
        return True


@pytest.mark.django_db(databases=["default", "other"])
def test_replica__does_not_know_a_new_user(clerk: FakeClerk) -> None:
    """Whom the replica lacks is looked for where users are written."""
    add_row("user_a", first_name="Isla")
    with override_settings(DATABASE_ROUTERS=["tests.test_middleware.Replicated"]):
        row = visits._load("user_a")
    assert row is not None
    assert row.first_name == "Isla"
