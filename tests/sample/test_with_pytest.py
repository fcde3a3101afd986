"""The sample's tests with the pytest plugin."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.test import Client

from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk


@pytest.mark.django_db
def test_sync__new_address(clerk: FakeClerk) -> None:
    """A new e-mail address arrives with the next sync, although Clerk is busy at first."""
    user = clerk.create_user(email="maren@harbour-works.io", synced=True)
    clerk.update_user(user["id"], email="maren@quay-side.io")
    clerk.fail(503)
    call_command("sync_clerk_users")
    assert ClerkUser.objects.get(pk=user["id"]).email == "maren@quay-side.io"


def test_admin__shows_users(admin_client: Client, clerk: FakeClerk) -> None:
    """The admin lists users and shows one."""
    user = clerk.create_user(first_name="Ottilie", synced=True)
    for page in ("", f"{user['id']}/change/"):
        assert b"Ottilie" in admin_client.get(f"/admin/clerksync/clerkuser/{page}").content
