"""The authentication backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate, get_user
from django.contrib.auth.models import User
from django.test import Client, RequestFactory, override_settings

from clerksync.backends import ClerkBackend
from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk
from tests.links import linking_on

BACKENDS = ["clerksync.backends.ClerkBackend", "django.contrib.auth.backends.ModelBackend"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_backend")]


@pytest.fixture
def _backend() -> Iterator[None]:
    with override_settings(AUTHENTICATION_BACKENDS=BACKENDS), linking_on():
        yield


def test_token__gives_the_django_user(clerk: FakeClerk) -> None:
    """A good token of somebody in the table is the Django user, who is created if need be."""
    clerk_id = clerk.create_user(synced=True)["id"]
    user = authenticate(RequestFactory().get("/"), clerk_token=clerk.token(clerk_id))
    assert user == User.objects.get()
    assert user == authenticate(None, clerk_token=clerk.token(clerk_id))


def test_token__async(clerk: FakeClerk) -> None:
    """The same in an async view."""
    clerk_id = clerk.create_user(synced=True)["id"]
    assert async_to_sync(aauthenticate)(clerk_token=clerk.token(clerk_id)) == User.objects.get()


def test_token__of_somebody_new(clerk: FakeClerk) -> None:
    """Somebody whom no webhook and no sync has told of is read from Clerk."""
    clerk_id = clerk.create_user(first_name="Maren")["id"]
    user = authenticate(None, clerk_token=clerk.token(clerk_id))
    assert isinstance(user, User)
    assert (user.username, user.first_name) == (clerk_id, "Maren")


def test_token__refused(clerk: FakeClerk) -> None:
    """Junk, a forged token, one that has expired, and no token at all give nobody."""
    known = clerk.create_user(synced=True)["id"]
    assert authenticate(None, clerk_token="junk") is None
    assert authenticate(None, clerk_token=clerk.token(known) + "x") is None
    assert authenticate(None, clerk_token=clerk.token(known, expires_in=-60)) is None
    assert authenticate(None, username="ada", password="") is None
    assert not User.objects.exists()


@pytest.mark.parametrize("columns", [{"banned": True}, {"deprovisioned": True}])
def test_token__kept_out(clerk: FakeClerk, columns: dict[str, object]) -> None:
    """Who is kept out of Clerk is kept out here while the token is still valid."""
    clerk_id = clerk.create_user(synced=True)["id"]
    token = clerk.token(clerk_id)
    assert authenticate(None, clerk_token=token) is not None
    ClerkUser.objects.update(**columns)
    assert authenticate(None, clerk_token=token) is None


def test_token__deleted(clerk: FakeClerk) -> None:
    """The same of who is deleted, and the Django session ends as well."""
    clerk_id = clerk.create_user(synced=True)["id"]
    token = clerk.token(clerk_id)
    user = authenticate(None, clerk_token=token)
    clerk.delete_user(clerk_id, synced=True)
    assert authenticate(None, clerk_token=token) is None
    assert user is not None
    assert ClerkBackend().get_user(user.pk) is None


def test_token__deactivated_here(clerk: FakeClerk) -> None:
    """Whom the project has deactivated is not let in by Clerk."""
    clerk_id = clerk.create_user(synced=True)["id"]
    authenticate(None, clerk_token=clerk.token(clerk_id))
    User.objects.update(is_active=False)
    assert authenticate(None, clerk_token=clerk.token(clerk_id)) is None


def test_session__goes_on(clerk: FakeClerk) -> None:
    """A Django session that began with a token lasts until the user is deactivated or kept out of Clerk."""
    clerk_id = clerk.create_user(synced=True)["id"]
    user = authenticate(None, clerk_token=clerk.token(clerk_id))
    assert isinstance(user, User)
    client = Client()
    client.force_login(user, backend=BACKENDS[0])

    def signed_in() -> bool:
        request = RequestFactory().get("/")
        request.session = client.session
        return bool(get_user(request).is_authenticated)

    assert signed_in()
    ClerkUser.objects.update(banned=True)
    assert not signed_in()
    ClerkUser.objects.update(banned=False)
    assert signed_in()
    User.objects.update(is_active=False)
    assert not signed_in()
