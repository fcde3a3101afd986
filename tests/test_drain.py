"""Who is gone: what Clerk's odd answers may do to the table, and the breaker (I13)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from clerksync import pagereads
from clerksync.drain import Drain
from clerksync.exceptions import ClerkSyncError, DeletesRefused, FilterIgnored, SyncIncomplete
from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.payloads import Parser
from clerksync.refresh import sync_pending
from clerksync.testing import FakeClerk, Request, Response
from tests.syncing import COUNT, LISTS, READS, Syncer, differences, last_run, synced

pytestmark = pytest.mark.django_db


ODD_ANSWERS: dict[str, Callable[[FakeClerk], object]] = {
    "empty": lambda clerk: clerk.fail("empty_list", times=None),
    "filter_ignored": lambda clerk: clerk.fail("filter_ignored", times=None),
    "html": lambda clerk: clerk.fail("html", times=None),
    "html_at_the_end": lambda clerk: clerk.fail("html", times=None, after=1),
    "not_json": lambda clerk: clerk.fail("not_json", times=None),
    "null": lambda clerk: clerk.fail("json_null", times=None),
    "truncated": lambda clerk: clerk.fail("truncated", times=None),
    "no_cursor_no_offset": lambda clerk: [
        clerk.fail(kind, times=None) for kind in ("cursor_ignored", "offset_ignored", "limit_ignored")
    ],
    "order_ignored": lambda clerk: clerk.fail("order_ignored", times=None),
    "404_for_all": lambda clerk: clerk.fail(404, times=None, on="*"),
    "404_for_reads": lambda clerk: [
        clerk.fail("empty_list", times=None, after=2),
        clerk.fail(404, times=None, on=READS),
    ],
    "counts_more": lambda clerk: clerk.fail("count_wrong", by=100, times=None, on=COUNT),
}


@pytest.mark.parametrize("users", [3, 40])
@pytest.mark.parametrize("odd", sorted(ODD_ANSWERS))
def test_full__odd_answers_delete_nobody(syncer: Syncer, odd: str, users: int) -> None:
    """I13: whatever Clerk answers in place of its users, no row becomes a tombstone."""
    ids = syncer.clerk.create_users(users)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    syncer.clerk.delete_user(ids[-1])
    ODD_ANSWERS[odd](syncer.clerk)
    with suppress(ClerkSyncError):
        assert syncer.full().exit_status != 0
    # Of two users one who is out of order is no odd answer: the walk goes on, and finds out who is gone.
    found = set(ids[-1:]) if (odd, users) == ("order_ignored", 3) else set()
    assert set(ClerkUser.objects.deleted().values_list("pk", flat=True)) == found
    syncer.clerk.clear_faults()
    final = syncer.full()
    assert (final.error, final.counts.get("deleted", 0)) == (None, 1 - len(found))
    assert differences(syncer.clerk) == {}


def test_full__404_for_every_user(syncer: Syncer) -> None:
    """I13: lists without anybody in doubt and 404 for every read bury no more than the breaker allows."""
    syncer.clerk.create_users(30)
    syncer.full()
    other = FakeClerk(seed=9, clock=syncer.clerk.clock, secret_key=syncer.clerk.secret_key)
    other.create_users(30)
    syncer.clerk.fail("callback", call=other.handle, times=None, on=LISTS)
    syncer.clerk.fail(404, times=None, on=READS)
    report = syncer.full()
    assert isinstance(report.error, DeletesRefused | FilterIgnored)
    assert not ClerkUser.objects.deleted().exists()


@pytest.mark.parametrize("users", [1, 2, 3, 5, 30])
def test_full__another_instance_answers(syncer: Syncer, users: int) -> None:
    """I13: when another instance answers all but GET /instance nobody is deleted, not even in small tables."""
    syncer.clerk.create_users(users)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    other = FakeClerk(seed=9, clock=syncer.clerk.clock, secret_key=syncer.clerk.secret_key)
    other.create_users(users)
    for route in (LISTS, READS, COUNT):
        syncer.clerk.fail("callback", call=other.handle, times=None, on=route)
    assert isinstance(syncer.full().error, DeletesRefused)
    assert not ClerkUser.objects.deleted().exists()


def test_full__breaker(syncer: Syncer) -> None:
    """More deletes than the breaker allows are refused as a whole; the message says what to pass."""
    ids = syncer.clerk.create_users(40)
    syncer.full()
    for clerk_id in ids[:20]:
        syncer.clerk.delete_user(clerk_id)
    report = syncer.full()
    assert isinstance(report.error, DeletesRefused)
    assert (report.exit_status, ClerkUser.objects.deleted().count()) == (4, 0)
    assert "--allow-deletes 20" in str(report.error)
    assert last_run().state == SyncRun.State.REFUSED
    assert syncer.full(allow_deletes=20).counts["deleted"] == 20
    assert differences(syncer.clerk) == {}


def test_full__breaker_leaves_updates(syncer: Syncer) -> None:
    """Refused deletes keep no update from being known."""
    ids = syncer.clerk.create_users(30)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    syncer.clerk.update_user(ids[-1], first_name="Fresh")
    for clerk_id in ids[:20]:
        syncer.clerk.delete_user(clerk_id)
    syncer.full()
    assert ClerkUser.objects.get(pk=ids[-1]).first_name == "Fresh"
    state = MirrorState.objects.get()
    assert state.updates_as_of is not None
    assert state.deletes_as_of is not None
    assert state.deletes_as_of < state.updates_as_of


@pytest.mark.parametrize("users", [1, 2, 7])
def test_full__everybody_deleted(syncer: Syncer, users: int) -> None:
    """An empty list deletes nobody; users who are really gone go one by one, as the message says."""
    ids = syncer.clerk.create_users(users)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    for clerk_id in ids:
        syncer.clerk.delete_user(clerk_id)
    report = syncer.full()
    assert isinstance(report.error, SyncIncomplete)
    assert "--user ID --allow-deletes" in str(report.error)
    assert not ClerkUser.objects.deleted().exists()
    for clerk_id in ids:
        assert syncer.users(clerk_id, allow_deletes=1).counts["deleted"] == 1
    assert syncer.full().exit_status == 0


def missing_users(syncer: Syncer, count: int, *, of: int) -> list[str]:
    """Users whom Clerk has deleted and the table still holds."""
    ids = syncer.clerk.create_users(of)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    for clerk_id in ids[:count]:
        syncer.clerk.delete_user(clerk_id)
    syncer.clerk.clear_requests()
    return ids


def test_control__asked_for_with_every_batch(syncer: Syncer) -> None:
    """Each list of users in doubt asks for one user more, who is known to be there."""
    ids = missing_users(syncer, 120, of=130)
    syncer.full(allow_deletes=120)
    asked = [
        {value for name, value in request.query if name == "user_id"}
        for request in syncer.clerk.requests
        if any(name == "user_id" for name, _ in request.query)
    ]
    assert [len(users) for users in asked] == [100, 22]
    assert all(len(users - set(ids[:120])) == 1 for users in asked)


def test_control__gone_itself(syncer: Syncer) -> None:
    """A control who was deleted a moment ago is replaced by another, and buried as well."""
    ids = missing_users(syncer, 2, of=30)
    controls: list[str] = []

    def delete_control(request: Request) -> None:
        asked = {value for name, value in request.query if name == "user_id"}
        if asked and not controls:
            controls.extend(asked - set(ids[:2]))
            syncer.clerk.delete_user(*controls)

    syncer.clerk.fail("callback", call=delete_control, on=LISTS, times=None)
    assert syncer.full().counts["deleted"] == 3
    assert ClerkUser.objects.deleted().filter(pk__in=controls).exists()
    assert differences(syncer.clerk) == {}


def doubt(clerk: FakeClerk, clerk_id: str) -> None:
    """Have the user in doubt, and wait until that is due."""
    pagereads.mark(clerk_id, clerk.clock.now_ms())
    clerk.advance(seconds=60)


def test_control__new_user(syncer: Syncer) -> None:
    """The list may come from a replica that does not know the newest user yet: nobody needs to wait for that."""
    ids = synced(syncer, 20)
    doubt(syncer.clerk, ids[3])
    syncer.clerk.update_user(ids[3], first_name="Right")
    new = syncer.clerk.create_user()
    syncer.clerk.send_webhook("user.created", new)

    def without_the_new(request: Request) -> Response:
        asked = [value for name, value in request.query if name == "user_id" and value != new["id"]]
        return Response(200, body=msgspec.json.encode([syncer.clerk.get(one) for one in asked]))

    syncer.clerk.fail("callback", call=without_the_new, on=LISTS)
    with syncer.client() as client:
        assert sync_pending(client).error is None
    assert differences(syncer.clerk) == {}


def test_control__unlisted(syncer: Syncer) -> None:
    """Whom the list lacks and a read by id shows, as one whose JSON in lists is broken, makes room for another."""
    ids = missing_users(syncer, 2, of=30)
    controls: list[str] = []

    def without_the_first(request: Request) -> Response | None:
        asked = [value for name, value in request.query if name == "user_id"]
        if not asked:
            return None
        controls.extend(one for one in asked if not controls and one not in ids[:2])
        shown = [syncer.clerk.get(one) for one in asked if one in syncer.clerk and one not in controls]
        return Response(200, body=msgspec.json.encode(shown))

    syncer.clerk.fail("callback", call=without_the_first, on=LISTS, times=None)
    report = syncer.full()
    assert (report.error, report.counts["deleted"]) == (None, 2)
    assert differences(syncer.clerk) == {}


def test_control__newest_left_in_a_crowd(syncer: Syncer) -> None:
    """Robots are thrown out and no event of that comes: others in doubt are read all the same."""
    ids = synced(syncer, 100)
    doubt(syncer.clerk, ids[50])
    syncer.clerk.update_user(ids[50], first_name="Right")
    for clerk_id in ids[-30:]:
        syncer.clerk.delete_user(clerk_id)
    with syncer.client() as client:
        assert sync_pending(client).error is None
    assert differences(syncer.clerk).keys() == set(ids[-30:])


def test_due__refused_deletes_come_last(syncer: Syncer) -> None:
    """However many users the breaker does not let go, others in doubt have their turn."""
    ids = missing_users(syncer, 40, of=100)
    assert isinstance(syncer.full().error, DeletesRefused)
    doubt(syncer.clerk, ids[50])
    doubt(syncer.clerk, ids[60])
    with syncer.client() as client:
        due = Drain(client, Parser()).due(now_ms=syncer.clerk.clock.now_ms(), batch=30)
    assert due[:2] == [ids[50], ids[60]]
    assert set(due[2:]) < set(ids[:40])


def before_filter(clerk: FakeClerk, change: Callable[[], object]) -> None:
    """Call ``change`` once, right before the first list that has a filter."""
    pending = [change]

    def call(request: Request) -> None:
        if pending and any(name == "user_id" for name, _ in request.query):
            pending.pop()()

    clerk.fail("callback", call=call, on=LISTS, times=None)


def test_control__all_gone(syncer: Syncer) -> None:
    """When no control comes Clerk's answers count for nothing."""
    ids = missing_users(syncer, 2, of=30)
    before_filter(syncer.clerk, lambda: [syncer.clerk.delete_user(clerk_id) for clerk_id in ids[2:]])
    assert isinstance(syncer.full().error, FilterIgnored)
    assert not ClerkUser.objects.deleted().exists()


