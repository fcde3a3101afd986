"""The incremental sync against the fake Clerk, over real HTTP: what it costs, what it mends, what it promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from clerksync import instances, leases, refresh, runs, signals
from clerksync.exceptions import (
    ClerkUnavailable,
    DeletesRefused,
    InstanceMismatch,
    KeyRejected,
    LeaseHeld,
    LeaseLost,
    SyncIncomplete,
    SyncInterrupted,
)
from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.pages import SweptPage
from clerksync.testing import FakeClerk, Response, every_shape, serve
from tests.syncing import (
    COUNT,
    LISTS,
    StopAfter,
    Syncer,
    before_list,
    change,
    differences,
    everything,
    last_run,
    on_each_database,
    small_pages,
    synced,
    table,
    told,
    trap,
    written,
)

pytestmark = pytest.mark.django_db

INCREMENTAL = SyncRun.Kind.INCREMENTAL


def as_of() -> datetime:
    """Up to when all updates are known."""
    known = MirrorState.objects.get().updates_as_of
    assert known is not None
    return known


def rows_written(before: list[tuple[Any, ...]]) -> int:
    """How many rows were written since ``written`` said this."""
    return len(set(written()) - set(before))


@pytest.mark.parametrize("count", [0, 1, 10, 3_000])
def test_unchanged__one_request(syncer: Syncer, count: int) -> None:
    """P5: nothing has changed: one request, whatever the number of users, and no user is written."""
    synced(syncer, count)
    before = written()
    report = syncer.incremental()
    assert (report.error, report.exit_status, report.requests) == (None, 0, 1)
    assert len(syncer.clerk.requests) == 1
    assert told(report) == ({"seen": min(count, 100), "unchanged": min(count, 100)} if count else {})
    assert written() == before


@pytest.mark.parametrize("count", [0, 1, 10])
def test_unchanged__everybody_is_new(syncer: Syncer, count: int) -> None:
    """P5: at most two requests also where everybody was changed within the overlap."""
    for _ in range(count):
        syncer.clerk.create_user()
    syncer.full()
    before = written()
    report = syncer.incremental()
    assert (report.error, report.requests <= 2, written()) == (None, True, before)


@pytest.mark.parametrize(("changed", "requests"), [(1, 1), (30, 1), (99, 1), (300, 2), (1_200, 4)])
def test_changed__requests_and_rows(syncer: Syncer, changed: int, requests: int) -> None:
    """P6: as many rows are written as users were changed; a request for each 490 of them."""
    users = 300 if changed < 100 else 1_300
    ids = synced(syncer, users)
    change(syncer.clerk, ids[:: users // changed][:changed])
    before = written()
    report = syncer.incremental()
    assert (report.error, report.counts["updated"], rows_written(before)) == (None, changed, changed)
    assert report.requests == len(syncer.clerk.requests) == requests <= 3 + -(-changed // 490)
    assert differences(syncer.clerk) == {}
    before = written()
    assert syncer.incremental().counts.get("updated", 0) == 0
    assert written() == before


def test_changed__new_banned_and_every_shape(syncer: Syncer) -> None:
    """Users of all shapes arrive, and what was done to others."""
    ids = synced(syncer, 20)
    shapes = every_shape(syncer.clerk)
    syncer.clerk.ban_user(ids[3])
    syncer.clerk.update_user(ids[4], email="maren@tidegate-press.com")
    report = syncer.incremental()
    # Some shapes were last changed long ago, as imported users may be.
    assert report.counts["updated"] == 2
    syncer.full()
    assert differences(syncer.clerk) == {}
    assert len(shapes) == 54


@pytest.mark.django_db(databases=["default", "other"])
def test_changed__same_table_on_both_databases() -> None:
    """I15: the same history leaves the same table on SQLite as on the database of the tests."""
    for syncer in on_each_database():
        ids = synced(syncer, 30)
        syncer.clerk.update_user(ids[3], public_metadata={"ß": [1.5, 10**30, None]})
        syncer.clerk.create_user(email="new@harbour-works.io")
        assert syncer.incremental().error is None
    assert table("default") == table("other")


@pytest.mark.parametrize(("overlap", "found"), [(120, True), (30, False), (0, False)])
def test_changed__listed_late(syncer: Syncer, overlap: int, found: bool) -> None:  # noqa: FBT001  # pytest's
    """A change that Clerk listed after the last scan, 60 s late, is found within the overlap, and only there."""
    ids = synced(syncer, 200)
    now = syncer.clerk.clock.now_ms()
    for number, clerk_id in enumerate(ids[:120]):
        syncer.clerk.put_user(syncer.clerk.get(clerk_id) | {"updated_at": now - 50_000 + number})
    syncer.incremental()
    late = syncer.clerk.get(ids[150]) | {"first_name": "Late", "updated_at": now - 60_000}
    syncer.clerk.put_user(late)
    syncer.clerk.advance(seconds=5)
    with override_settings(CLERKSYNC_OVERLAP=overlap):
        assert syncer.incremental().counts.get("updated", 0) == found
    assert set(differences(syncer.clerk)) == (set() if found else {ids[150]})


def test_changed__a_tie_is_read_by_id(syncer: Syncer) -> None:
    """A silent change within the overlap is a tie, and settled by the drain of the same run."""
    ids = synced(syncer, 5)
    syncer.clerk.update_user(ids[0], first_name="One")
    syncer.incremental()
    syncer.clerk.advance(seconds=5)
    syncer.clerk.update_user(ids[0], silent=True, first_name="Two")
    report = syncer.incremental()
    assert (report.in_doubt, report.exit_status, differences(syncer.clerk)) == (0, 0, {})


def test_first__is_full(syncer: Syncer) -> None:
    """Before a walk over everybody has been completed, the incremental sync is one, and says so."""
    syncer.clerk.create_users(5)
    report = syncer.incremental()
    assert (report.kind, report.counts["created"]) == ("full", 5)
    assert report.note == "No full sync has been completed yet, so this one was full."
    assert (syncer.incremental().kind, syncer.incremental().note) == ("incremental", "")


def test_first__after_one_that_failed(syncer: Syncer) -> None:
    """A walk that did not come to its end is gone on with; one whose deletes were refused has been completed."""
    ids = syncer.clerk.create_users(30)
    small_pages(syncer.clerk)
    stop = StopAfter(2)
    syncer.full(on_page=stop, stop=stop.event)
    report = syncer.incremental()
    assert (report.kind, report.resumed, report.error) == ("full", True, None)
    syncer.clerk.advance(seconds=300)
    for clerk_id in ids[:20]:
        syncer.clerk.delete_user(clerk_id)
    assert isinstance(syncer.full().error, DeletesRefused)
    report = syncer.incremental()
    assert (report.kind, type(report.error)) == ("incremental", DeletesRefused)


def test_dry_run(syncer: Syncer) -> None:
    """A dry run writes nothing at all, and tells what the sync then does."""
    ids = synced(syncer, 8)
    change(syncer.clerk, ids[:2])
    before, pages = everything(), list[SweptPage]()
    dry = syncer.incremental(dry_run=True, on_page=lambda page, seen: pages.append(page))
    assert everything() == before
    assert pages[0].changes[ids[0]].fields["last_name"][1] == "Changed"
    assert told(dry) == told(syncer.incremental()) == {"seen": 8, "updated": 2, "unchanged": 6}


def test_drain__buries_nobody_on_the_word_of_the_scan(syncer: Syncer) -> None:
    """Who is deleted is not in the list, and that says nothing."""
    ids = synced(syncer, 10)
    syncer.clerk.delete_user(ids[0])
    assert told(syncer.incremental()) == {"seen": 9, "unchanged": 9}
    assert ClerkUser.objects.active().count() == 10
    known = MirrorState.objects.get()
    assert known.updates_as_of != known.deletes_as_of


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("kind", [503, "reset", "html", "empty_list", "order_ignored"])
def test_failed__moves_no_watermark(syncer: Syncer, kind: Any, after: int) -> None:
    """Clerk fails at any page: the run says so and knows nothing new, and the next one mends."""
    ids = synced(syncer, 300)
    change(syncer.clerk, ids[:150])
    known = as_of()
    syncer.clerk.fail(kind, times=None, on=LISTS, after=after)
    report = syncer.incremental()
    if kind == "empty_list" and after:  # no page joins an empty one but the head of the list
        assert report.error is None
        return
    assert report.error is not None
    assert (report.exit_status, as_of()) == (1, known)
    assert (last_run(INCREMENTAL).state, last_run(INCREMENTAL).error) == (
        SyncRun.State.FAILED,
        str(report.error),
    )
    assert last_run(INCREMENTAL).counts.get("updated", 0) == (100 if after else 0)
    syncer.clerk.clear_faults()
    assert syncer.incremental().error is None
    assert as_of() > known
    assert differences(syncer.clerk) == {}


@pytest.mark.parametrize("fault", ["limit_ignored", "half_page", "wrapped", "shuffle_ties"])
def test_odd_pages(syncer: Syncer, fault: str) -> None:
    """Ten users a page, half a page, a wrapped list, ties in any order: everything arrives."""
    ids = synced(syncer, 150)
    for clerk_id in ids[:60]:
        syncer.clerk.update_user(clerk_id, last_name="At once")
    syncer.clerk.fail(fault, times=None, on=LISTS)
    assert syncer.incremental().error is None
    assert differences(syncer.clerk) == {}


def test_order__ignored(syncer: Syncer) -> None:
    """A list in another order is none of the last changes."""
    ids = synced(syncer, 50)
    change(syncer.clerk, ids[:3])
    syncer.clerk.fail("order_ignored", times=None)
    assert isinstance(syncer.incremental().error, SyncIncomplete)


def test_empty__although_there_are_users(syncer: Syncer) -> None:
    """An empty list says nothing of users whom the table holds."""
    synced(syncer, 5)
    syncer.clerk.fail("empty_list")
    report = syncer.incremental()
    assert "Clerk's list of users is empty" in str(report.error)


def test_moves__while_it_is_read(syncer: Syncer) -> None:
    """Users who are changed, created and deleted between two pages hide nobody who was changed before."""
    ids = synced(syncer, 300)
    change(syncer.clerk, ids[:150])
    watched = dict(differences(syncer.clerk))
    gone = [user["id"] for user in syncer.clerk.users() if user["id"] in ids[100:140]]

    def move() -> None:
        syncer.clerk.advance(seconds=1)
        for clerk_id in gone:
            syncer.clerk.delete_user(clerk_id)
        change(syncer.clerk, ids[200:205])
        syncer.clerk.create_user(email="meanwhile@harbour-works.io")

    before_list(syncer.clerk, move)
    report = syncer.incremental()
    assert report.error is None
    left = differences(syncer.clerk)
    assert not watched.keys() - set(gone) & left.keys()
    syncer.full(allow_deletes=100)
    assert differences(syncer.clerk) == {}


def test_watermark__start_of_the_scan(syncer: Syncer) -> None:
    """I12: what is known is known as of the start of the scan, by Clerk's clock, not of its end."""
    ids = synced(syncer, 300)
    change(syncer.clerk, ids[:150])
    started = datetime.fromtimestamp(syncer.clerk.clock.now_ms() / 1000, UTC)
    syncer.incremental(on_page=lambda page, seen: syncer.time.sleep(60))
    assert started - timedelta(seconds=2) <= as_of() <= started
    run = last_run(INCREMENTAL)
    assert run.walk_started_ms == round(as_of().timestamp() * 1000)
    assert (run.state, run.finished_at is not None) == (SyncRun.State.COMPLETED, True)


