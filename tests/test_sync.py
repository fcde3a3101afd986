"""The full sync and the sync of single users against the fake Clerk, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from clerksync import signals
from clerksync.exceptions import (
    ClerkUnavailable,
    DeletesRefused,
    InstanceMismatch,
    InvalidResponse,
    KeyRejected,
    SyncIncomplete,
)
from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.pages import SweptPage
from clerksync.testing import FakeClerk, every_shape, serve
from tests.syncing import (
    COUNT,
    LISTS,
    READS,
    Syncer,
    differences,
    everything,
    execute,
    last_run,
    on_each_database,
    small_pages,
    synced,
    table,
    told,
    written,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1001])
def test_full__everybody_arrives(syncer: Syncer, count: int) -> None:
    """Whatever the number of users, all are in the table, and the second sync writes nothing."""
    syncer.clerk.create_users(count)
    report = syncer.full()
    assert (report.error, report.exit_status, report.in_doubt) == (None, 0, 0)
    assert told(report) == ({"seen": count, "created": count} if count else {})
    assert differences(syncer.clerk) == {}
    before = written()
    assert told(syncer.full()) == ({"seen": count, "unchanged": count} if count else {})
    assert written() == before
    assert last_run().state == SyncRun.State.COMPLETED


def test_full__every_shape(syncer: Syncer) -> None:
    """Users of all 54 shapes are read in full."""
    shapes = every_shape(syncer.clerk)
    assert told(syncer.full()) == {"seen": len(shapes), "created": len(shapes)}
    assert differences(syncer.clerk) == {}
    assert not ClerkUser.objects.exclude(problems="").exists()


def test_full__a_second_sync_writes_no_user(syncer: Syncer) -> None:
    """I9: not one write to the table of users, as the database itself counts them."""
    syncer.clerk.create_users(20)
    syncer.full()
    before = written()
    execute("CREATE TEMP TABLE writes (clerk_id TEXT)")
    if connection.vendor == "sqlite":  # PostgreSQL's rows tell by themselves
        for event in ("INSERT", "UPDATE", "DELETE"):
            watch = f"CREATE TEMP TRIGGER on_{event} AFTER {event} ON main.clerksync_clerkuser"
            execute(watch + " BEGIN INSERT INTO writes VALUES ('one'); END")  # noqa: S608  # our own words
    syncer.full()
    assert written() == before
    assert execute("SELECT * FROM writes") == []


@pytest.mark.parametrize(("count", "requests"), [(0, 3), (1, 7), (500, 6), (501, 7), (1001, 8)])
def test_full__requests(syncer: Syncer, count: int, requests: int) -> None:
    """The instance, a page for each 500 users, three (four) for the proof of the end, the count: no more."""
    syncer.clerk.create_users(count)
    for _ in range(2):
        syncer.clerk.clear_requests()
        assert syncer.full().requests == requests == len(syncer.clerk.requests)


@pytest.mark.django_db(databases=["default", "other"])
def test_full__same_table_on_both_databases() -> None:
    """I15: the same history leaves the same table on SQLite as on the database of the tests."""
    for syncer in on_each_database():
        shapes = every_shape(syncer.clerk)
        syncer.clerk.create_users(30)
        syncer.full()
        change_some(syncer.clerk, shapes)
        assert syncer.full().error is None
    assert table("default") == table("other")


def change_some(clerk: FakeClerk, shapes: dict[str, str]) -> None:
    clerk.advance(seconds=90)
    clerk.delete_user(shapes["everyday"])
    clerk.update_user(shapes["metadata"], public_metadata={"ß": [1.5, 10**30, None, {"a": "\u2028"}]})
    clerk.ban_user(shapes["google"])
    clerk.update_user(shapes["passkey"], silent=True, first_name="Quiet")
    clerk.create_user(email="new@harbour-works.io")


def test_full__changes_arrive(syncer: Syncer) -> None:
    """Changed, banned, silently changed and new users are counted as what they are."""
    ids = syncer.clerk.create_users(10)
    syncer.full()
    syncer.clerk.advance(seconds=600)
    syncer.clerk.update_user(ids[0], first_name="Jasmin")
    syncer.clerk.ban_user(ids[1])
    syncer.clerk.update_user(ids[2], silent=True, last_sign_in_at=syncer.clerk.clock.now_ms())
    syncer.clerk.create_user()
    syncer.clerk.advance(seconds=60)
    assert told(syncer.full()) == {"seen": 11, "created": 1, "updated": 2, "touched": 1, "unchanged": 7}
    assert differences(syncer.clerk) == {}


def test_full__a_silent_change_arrives(syncer: Syncer) -> None:
    """A change that does not move ``updated_at`` is taken, and read again by id before it is believed."""
    ids = syncer.clerk.create_users(3)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    syncer.clerk.update_user(ids[0], silent=True, first_name="Quiet")
    report = syncer.full()
    assert (report.exit_status, report.in_doubt, report.counts["updated"]) == (0, 0, 1)
    assert differences(syncer.clerk) == {}


def test_full__deleted_users_become_tombstones(syncer: Syncer) -> None:
    """The row stays, with its data, and says when and how its delete was known."""
    ids = syncer.clerk.create_users(20)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    for clerk_id in (ids[0], ids[9], ids[19]):
        syncer.clerk.delete_user(clerk_id)
    assert told(syncer.full()) == {"seen": 17, "unchanged": 17, "missing": 3, "deleted": 3}
    tombstones = ClerkUser.objects.deleted().exclude(deleted_at=None).exclude(email=None)
    assert set(tombstones.values_list("deleted_by", flat=True)) == {"absence"}
    assert differences(syncer.clerk) == {}
    assert told(syncer.full()) == {"seen": 17, "unchanged": 17}


def test_full__no_deletes(syncer: Syncer) -> None:
    """``deletes=False`` neither deletes nor doubts, and says nothing new about deletes."""
    ids = syncer.clerk.create_users(5)
    syncer.full()
    known = MirrorState.objects.get().deletes_as_of
    syncer.clerk.delete_user(ids[1])
    syncer.clerk.advance(seconds=60)
    report = syncer.full(deletes=False)
    assert (report.exit_status, report.counts["missing"], report.in_doubt) == (0, 1, 0)
    assert ClerkUser.objects.active().filter(pk=ids[1]).exists()
    assert MirrorState.objects.get().deletes_as_of == known
    assert MirrorState.objects.get().updates_as_of != known


def test_full__rows_changed_past_the_mirror(syncer: Syncer) -> None:
    """Placeholder data that was put into every row is replaced by Clerk's."""
    syncer.clerk.create_users(30)
    syncer.full()
    ClerkUser.objects.update(email="x@example.com")
    report = syncer.full()
    assert (report.counts["updated"], report.counts["placeholders_replaced"]) == (30, 30)
    assert differences(syncer.clerk) == {}