def test_control__shown_by_id_but_not_in_the_list(syncer: Syncer) -> None:
    """A list that lacks a user whom a read by id finds is not believed."""
    missing_users(syncer, 2, of=30)
    syncer.clerk.fail("empty_list", times=None, after=4)
    assert isinstance(syncer.full().error, FilterIgnored)
    assert not ClerkUser.objects.deleted().exists()


def test_doubt__a_user_who_comes_is_not_deleted(syncer: Syncer) -> None:
    """Somebody whom one page lacked, but who is there, loses the doubt and nothing else."""
    ids = missing_users(syncer, 0, of=30)
    everybody = syncer.clerk.users()
    page = msgspec.json.encode([user for user in everybody if user["id"] != ids[7]])
    syncer.clerk.fail("callback", call=lambda request: Response(200, body=page), on=LISTS)
    report = syncer.full()
    assert (report.exit_status, report.counts["missing"], report.counts.get("deleted", 0)) == (0, 1, 0)
    assert differences(syncer.clerk) == {}


def test_doubt__a_new_user_is_given_time(syncer: Syncer) -> None:
    """A replica may not know a user of the last minute yet: a 404 is no delete, but a doubt for a minute."""
    syncer.clerk.create_users(10)
    young = syncer.clerk.create_user()["id"]
    syncer.full()
    syncer.clerk.delete_user(young)
    report = syncer.full()
    assert (report.exit_status, report.in_doubt, report.counts.get("deleted", 0)) == (1, 1, 0)
    syncer.clerk.advance(seconds=61)
    assert syncer.full().counts["deleted"] == 1


