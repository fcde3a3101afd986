"""Webhooks of the fake Clerk."""

from __future__ import annotations

from typing import Any

import pytest

from clerksync.models import ClerkUser, WebhookEvent
from clerksync.testing import FakeClerk

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _urls(settings: Any) -> None:
    settings.ROOT_URLCONF = "project.urls"


def test_send_webhook__the_life_of_a_user(clerk: FakeClerk) -> None:
    """Each event carries what Clerk holds at that moment."""
    user = clerk.create_user(email="maren@harbour-works.io")
    assert clerk.send_webhook("user.created", user).json() == {"status": "applied"}
    clerk.update_user(user["id"], first_name="Marin")
    clerk.send_webhook("user.updated", user)
    assert ClerkUser.objects.get(pk=user["id"]).first_name == "Marin"
    clerk.advance(seconds=5)
    clerk.delete_user(user["id"])
    assert clerk.send_webhook("user.deleted", user).json() == {"status": "applied"}
    assert ClerkUser.objects.get(pk=user["id"]).state == "deleted"


def test_send_webhook__a_session_carries_its_user(clerk: FakeClerk) -> None:
    """A sign-in shows the user as well."""
    user = clerk.create_user(email="maren@harbour-works.io")
    clerk.send_webhook("session.created", user)
    assert ClerkUser.objects.filter(pk=user["id"]).exists()


def test_send_webhook__any_object(clerk: FakeClerk) -> None:
    """Types without a user take what they are given."""
    response = clerk.send_webhook("organization.created", data={"id": "org_1"})
    assert response.json() == {"status": "ignored"}
    assert WebhookEvent.objects.get().object_id == "org_1"


def test_send_webhook__the_same_message_twice(clerk: FakeClerk) -> None:
    """With an id of one's own."""
    user = clerk.create_user(email="maren@harbour-works.io")
    answers = [clerk.send_webhook("user.created", user, svix_id="msg_1").json()["status"] for _ in range(2)]
    assert answers == ["applied", "duplicate"]
