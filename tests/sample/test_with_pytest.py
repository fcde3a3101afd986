"""The sample's test with the pytest plugin, as the README shows it."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk


@pytest.mark.django_db
def test_new_address_arrives(clerk: FakeClerk) -> None:
    user = clerk.create_user(email="maren@harbour-works.io", synced=True)
    clerk.update_user(user["id"], email="maren@tidegate-press.com")
    clerk.fail(503)
    call_command("sync_clerk_users")
    assert ClerkUser.objects.get(pk=user["id"]).email == "maren@tidegate-press.com"