def test_watermark__without_a_date(syncer: Syncer) -> None:
    """I12: if the first page came without a date, nothing is said about when."""
    synced(syncer, 5)
    known = as_of()
    syncer.clerk.fail("no_date", times=1)
    assert syncer.incremental().error is None
    assert as_of() == known


def test_watermark__not_moved_back_by_a_long_full_sync(syncer: Syncer) -> None:
    """A full sync that began before a scan ends after it: the scan's word stays, and that about deletes comes."""
    ids = synced(syncer, 25)
    small_pages(syncer.clerk)
    found: list[datetime] = []

    def scan(page: SweptPage, seen: int) -> None:
        if not found:
            syncer.clerk.advance(seconds=300)
            change(syncer.clerk, ids[:1])
            assert syncer.incremental().counts["updated"] == 1
            found.append(as_of())

    assert syncer.full(on_page=scan).error is None
    deletes_as_of = MirrorState.objects.get().deletes_as_of
    assert as_of() == found[0]
    assert deletes_as_of is not None
    assert deletes_as_of < as_of()


def test_watermark__from_the_future(syncer: Syncer) -> None:
    """A clock at Clerk's that went wrong for a moment must not make the scans blind: a full sync is asked for."""
    ids = synced(syncer, 5)
    MirrorState.objects.update(updates_as_of=as_of() + timedelta(days=1))
    change(syncer.clerk, ids[:1])
    report = syncer.incremental()
    assert "run a full sync" in str(report.error)
    assert syncer.full().error is None
    assert as_of() <= datetime.fromtimestamp(syncer.clerk.clock.now_ms() / 1000, UTC)
    assert syncer.incremental().error is None


