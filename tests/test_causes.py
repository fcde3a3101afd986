"""How findings came about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from clerksync.findings import Cause
from clerksync.models import ClerkUser, WebhookEvent
from clerksync.testing import FakeClerk
from tests.test_audit import HOUR_MS, pair, put, run, synced

pytestmark = pytest.mark.django_db

RECORDED = WebhookEvent.State.APPLIED


def moment(clerk: FakeClerk, *, minutes_ago: float = 0) -> datetime:
    """A time by Clerk's clock."""
    return datetime.fromtimestamp(clerk.clock.now_ms() / 1000, UTC) - timedelta(minutes=minutes_ago)


def record(clerk_id: str, at: datetime, *, state: str = RECORDED) -> None:
    """An event about this user."""
    WebhookEvent.objects.create(
        svix_id=f"msg_{WebhookEvent.objects.count()}",
        type="user.updated",
        object_id=clerk_id,
        state=state,
        occurred_at=at,
        sent_at=at,
        received_at=at,
        finished_at=at,
    )


def cause_of(clerk_id: str) -> Cause:
    """The one cause that is told of a user."""
    (cause,) = {finding.cause for finding in run()[0] if finding.clerk_id == clerk_id}
    return cause


def behind(clerk: FakeClerk) -> str:
    """A user who was changed two hours ago, of which the table does not know."""
    one, other = pair(clerk)
    record(other, moment(clerk, minutes_ago=30))
    clerk.update_user(one, first_name="Marin")
    clerk.advance(ms=2 * HOUR_MS)
    return one


def test_missed_event__no_event_of_the_version(clerk_server: FakeClerk) -> None:
    """While events were recorded one about this version should have been."""
    one = behind(clerk_server)
    assert cause_of(one) is Cause.MISSED_EVENT
    record(one, moment(clerk_server, minutes_ago=125))
    assert cause_of(one) is Cause.MISSED_EVENT


def test_missed_event__not_if_it_came(clerk_server: FakeClerk) -> None:
    """An event that came, and did not help, was not missed."""
    one = behind(clerk_server)
    record(one, moment(clerk_server, minutes_ago=120), state=WebhookEvent.State.PARKED)
    assert cause_of(one) is Cause.UNKNOWN


def test_missed_event__not_without_an_endpoint(clerk_server: FakeClerk) -> None:
    """Without a secret, or before the first event on record, nothing can be said."""
    one = behind(clerk_server)
    with override_settings(CLERK_WEBHOOK_SIGNING_SECRET=""):
        assert cause_of(one) is Cause.UNKNOWN
    WebhookEvent.objects.update(received_at=moment(clerk_server, minutes_ago=60))
    assert cause_of(one) is Cause.UNKNOWN
    WebhookEvent.objects.all().delete()
    assert cause_of(one) is Cause.UNKNOWN


def test_missed_event__not_yet(clerk_server: FakeClerk) -> None:
    """An event may be under way for two minutes."""
    _, other = pair(clerk_server)
    record(other, moment(clerk_server, minutes_ago=30))
    new = clerk_server.create_user()["id"]
    clerk_server.advance(seconds=60)
    assert cause_of(new) is Cause.UNKNOWN
    clerk_server.advance(seconds=63)
    assert cause_of(new) is Cause.MISSED_EVENT


def test_missing__was_there(clerk_server: FakeClerk) -> None:
    """A user of whom an event was applied was in the table once."""
    gone, other = pair(clerk_server)
    record(other, moment(clerk_server, minutes_ago=200))
    record(gone, moment(clerk_server, minutes_ago=100))
    ClerkUser.objects.filter(pk=gone).delete()
    assert cause_of(gone) is Cause.DELETED_HERE


def test_never_completed__known_by_the_id(clerk_server: FakeClerk) -> None:
    """A row of which only the id is known was never read."""
    bad, _ = pair(clerk_server)
    put(bad, state="incomplete", updated_ms=0, observed_ms=0, digest="", email="nobody@example.com")
    assert cause_of(bad) is Cause.NEVER_COMPLETED


def test_deleted__here_and_there(clerk_server: FakeClerk) -> None:
    """A tombstone of a living user, and a living row of one who left."""
    buried, left = pair(clerk_server)
    clerk_server.create_user()
    put(buried, state="deleted")
    clerk_server.delete_user(left)
    assert (cause_of(buried), cause_of(left)) == (Cause.DELETED_HERE, Cause.DELETED_THERE)


@pytest.mark.parametrize("payload", ["stored", "not stored"])
def test_changed_past_the_mirror__same_version(clerk_server: FakeClerk, payload: str) -> None:
    """What fits its digest, but for its columns, was written by other code."""
    with override_settings(CLERKSYNC_STORE_PAYLOAD=payload == "stored"):
        bad, _ = pair(clerk_server)
        put(bad, email="nobody@example.com", banned=True)
        assert cause_of(bad) is Cause.CHANGED_PAST_THE_MIRROR


def test_changed_past_the_mirror__older_version(clerk_server: FakeClerk) -> None:
    """The payload tells, even where Clerk has gone on."""
    bad, _ = pair(clerk_server)
    put(bad, email="nobody@example.com")
    clerk_server.update_user(bad, first_name="Marin")
    clerk_server.advance(ms=2 * HOUR_MS)
    assert cause_of(bad) is Cause.CHANGED_PAST_THE_MIRROR


def test_changed_past_the_mirror__version(clerk_server: FakeClerk) -> None:
    """A version that the payload does not have was not stored by the mirror."""
    bad, _ = pair(clerk_server)
    put(bad, updated_ms=clerk_server.clock.now_ms() + HOUR_MS)
    assert cause_of(bad) is Cause.CHANGED_PAST_THE_MIRROR


def test_changed_past_the_mirror__row_of_others(clerk_server: FakeClerk) -> None:
    """A row without a digest was not written by the mirror, whether or not Clerk knows the user."""
    bad, strange = pair(clerk_server)
    clerk_server.create_user()
    put(bad, digest="", payload_text=None, email="nobody@example.com")
    put(strange, digest="")
    clerk_server.delete_user(strange)
    assert cause_of(bad) is Cause.CHANGED_PAST_THE_MIRROR
    assert cause_of(strange) is Cause.CHANGED_PAST_THE_MIRROR


def test_unknown__silent_change_and_placeholder_at_clerk(clerk_server: FakeClerk) -> None:
    """What the books do not tell is not guessed."""
    silent, remote = pair(clerk_server)
    clerk_server.update_user(silent, silent=True, first_name="Marin")
    clerk_server.update_user(remote, last_name="undefined")
    synced(clerk_server)
    clerk_server.update_user(silent, silent=True, first_name="Solveig")
    assert (cause_of(silent), cause_of(remote)) == (Cause.UNKNOWN, Cause.UNKNOWN)
