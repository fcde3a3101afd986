"""Linking one row on demand, and keeping Django users in step."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clerksync import linking
from clerksync.models import ClerkUser
from tests.links import add_django_user, add_row, linked_to, linking_on

pytestmark = pytest.mark.django_db


def test_off__nobody() -> None:
    """Linking has to be turned on."""
    assert linking.user_for(add_row("user_a")) is None
    assert not User.objects.exists()


@linking_on()
def test_new_user__created_once() -> None:
    """Who fits nobody gets a Django user, named after the Clerk id, who cannot log in by a password."""
    row = add_row("user_a", email="ada@harbour-works.io", first_name="Ada")
    user = linking.user_for(row)
    assert isinstance(user, User)
    assert (user.username, user.email, user.first_name, user.last_name) == (
        "user_a",
        "ada@harbour-works.io",
        "Ada",
        "",
    )
    assert not user.has_usable_password()
    assert not user.is_staff
    assert linking.user_for(ClerkUser.objects.get()) == user
    assert linked_to("user_a") == "user_a"


@linking_on()
def test_new_user__not_asked_for() -> None:
    """Without ``create`` nobody is created."""
    assert linking.user_for(add_row("user_a"), create=False) is None
    assert not User.objects.exists()


@linking_on("verified_email")
def test_linked__costs_nothing() -> None:
    """Whose Django user is loaded and up to date is answered without the database."""
    add_django_user("ada", email="ada@harbour-works.io")
    linking.user_for(add_row("user_a", email="ada@harbour-works.io"))
    row = ClerkUser.objects.select_related("user").get()
    with CaptureQueriesContext(connection) as queries:
        user = linking.user_for(row)
    assert isinstance(user, User)
    assert user.username == "ada"
    assert len(queries) == 0
