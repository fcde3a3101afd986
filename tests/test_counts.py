"""Counts that are kept: each event once, by any number of processes, whatever is pruned."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from clerksync import counts, figures, journal, runs, status
from clerksync.counts import Key
from clerksync.models import CountedEvents, HourlyCount, MirrorState, SyncRun, TotalCount, WebhookEvent
from clerksync.testing import FakeClerk
from tests.syncing import LISTS, Syncer, change, small_pages, synced

pytestmark = pytest.mark.django_db

AT = datetime(2026, 6, 1, 10, 20, tzinfo=UTC)


def event(
    number: int,
    *,
    at: datetime = AT,
    state: str = "applied",
    type: str = "user.updated",
    lag: float | None = 1.0,
) -> WebhookEvent:
    """A recorded event, so many seconds after what it tells of."""
    occurred = None if lag is None else at - timedelta(seconds=lag)
    return WebhookEvent.objects.create(
        svix_id=f"msg_{number}",
        type=type,
        state=state,
        sent_at=at,
        received_at=at,
        finished_at=at,
        occurred_at=occurred,
    )


def totals(name: str) -> dict[tuple[str, str], int]:
    """What was counted by this name."""
    return dict(figures.read_totals().get(name, {}))


def pass_a_minute() -> None:
    """Let what was seen settle."""
    CountedEvents.objects.update(seen_at=timezone.now() - timedelta(seconds=61))


def test_add__to_the_hour_and_in_all() -> None:
    """The same key again is added to."""
    for minutes in (0, 30, 50):
        counts.add(
            {Key("runs", "full", "completed"): 2, Key("runs", "full", "failed"): 0},
            at=AT + timedelta(minutes=minutes),
        )
    assert list(HourlyCount.objects.order_by("hour").values_list("hour__hour", "kind", "value")) == [
        (10, "full", 4),
        (11, "full", 2),
    ]
    assert totals("runs") == {("full", "completed"): 6}


def test_events__settled_first() -> None:
    """An event whose transaction may be under way is left to the next time; then it is counted once."""
    event(1)
    assert counts.count_events() is False
    assert totals("events") == {}
    counts.count_events()
    assert totals("events") == {}
    event(2, state="parked")
    pass_a_minute()
    counts.count_events()
    assert totals("events") == {("user.updated", "applied"): 1}
    pass_a_minute()
    counts.count_events()
    counts.count_events(settle=False)
    assert totals("events") == {("user.updated", "applied"): 1, ("user.updated", "parked"): 1}


def test_events__never_fall() -> None:
    """What becomes of an event later, and that it is pruned, takes nothing away."""
    event(1, state="parked")
    event(2)
    counts.count_events(settle=False)
    before = figures.read_totals()
    WebhookEvent.objects.filter(state="parked").update(state="applied")
    event(3, state="ignored")
    assert journal.prune(days=0) == 3
    after = figures.read_totals()
    assert all(after[name][key] >= value for name, values in before.items() for key, value in values.items())
    assert totals("events")["user.updated", "ignored"] == 1  # counted before it went


def test_events__in_portions() -> None:
    """A long silence of all readers is made up for, some at a time."""
    for number in range(7):
        event(number)
    more = [counts.count_events(settle=False, limit=3) for _ in range(3)]
    assert (more, totals("events")) == ([True, True, False], {("user.updated", "applied"): 7})


def test_events__lag() -> None:
    """How late an event came is in a bucket; a clock that is ahead makes no negative lag."""
    for number, lag in enumerate((0.2, 0.5, 0.6, -5.0, 200_000.0)):
        event(number, lag=lag)
    event(8, lag=None)
    event(9, type="clerksync.probe")
    counts.count_events(settle=False)
    assert totals("lag") == {("0.5", ""): 3, ("1.0", ""): 1, ("+Inf", ""): 1}
    assert totals("lag_ms") == {("", ""): 200_001_300}


@pytest.mark.parametrize("name", ["x" * 61, "user.updated\n", "user updated", 'a"b', "über.x"])
def test_events__odd_types(name: str) -> None:
    """What no event of Clerk's is called makes no label of its own."""
    event(1, type=name)
    counts.count_events(settle=False)
    assert totals("events") == {("other", "applied"): 1}


@pytest.mark.django_db(transaction=True)
def test_events__together() -> None:
    """Eight threads that count at the same moment count each event once."""
    for number in range(40):
        event(number)
    barrier = threading.Barrier(8)

    def one() -> None:
        try:
            barrier.wait()
            while counts.count_events(settle=False, limit=7):
                pass
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals("events") == {("user.updated", "applied"): 40}


def test_events__late_numbers() -> None:
    """An event that another host has stamped with a wrong clock is counted like the others."""
    event(1, at=AT + timedelta(days=1))
    event(2, at=AT - timedelta(days=2))
    counts.count_events()
    pass_a_minute()
    counts.count_events()
    assert totals("events") == {("user.updated", "applied"): 2}


def test_runs__counted_as_they_end(clerk: FakeClerk) -> None:
    """Kind and outcome, time, requests, users and missed changes; also of runs whose rows are forgotten."""
    syncer = Syncer(clerk)
    ids = synced(syncer, 12)
    change(clerk, ids[:2])
    clerk.advance(seconds=300)
    syncer.incremental()
    for _ in range(3):
        clerk.advance(seconds=300)
        syncer.incremental()
    assert SyncRun.objects.filter(kind="incremental").count() == 2
    assert totals("runs") == {("full", "completed"): 1, ("incremental", "completed"): 4}
    assert totals("users")["full", "created"] == 12
    assert totals("users")["incremental", "updated"] == 2
    assert totals("changes") == {("", "missed"): 2}
    assert totals("requests")["incremental", ""] == 4
    assert totals("run_ms").keys() == {("full", ""), ("incremental", "")}