def test_full__compare_all(syncer: Syncer) -> None:
    """Other columns are mended when all are compared, and only then; once mended nothing is written."""
    syncer.clerk.create_users(10)
    syncer.full()
    ClerkUser.objects.update(banned=True, public_metadata={"plan": "stolen"}, image_url="https://x.test/")
    assert syncer.full().counts["unchanged"] == 10
    assert syncer.full(compare_all=True).counts["updated"] == 10
    assert differences(syncer.clerk) == {}
    assert told(syncer.full(compare_all=True)) == {"seen": 10, "unchanged": 10}


def test_full__other_storage_settings(syncer: Syncer, settings: Any) -> None:
    """EXCLUDE_FIELDS reaches rows that were stored before, at the next sync and without a doubt."""
    syncer.clerk.create_users(5)
    syncer.full()
    settings.CLERKSYNC_EXCLUDE_FIELDS = ("private_metadata",)
    assert told(syncer.full()) == {"seen": 5, "touched": 5}
    assert set(map(str, ClerkUser.objects.values_list("private_metadata", flat=True))) == {"{}"}
    assert not ClerkUser.objects.filter(payload_text__contains="cus_").exists()


def test_full__down_at_the_start(syncer: Syncer) -> None:
    """Without an answer to GET /instance nothing is begun."""
    syncer.clerk.fail(503, times=None, on="*")
    with pytest.raises(ClerkUnavailable):
        syncer.full()
    assert not SyncRun.objects.exists()


