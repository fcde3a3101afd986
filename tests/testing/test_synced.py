"""``synced=True``: users of the fake are in the table as well, as a sync would have written them."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk, every_shape

pytestmark = pytest.mark.django_db


def row(clerk_id: str) -> ClerkUser:
    return ClerkUser.objects.get(pk=clerk_id)


def test_create_user__synced(clerk: FakeClerk) -> None:
    """A new user's row holds what the user's JSON says."""
    user = clerk.create_user(email="maren@harbour-works.io", first_name="Maren", synced=True)
    assert (row(user["id"]).email, row(user["id"]).first_name) == ("maren@harbour-works.io", "Maren")


def test_create_user__not_synced(clerk: FakeClerk) -> None:
    """Without it, Clerk alone knows the user."""
    clerk.create_user()
    assert not ClerkUser.objects.exists()


def test_create_users__synced(clerk: FakeClerk) -> None:
    """Many are written at once; none are none."""
    ids = clerk.create_users(150, synced=True)
    assert sorted(ClerkUser.objects.active().values_list("pk", flat=True)) == sorted(ids)
    assert clerk.create_users(0, synced=True) == []


def test_update_user__synced(clerk: FakeClerk) -> None:
    """Changes in the same millisecond arrive one after the other."""
    user = clerk.create_user(synced=True)
    for name in ("Otto", "Ottilie"):
        assert clerk.update_user(user["id"], first_name=name, synced=True)["first_name"] == name
        assert row(user["id"]).first_name == name


def test_delete_user__synced(clerk: FakeClerk) -> None:
    """The only user, and just created: the row is a tombstone."""
    user = clerk.create_user(synced=True)
    assert clerk.delete_user(user["id"], synced=True)["deleted"] is True
    assert row(user["id"]).state == ClerkUser.State.DELETED
    with pytest.raises(KeyError):
        clerk.delete_user(user["id"], synced=True)


def test_synced__then_a_full_sync(clerk: FakeClerk) -> None:
    """A sync afterwards finds nothing to do."""
    users = every_shape(clerk)
    clerk.sync_users(*users.values())
    before = list(ClerkUser.objects.order_by("pk").values())
    call_command("sync_clerk_users", "--no-progress", verbosity=0)
    assert list(ClerkUser.objects.order_by("pk").values()) == before


def test_synced__leaves_no_trace(clerk: FakeClerk) -> None:
    """Faults wait for the code that is tested, and only its requests are recorded."""
    clerk.fail(403, on="*")
    user = clerk.create_user(synced=True)
    assert clerk.requests == []
    with pytest.raises(CommandError, match="403"):
        call_command("sync_clerk_users", user=[user["id"]])
    assert [request.status for request in clerk.requests] == [403]


def test_synced__rows_of_another_origin(clerk: FakeClerk) -> None:
    """Rows that a test has made by itself are not in the way."""
    now = timezone.now()
    ClerkUser.objects.create(
        clerk_id="user_made", state="active", created_ms=1, first_seen=now, last_written=now
    )
    user = clerk.create_user(synced=True)
    clerk.delete_user(user["id"], synced=True)
    assert [row("user_made").state, row(user["id"]).state] == ["active", "deleted"]


def test_synced__another_fake(clerk: FakeClerk) -> None:
    """A Clerk that the settings do not name can sync nobody, and says why."""
    with pytest.raises(CommandError) as caught:
        FakeClerk(seed=1).create_user(synced=True)
    assert "the settings have to name this fake Clerk" in caught.value.__notes__[0]


@pytest.mark.django_db(transaction=True)
def test_synced__without_a_transaction(clerk: FakeClerk) -> None:
    """It works just so where tests commit."""
    assert row(clerk.create_user(synced=True)["id"]).state == ClerkUser.State.ACTIVE