def test_runs__resumed_counts_once(clerk: FakeClerk) -> None:
    """What a run did before it was cut is not counted again when it is resumed."""
    clerk.create_users(30)
    small_pages(clerk)
    syncer = Syncer(clerk)
    clerk.fail(401, on=LISTS, after=2)
    assert syncer.full().error is not None
    assert syncer.full().resumed
    assert totals("users")["full", "created"] == 30
    assert totals("runs") == {("full", "interrupted"): 1, ("full", "completed"): 1}


def test_runs__of_some_users(clerk: FakeClerk) -> None:
    """Reads by id are counted, too, and so is a run whose process died."""
    clerk_id = clerk.create_user()["id"]
    Syncer(clerk).users(clerk_id)
    runs.begin(SyncRun.Kind.INCREMENTAL, instance_id="ins_x")
    runs.begin(SyncRun.Kind.INCREMENTAL, instance_id="ins_x")
    assert totals("runs") == {("users", "completed"): 1, ("incremental", "interrupted"): 1}


def test_rejected() -> None:
    """Rejected deliveries are counted for good."""
    journal.count_rejection("signature")
    journal.count_rejection("signature")
    journal.prune(days=0)
    assert totals("rejected") == {("signature", ""): 2}


def test_prune__old_hours() -> None:
    """Hours are forgotten, totals are not."""
    counts.add({Key("runs", "full", "completed"): 1}, at=timezone.now() - counts.KEPT - timedelta(hours=1))
    counts.add({Key("runs", "full", "completed"): 1}, at=timezone.now())
    journal.prune()
    assert (HourlyCount.objects.count(), totals("runs")) == (1, {("full", "completed"): 2})


def test_census__by_frequent_syncs(clerk: FakeClerk) -> None:
    """Rows by state are counted again by an incremental sync, but not by each."""
    syncer = Syncer(clerk)
    synced(syncer, 4)
    clerk.create_users(2)
    clerk.advance(seconds=300)
    syncer.incremental()
    assert status.read().users == {"active": 4}
    MirrorState.objects.update(census_at=timezone.now() - timedelta(minutes=16))
    clerk.advance(seconds=300)
    syncer.incremental()
    assert status.read().users == {"active": 6}
    taken_at = status.read().users_as_of
    assert taken_at is not None
    assert timezone.now() - taken_at < timedelta(minutes=1)


def test_measure__slots() -> None:
    """Hours and days without gaps, the oldest first; events that are not yet counted are in them."""
    now = timezone.now().replace(minute=30)
    event(1, at=now - timedelta(hours=3), state="parked", lag=4.0)
    event(2, at=now - timedelta(days=5))
    counts.count_events(settle=False)
    event(3, at=now - timedelta(minutes=5), lag=4.0)
    counts.add({Key("requests", "full"): 40, Key("throttled", "full"): 3}, at=now)
    journal.count_rejection("signature")
    found = status.measure(now=now)
    begins = [slot.begins for slot in found.hours]
    assert (len(begins), begins[-1]) == (25, now.replace(minute=0, second=0, microsecond=0))
    assert all(later - earlier == timedelta(hours=1) for earlier, later in itertools.pairwise(begins))
    assert found.hours[-4].events == {"parked": 1}
    assert (found.hours[-1].events, found.hours[-1].requests, found.hours[-1].throttled) == (
        {"applied": 1},
        40,
        3,
    )
    assert (len(found.days), found.days[-6].total, sum(day.total for day in found.days)) == (31, 1, 3)
    assert found.events == {("user.updated", "parked"): 1, ("user.updated", "applied"): 1}
    assert found.rejected == {"signature": 1}
    assert (found.lag.count, found.lag.p50, found.lag.p99) == (2, 3.5, 4.97)
    assert (found.api.requests, found.api.allowed, found.api.busiest) == (40, 432_000, 40)
    assert found.uncounted is False


def test_measure__cost(django_assert_num_queries: Any) -> None:
    """As many queries whatever there is."""
    status.measure()
    with django_assert_num_queries(14):
        status.measure()
    for number in range(30):
        event(number, at=timezone.now() - timedelta(hours=number), state=["parked", "applied"][number % 2])
    with django_assert_num_queries(14):
        status.measure()


@pytest.mark.django_db(transaction=True)
def test_measure__no_tables() -> None:
    """A history that cannot be read is empty; the status says what is wrong."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE clerksync_hourlycount RENAME TO elsewhere")
    try:
        found = status.measure()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO clerksync_hourlycount")
    assert (found.hours, found.status.state) == ((), "broken")


def test_totals__sum_of_hours(clerk: FakeClerk) -> None:
    """Hours and totals tell the same."""
    synced(Syncer(clerk), 3)
    for number in range(9):
        event(number, at=AT + timedelta(minutes=20 * number))
    counts.count_events(settle=False)
    by_key: dict[tuple[str, str, str], int] = {}
    for name, kind, outcome, value in HourlyCount.objects.values_list("name", "kind", "outcome", "value"):
        by_key[name, kind, outcome] = by_key.get((name, kind, outcome), 0) + value
    assert by_key == {
        (name, kind, outcome): value
        for name, kind, outcome, value in TotalCount.objects.values_list("name", "kind", "outcome", "value")
    }