@pytest.mark.parametrize(("on", "after"), [(LISTS, 0), (LISTS, 1), (LISTS, 2), (COUNT, 0), (READS, 0)])
@pytest.mark.parametrize("kind", [503, "reset", "close", "html"])
def test_full__down_on_the_way(syncer: Syncer, on: str, after: int, kind: Any) -> None:
    """Clerk fails at any place: the run says so, and the next one brings everything in."""
    ids = syncer.clerk.create_users(25)
    syncer.full()
    syncer.clerk.delete_user(ids[20])
    syncer.clerk.create_users(3)
    small_pages(syncer.clerk)
    syncer.clerk.fail(kind, times=None, on=on, after=after)
    before = MirrorState.objects.get().deletes_as_of
    report = syncer.full()
    assert report.exit_status == 1
    if (kind, on) == ("html", READS):  # one user whom Clerk does not show keeps nobody waiting
        assert (report.error, report.in_doubt) == (None, 1)
        assert last_run().state == SyncRun.State.COMPLETED
    else:
        assert report.error is not None
        assert last_run().state in {SyncRun.State.INTERRUPTED, SyncRun.State.FAILED}
        assert last_run().error == str(report.error)
    assert MirrorState.objects.get().deletes_as_of == before
    syncer.clerk.clear_faults()
    if report.in_doubt:
        syncer.clerk.advance(seconds=120)  # a read that settled nothing is not repeated at once
    assert syncer.full().exit_status == 0
    assert differences(syncer.clerk) == {}


def test_full__throttled(syncer: Syncer) -> None:
    """429 answers are waited out and counted."""
    syncer.clerk.create_users(501)
    syncer.clerk.fail(429, times=2, retry_after=3)
    report = syncer.full()
    assert (report.error, report.throttled, last_run().throttled) == (None, 2, 2)
    assert syncer.time.slept >= 6
    assert differences(syncer.clerk) == {}


def test_full__key_rejected(syncer: Syncer) -> None:
    """A wrong key ends with 2, before and in the middle of a run."""
    syncer.clerk.create_users(501)
    syncer.clerk.fail(401, times=None, after=1)
    report = syncer.full()
    assert (type(report.error), report.exit_status) == (KeyRejected, 2)
    syncer.clerk.secret_key = "sk_test_another"
    with pytest.raises(KeyRejected):
        syncer.full()


def test_full__key_of_another_instance(syncer: Syncer) -> None:
    """The table is of one instance; another one is taken only if told so."""
    syncer.clerk.create_users(3)
    syncer.clerk.advance(seconds=60)
    syncer.full()
    before = table()
    other = FakeClerk(
        seed=3, instance_id="ins_other", clock=syncer.clerk.clock, secret_key=syncer.clerk.secret_key
    )
    other.create_users(4)
    with serve(other) as served, override_settings(CLERK_API_URL=served.url):
        with pytest.raises(InstanceMismatch, match="--adopt-instance"):
            syncer.full()
        with pytest.raises(InstanceMismatch):
            syncer.users(*before)
        assert table() == before
        assert syncer.full(adopt_instance=True, dry_run=True).counts["created"] == 4
        assert MirrorState.objects.get().instance_id == syncer.clerk.instance_id
        report = syncer.full(adopt_instance=True)
        assert (report.counts["created"], type(report.error)) == (4, DeletesRefused)
        assert MirrorState.objects.get().instance_id == "ins_other"
        assert syncer.full(allow_deletes=3).counts["deleted"] == 3


def test_dry_run__of_an_empty_table(syncer: Syncer) -> None:
    """A dry run before the first sync writes nothing at all, not even the state."""
    every_shape(syncer.clerk)
    report = syncer.full(dry_run=True)
    assert (report.exit_status, told(report)) == (0, {"seen": 54, "created": 54})
    assert everything() == [[], [], []]