def test_doubt__another_user_for_a_read(syncer: Syncer) -> None:
    """A read by id that shows somebody else is an answer that counts for nothing."""
    ids = missing_users(syncer, 1, of=5)
    body = msgspec.json.encode(syncer.clerk.get(ids[2]))
    syncer.clerk.fail("callback", call=lambda request: Response(200, body=body), on=READS, times=None)
    assert isinstance(syncer.full().error, FilterIgnored)
    assert not ClerkUser.objects.deleted().exists()


def test_doubt__a_refused_read_keeps_nobody_waiting(syncer: Syncer) -> None:
    """One user whom Clerk does not give out stays in doubt; the others are judged."""
    first, *others = missing_users(syncer, 3, of=30)[:3]
    syncer.clerk.fail(422, times=None, on=f"GET /v1/users/{first}")
    report = syncer.full()
    assert (report.counts["deleted"], report.in_doubt, report.exit_status) == (2, 1, 1)
    assert set(ClerkUser.objects.deleted().values_list("pk", flat=True)) == set(others)


def test_breaker__counts_over_a_day(syncer: Syncer) -> None:
    """Many small runs bury no more than one: the limit is for 24 hours of Clerk's clock."""
    ids = missing_users(syncer, 3, of=12)
    assert syncer.full().counts["deleted"] == 3
    syncer.clerk.delete_user(ids[5])
    assert isinstance(syncer.full().error, DeletesRefused)
    syncer.clerk.advance(seconds=25 * 3600)
    assert syncer.full().counts["deleted"] == 1


def test_breaker__setting(syncer: Syncer, settings: Any) -> None:
    """MAX_DELETES replaces the limit; nought lets nobody be deleted."""
    settings.CLERKSYNC_MAX_DELETES = 0
    missing_users(syncer, 1, of=12)
    assert isinstance(syncer.full().error, DeletesRefused)
    settings.CLERKSYNC_MAX_DELETES = 1
    assert syncer.full().counts["deleted"] == 1


def test_breaker__allowed_fewer_than_needed(syncer: Syncer) -> None:
    """An operator's number is a limit as well: nobody is deleted if it is too low."""
    missing_users(syncer, 5, of=30)
    report = syncer.full(allow_deletes=4)
    assert isinstance(report.error, DeletesRefused)
    assert (report.error.wanted, report.error.allowed) == (5, 4)
    assert not ClerkUser.objects.deleted().exists()
