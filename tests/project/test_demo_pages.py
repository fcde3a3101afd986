"""The demo's pages without a browser: who may sign in, where one is sent, and what is no page elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client, override_settings

from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk, every_shape
from project import demo_clerk
from project.demo_clerk import playing

pytestmark = [pytest.mark.django_db, pytest.mark.urls("project.demo_urls")]

CLAIMS = {"fullName": "full_name", "imageUrl": "image_url"}
POSTED = ["sign-in", "sign-up", "sign-out", "token"]


@pytest.fixture
def demo(clerk: FakeClerk, settings: Any) -> Iterator[FakeClerk]:
    """The demo's settings, as far as they matter here, and its Clerk."""
    settings.DEMO, settings.CLERKSYNC_REFRESH_AFTER, settings.CLERKSYNC_SIGN_IN_URL = True, 0, "/"
    settings.CLERKSYNC_CLAIM_FIELDS = CLAIMS
    with playing(clerk):
        yield clerk


@pytest.mark.parametrize("reason", ["no demo", "nothing plays"])
def test_elsewhere(client: Client, clerk: FakeClerk, settings: Any, reason: str) -> None:
    """Nobody gets a session from a site that is not the demo."""
    user = clerk.create_user()
    data = {"clerk_id": user["id"]}
    if reason == "no demo":
        with playing(clerk):
            answers = [client.post(f"/session/{name}/", data) for name in POSTED]
    else:
        settings.DEMO = True
        answers = [client.post(f"/session/{name}/", data) for name in POSTED]
    assert [answer.status_code for answer in answers] == [404] * len(POSTED)
    assert not client.cookies


def test_sign_in(client: Client, demo: FakeClerk) -> None:
    """A sign-in sets the cookies of Clerk's script; the page then names the user, whom no sync has read."""
    user = demo.create_user(first_name="Isla", last_name="Berg")
    page = client.post("/session/sign-in/", {"clerk_id": user["id"]}, follow=True)
    assert b"You are <bdi>Isla Berg</bdi>" in page.content
    assert sum(name.startswith("__session") for name in client.cookies) == 2
    assert ClerkUser.objects.get().clerk_id == user["id"]


def test_sign_in__every_shape(client: Client, demo: FakeClerk) -> None:
    """Whatever Clerk leaves out of a user, signing in and all pages work."""
    for clerk_id in every_shape(demo).values():
        client.post("/session/sign-in/", {"clerk_id": clerk_id})
        if demo_clerk.may_sign_in(clerk_id):
            assert [client.get(path).status_code for path in ("/", "/profile/", "/name/")] == [200] * 3
            client.post("/session/sign-out/")


@pytest.mark.parametrize("who", ["banned", "locked", "gone", "nobody"])
def test_sign_in__refused(client: Client, demo: FakeClerk, who: str) -> None:
    """Clerk lets nobody in who is banned, locked or gone."""
    clerk_id = demo.create_user()["id"]
    match who:
        case "banned":
            demo.ban_user(clerk_id)
        case "locked":
            demo.lock_user(clerk_id)
        case "gone":
            demo.delete_user(clerk_id)
        case _:
            clerk_id = ""
    page = client.post("/session/sign-in/", {"clerk_id": clerk_id}, follow=True)
    assert b"does not let this user in" in page.content
    assert b"Nobody is signed in" in page.content


def test_sign_in__get(client: Client, demo: FakeClerk) -> None:
    """A link cannot sign anybody in or out, nor can another site."""
    assert [client.get(f"/session/{name}/").status_code for name in POSTED] == [405] * len(POSTED)
    strict = Client(enforce_csrf_checks=True)
    assert [strict.post(f"/session/{name}/").status_code for name in POSTED] == [403] * len(POSTED)


def test_renew(client: Client, demo: FakeClerk) -> None:
    """Where there is no token any more, a page gets one first and is shown."""
    client.post("/session/sign-in/", {"clerk_id": demo.create_user(first_name="Isla")["id"]})
    for name in [name for name in client.cookies if name.startswith("__session")]:
        del client.cookies[name]
    page = client.get("/profile/", follow=True)
    assert [address for address, _ in page.redirect_chain] == [
        "/session/renew/?next=%2Fprofile%2F",
        "/profile/",
    ]
    assert page.status_code == 200


def test_renew__banned(client: Client, demo: FakeClerk) -> None:
    """Who was banned meanwhile gets none, and is signed out."""
    clerk_id = demo.create_user()["id"]
    client.post("/session/sign-in/", {"clerk_id": clerk_id})
    demo.ban_user(clerk_id)
    for name in [name for name in client.cookies if name.startswith("__session")]:
        del client.cookies[name]
    page = client.get("/profile/", follow=True)
    assert b"Nobody is signed in" in page.content
    assert client.post("/session/token/").status_code == 404


@pytest.mark.parametrize(
    "address", ["https://elsewhere.test/", "//elsewhere.test/", "javascript:alert(1)", ""]
)
def test_renew__stays_here(client: Client, demo: FakeClerk, address: str) -> None:
    """It leads to no other site."""
    client.post("/session/sign-in/", {"clerk_id": demo.create_user()["id"]})
    assert client.get("/session/renew/", {"next": address})["Location"] == "/"


def test_guarded(client: Client, demo: FakeClerk) -> None:
    """Who is not signed in is sent to the first page."""
    for path in ("/profile/", "/name/"):
        answer = client.get(path, headers={"Accept": "text/html"})
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/")


def test_name__claims_alone(client: Client, demo: FakeClerk) -> None:
    """Where nobody is ever stale it is the claims of the new token that tell."""
    user = demo.create_user(first_name="Isla", last_name="Berg", synced=True)
    client.post("/session/sign-in/", {"clerk_id": user["id"]})
    with override_settings(CLERKSYNC_REFRESH_AFTER=None):
        client.post("/name/", {"first_name": "Marin", "last_name": "Berg", "how": "nothing"})
        assert b"Marin Berg" in client.get("/name/").content
    assert ClerkUser.objects.get().first_name == "Marin"


def test_name__invalid(client: Client, demo: FakeClerk) -> None:
    """What Clerk would not take is told in the form."""
    user = demo.create_user(first_name="Isla")
    client.post("/session/sign-in/", {"clerk_id": user["id"]})
    page = client.post("/name/", {"first_name": "x" * 101, "last_name": "Berg", "how": "nothing"})
    assert b"at most 100 characters" in page.content
    assert demo.get(user["id"])["first_name"] == "Isla"