def test_dry_run__of_no_users(syncer: Syncer) -> None:
    """A dry run of single users writes nothing either, and knows who is unknown."""
    clerk_id = syncer.clerk.create_user()["id"]
    report = syncer.users(clerk_id, "user_nobody", dry_run=True)
    assert everything() == [[], [], []]
    real = syncer.users(clerk_id, "user_nobody")
    assert (told(report), report.skipped, report.exit_status) == (told(real), real.skipped, real.exit_status)


def test_dry_run__counts_what_the_sync_then_does(syncer: Syncer) -> None:
    """The counts of a dry run are those of the sync after it; it writes nothing, and names old and new."""
    ids = syncer.clerk.create_users(30)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    syncer.clerk.delete_user(ids[4])
    syncer.clerk.update_user(ids[5], first_name="Jasmin")
    syncer.clerk.create_users(3)
    ClerkUser.objects.filter(pk=ids[6]).update(email="x@example.com")
    before, pages = everything(), list[SweptPage]()
    dry = syncer.full(dry_run=True, on_page=lambda page, seen: pages.append(page))
    assert everything() == before
    changes = {clerk_id: change for page in pages for clerk_id, change in page.changes.items()}
    assert changes[ids[5]].fields["first_name"][1] == "Jasmin"
    assert changes[ids[4]].outcome == "deleted"
    real = syncer.full()
    assert (told(dry), dry.exit_status) == (told(real), real.exit_status)


def test_dry_run__refuses_what_the_sync_refuses(syncer: Syncer) -> None:
    """The breaker is asked in a dry run, too."""
    ids = syncer.clerk.create_users(30)
    syncer.full()
    for clerk_id in ids[:20]:
        syncer.clerk.delete_user(clerk_id)
    before = everything()
    assert syncer.full(dry_run=True).exit_status == 4
    assert syncer.full(dry_run=True, allow_deletes=20).counts["deleted"] == 20
    assert everything() == before


def test_dry_run__settles_old_doubts_as_well(syncer: Syncer) -> None:
    """Users who were in doubt before are read in a dry run as they are in the sync."""
    ids = syncer.clerk.create_users(8)
    syncer.full()
    ClerkUser.objects.filter(pk=ids[0]).update(doubt_reason="not in Clerk's list", doubt_ms=1, retry_ms=1)
    dry = syncer.full(dry_run=True)
    assert told(dry) == told(syncer.full())


def test_users__known_unknown_and_deleted(syncer: Syncer) -> None:
    """One is brought up to date, one is buried, one is named as unknown; nobody else is touched."""
    ids = syncer.clerk.create_users(6)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    syncer.clerk.update_user(ids[0], first_name="Jasmin")
    syncer.clerk.update_user(ids[5], first_name="Later")
    syncer.clerk.delete_user(ids[1])
    report = syncer.users(ids[0], ids[1], "user_nobody", ids[0])
    assert told(report) == {"seen": 3, "updated": 1, "deleted": 1, "unchanged": 1, "skipped": 1}
    assert (list(report.skipped), report.exit_status) == (["user_nobody"], 1)
    assert ClerkUser.objects.get(pk=ids[5]).first_name != "Later"


def test_users__a_new_user(syncer: Syncer) -> None:
    """A user who is not in the table yet is created, also in an empty table."""
    clerk_id = syncer.clerk.create_user()["id"]
    assert told(syncer.users(clerk_id)) == {"seen": 1, "created": 1}
    assert differences(syncer.clerk) == {}


@pytest.mark.parametrize(
    "typed", ["user 1", "ümlaut", "../x", "", "-user_a", "x" * 300, "user_a\x00", "count"]
)
def test_users__not_an_id(syncer: Syncer, typed: str) -> None:
    """A slip of the keyboard leaves nothing in the table, and the next sync is clean."""
    known = syncer.clerk.create_user()["id"]
    syncer.full()
    report = syncer.users(typed, known)
    assert report.exit_status == 1
    assert report.counts["skipped"] == 1
    assert set(ClerkUser.objects.values_list("pk", flat=True)) == {known}
    assert syncer.full().exit_status == 0