def test_clock__of_ours_is_not_asked(syncer: Syncer) -> None:
    """Our clock may be years off Clerk's: the scan goes by Clerk's, and says how far ours is ahead."""
    syncer.clerk.advance(seconds=-40_000_000)
    ids = synced(syncer, 10)
    change(syncer.clerk, ids[:3])
    assert syncer.incremental().counts["updated"] == 3
    assert differences(syncer.clerk) == {}
    assert MirrorState.objects.get().skew_ms == pytest.approx(40_000_000_000, rel=0.01)


def test_lease__held_and_free(syncer: Syncer) -> None:
    """A second incremental sync ends with 3; a full one is not in the way, nor is it hindered."""
    ids = synced(syncer, 12)
    change(syncer.clerk, ids[:2])
    found: list[Any] = []

    def on_page(page: SweptPage, seen: int) -> None:
        with pytest.raises(LeaseHeld, match="an incremental sync is at work") as caught:
            syncer.incremental()
        found.append((caught.value.exit_status, syncer.full().error))

    assert syncer.incremental(on_page=on_page).error is None
    assert found == [(3, None)]
    assert MirrorState.objects.get().incremental_holder == ""


def test_lease__lost(syncer: Syncer) -> None:
    """I8: a scan that was away past its expiry writes nothing more, and moves no watermark."""
    ids = synced(syncer, 300)
    change(syncer.clerk, ids[:150])
    states: list[Any] = []

    def take_over(page: SweptPage, seen: int) -> None:
        if not states:
            MirrorState.objects.update(incremental_expires_at=datetime(2020, 1, 1, tzinfo=UTC))
            states.append(leases.acquire("incremental"))
            states.append(everything())

    report = syncer.incremental(on_page=take_over)
    assert (type(report.error), report.exit_status) == (LeaseLost, 3)
    assert everything() == states[1]


