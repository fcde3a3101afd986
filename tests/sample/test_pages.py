"""What the wheel brings along to look at."""

from __future__ import annotations

from django.test import Client

from clerksync.testing import FakeClerk


def test_admin__shows_users(admin_client: Client, clerk: FakeClerk) -> None:
    """The admin lists users and shows one."""
    user = clerk.create_user(first_name="Ottilie", synced=True)
    for page in ("", f"{user['id']}/change/"):
        assert b"Ottilie" in admin_client.get(f"/admin/clerksync/clerkuser/{page}").content