def test_users__a_returned_user(syncer: Syncer) -> None:
    """A read by id that finds a buried user revives the row."""
    ids = syncer.clerk.create_users(5)
    syncer.full()
    user = syncer.clerk.get(ids[0])
    syncer.clerk.delete_user(ids[0])
    syncer.full()
    syncer.clerk.put_user(user)
    assert told(syncer.users(ids[0])) == {"seen": 1, "revived": 1}


def test_users__more_than_one_request(syncer: Syncer) -> None:
    """Ids are asked for 99 at a time, each time with a control."""
    ids = syncer.clerk.create_users(250)
    syncer.full()
    syncer.clerk.clear_requests()
    assert told(syncer.users(*ids[:240])) == {"seen": 240, "unchanged": 240}
    filters = [request for request in syncer.clerk.requests if request.path == "/v1/users"]
    assert [sum(name == "user_id" for name, _ in request.query) for request in filters] == [100, 100, 43]


def test_state__as_of(syncer: Syncer) -> None:
    """I12: what is known is known as of the start of the walk, by Clerk's clock, not of its end."""
    syncer.clerk.create_users(25)
    small_pages(syncer.clerk)
    started = syncer.clerk.clock.now_ms()
    syncer.full(on_page=lambda page, seen: syncer.time.sleep(60))
    state, run = MirrorState.objects.get(), last_run()
    known = datetime.fromtimestamp(started / 1000, UTC)
    assert state.updates_as_of is not None
    assert known - timedelta(seconds=2) <= state.updates_as_of <= known
    assert state.deletes_as_of == state.updates_as_of
    assert run.walk_started_ms == round(state.updates_as_of.timestamp() * 1000)
    assert run.finished_at is not None


def test_state__as_of_without_a_date(syncer: Syncer) -> None:
    """I12: if the first page came without a date, nothing is said about when."""
    syncer.clerk.create_users(25)
    small_pages(syncer.clerk)
    syncer.clerk.fail("no_date", times=1)
    syncer.full(on_page=lambda page, seen: syncer.time.sleep(60))
    assert MirrorState.objects.get().updates_as_of is None


def test_state__a_failed_walk_says_nothing(syncer: Syncer) -> None:
    """A run that did not see every page moves no watermark."""
    syncer.clerk.create_users(25)
    syncer.full()
    before = MirrorState.objects.get()
    syncer.clerk.advance(seconds=60)
    syncer.clerk.fail("count_wrong", by=100, on=COUNT)
    assert isinstance(syncer.full().error, SyncIncomplete)
    after = MirrorState.objects.get()
    assert (after.updates_as_of, after.deletes_as_of) == (before.updates_as_of, before.deletes_as_of)
    assert last_run().state == SyncRun.State.FAILED
    assert last_run().finished_at is not None


def test_state__an_empty_clerk_says_nothing(syncer: Syncer) -> None:
    """Even if the count agrees, an empty list moves no watermark and puts nobody in doubt."""
    ids = synced(syncer, 3)
    before = MirrorState.objects.get()
    for clerk_id in ids:
        syncer.clerk.delete_user(clerk_id)
    assert isinstance(syncer.full().error, SyncIncomplete)
    after = MirrorState.objects.get()
    assert (after.updates_as_of, after.deletes_as_of) == (before.updates_as_of, before.deletes_as_of)
    assert ClerkUser.objects.active().filter(doubt_reason="").count() == 3


@pytest.fixture
def failures() -> Iterator[list[Any]]:
    """What ``sync_failed`` told."""
    heard: list[Any] = []

    def receive(run: SyncRun, error: Exception, **kwargs: Any) -> None:
        heard.append((run.pk, type(error)))

    signals.sync_failed.connect(receive)
    yield heard
    signals.sync_failed.disconnect(receive)


def test_signal__sync_failed(syncer: Syncer, failures: list[Any]) -> None:
    """Alarms hear of a run that failed, and of no other."""
    syncer.clerk.create_users(2)
    syncer.full()
    assert failures == []
    syncer.clerk.fail("html", times=None)
    report = syncer.full()
    assert isinstance(report.error, InvalidResponse)
    assert failures == [(last_run().pk, InvalidResponse)]