def test_stopped(syncer: Syncer) -> None:
    """Ctrl-C ends it after the page; the next run reads the same changes again."""
    ids = synced(syncer, 300)
    change(syncer.clerk, ids[:150])
    known, stop = as_of(), StopAfter(1)
    report = syncer.incremental(on_page=stop, stop=stop.event)
    assert (type(report.error), report.exit_status, as_of()) == (SyncInterrupted, 130, known)
    assert last_run(INCREMENTAL).state == SyncRun.State.INTERRUPTED
    assert syncer.incremental().counts["updated"] == 50
    assert differences(syncer.clerk) == {}


@pytest.mark.django_db(transaction=True)
def test_database__fails_in_a_page(syncer: Syncer) -> None:
    """I6: a page whose transaction fails at its last statement is not counted, and is read again."""
    ids = synced(syncer, 300)
    change(syncer.clerk, ids[:150])
    known = as_of()
    with trap(300):
        report = syncer.incremental()
    assert "the database failed: a full disk" in str(report.error)
    assert (as_of(), len(differences(syncer.clerk))) == (known, 50)
    assert last_run(INCREMENTAL).counts["updated"] == 100
    assert syncer.incremental().error is None
    assert differences(syncer.clerk) == {}


def test_key__seen_before_asks_nothing(syncer: Syncer) -> None:
    """The instance is asked for once for each key and address; a full sync asks each time."""
    synced(syncer, 3)
    syncer.incremental()
    assert [request.path for request in syncer.clerk.requests] == ["/v1/users"]
    MirrorState.objects.update(key_fingerprint="another")
    syncer.clerk.clear_requests()
    syncer.incremental()
    syncer.incremental()
    assert [request.path for request in syncer.clerk.requests] == ["/v1/instance", "/v1/users", "/v1/users"]


def test_key__of_another_instance(syncer: Syncer) -> None:
    """Another Clerk at another address is asked who it is before its users come into the table."""
    synced(syncer, 3)
    before = table()
    other = FakeClerk(
        seed=3, instance_id="ins_other", clock=syncer.clerk.clock, secret_key=syncer.clerk.secret_key
    )
    other.create_users(4)
    with serve(other) as served, override_settings(CLERK_API_URL=served.url):
        for dry_run in (True, False):
            report = syncer.incremental(dry_run=dry_run)
            assert (type(report.error), report.exit_status) == (InstanceMismatch, 4)
    assert table() == before
    assert last_run(INCREMENTAL).state == SyncRun.State.FAILED


def test_key__rejected(syncer: Syncer) -> None:
    """A key that Clerk no longer takes ends with 2, and the books know."""
    synced(syncer, 3)
    syncer.clerk.secret_key = "sk_test_another"
    report = syncer.incremental()
    assert (type(report.error), report.exit_status) == (KeyRejected, 2)
    assert last_run(INCREMENTAL).error == str(report.error)


def test_key__fingerprint_is_not_kept_by_a_dry_run(syncer: Syncer) -> None:
    """A dry run writes nothing, so it asks again."""
    with syncer.client() as client:
        instances.check(client, dry_run=True)
        assert not MirrorState.objects.exists()
        instances.check(client)
        assert MirrorState.objects.get().key_fingerprint == client.fingerprint
        assert syncer.clerk.secret_key not in client.fingerprint


def test_signal__sync_failed(syncer: Syncer) -> None:
    """Alarms hear of a scan that failed, after its lease was given back."""
    synced(syncer, 3)
    heard: list[Any] = []

    def receive(run: SyncRun, error: Exception, **kwargs: Any) -> None:
        heard.append((run.kind, type(error), MirrorState.objects.get().incremental_holder))

    signals.sync_failed.connect(receive)
    try:
        syncer.incremental()
        syncer.clerk.fail(503, times=None)
        syncer.incremental()
    finally:
        signals.sync_failed.disconnect(receive)
    assert heard == [(INCREMENTAL, ClerkUnavailable, "")]


def test_books__of_runs_without_work(syncer: Syncer) -> None:
    """Of runs in a row that had nothing to do the last one is kept; those that did something are all kept."""
    ids = synced(syncer, 5)
    for number in range(3):
        for _ in range(3):
            syncer.incremental()
        change(syncer.clerk, ids[number : number + 1])
        syncer.clerk.advance(seconds=300)
        syncer.incremental()
    kept = SyncRun.objects.filter(kind=INCREMENTAL).order_by("pk")
    assert [bool(run.counts.get("updated")) for run in kept] == [False, True] * 3


def test_books__of_users_in_doubt(syncer: Syncer) -> None:
    """The same is true of runs that find nobody in doubt; one that fails is kept."""
    synced(syncer, 3)
    with syncer.client() as client:
        for _ in range(3):
            refresh.sync_pending(client)
        ClerkUser.objects.update(doubt_reason="not readable in full", retry_ms=1)
        syncer.clerk.fail("html", times=None)
        refresh.sync_pending(client)
        syncer.clerk.clear_faults()
        refresh.sync_pending(client)
        refresh.sync_pending(client)
    kept = SyncRun.objects.filter(kind=SyncRun.Kind.PENDING).order_by("pk")
    assert list(kept.values_list("state", flat=True)) == ["completed", "failed", "completed"]


def test_books__after_a_month(syncer: Syncer) -> None:
    """Incremental runs are forgotten after a month, full ones are not."""
    ids = synced(syncer, 3)
    change(syncer.clerk, ids[:1])
    syncer.incremental()
    SyncRun.objects.update(started_at=timezone.now() - runs.KEPT - timedelta(hours=1))
    syncer.incremental()
    assert sorted(SyncRun.objects.values_list("kind", flat=True)) == ["full", "incremental"]


def test_books__of_a_process_that_died(syncer: Syncer) -> None:
    """A run that seems to be at work under a free lease is marked as what it is."""
    synced(syncer, 3)
    dead = runs.begin(INCREMENTAL, instance_id="ins_x")
    syncer.incremental()
    dead.refresh_from_db()
    assert (dead.state, dead.error) == (SyncRun.State.INTERRUPTED, "the process ended")


def test_poison__does_not_delay_others(syncer: Syncer) -> None:
    """I14: users who cannot be read are named and in doubt; the others arrive, and the watermark moves."""
    ids = synced(syncer, 10)
    known = as_of()
    change(syncer.clerk, ids[:4])
    syncer.clerk.set_raw(ids[1], b'{"id": "%s"}' % ids[1].encode())
    syncer.clerk.set_raw(ids[2], b'{"first_name": 7}')
    report = syncer.incremental()
    assert (report.exit_status, report.counts["skipped"], report.counts["updated"]) == (1, 2, 2)
    assert ids[1] in report.skipped
    assert as_of() > known


def test_clerk__that_answers_with_one_page_for_ever(syncer: Syncer) -> None:
    """A proxy that answers every list with the same page cannot keep a scan running."""
    ids = synced(syncer, 200)
    change(syncer.clerk, ids[:150])
    with syncer.client() as client:
        body = client.list_users(limit=100, order_by="-updated_at").body
    syncer.clerk.fail("callback", call=lambda request: Response(200, body=body), on=LISTS, times=None)
    assert "the same page of users" in str(syncer.incremental().error)
    assert COUNT not in [f"{request.method} {request.path}" for request in syncer.clerk.requests]
