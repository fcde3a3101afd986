"""The watermarks are never false (I12), whatever happens between and during the syncs; and how they move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clerksync import watermarks
from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.testing import FakeClerk
from clerksync.watermarks import Watermarks
from tests.profiles import pick
from tests.syncing import LISTS, Syncer, before_list, small_pages

pytestmark = pytest.mark.django_db

T0 = 1_767_225_600_000


@override_settings(USE_TZ=False, TIME_ZONE="Pacific/Auckland")
def test_without_time_zones() -> None:
    """A project with ``USE_TZ = False`` keeps the same moments."""
    MirrorState.objects.create(pk=1)
    watermarks.advance(now_ms=T0 + 2000, updates_ms=T0, deletes_ms=T0 + 1000)
    assert watermarks.known() == Watermarks(T0, T0 + 1000)


STEPS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([1, 900, 10_000, 30_000, 400_000])),
    st.tuples(st.just("update"), st.integers(0, 40)),
    st.tuples(st.just("late"), st.integers(0, 40)),
    st.tuples(st.just("create"), st.integers(0, 3)),
    st.tuples(st.just("delete"), st.integers(0, 40)),
    st.tuples(st.just("scan"), st.just(0)),
    st.tuples(st.just("moving scan"), st.integers(0, 40)),
    st.tuples(st.just("failing scan"), st.integers(0, 3)),
    st.tuples(st.just("full"), st.just(0)),
    st.tuples(st.just("moving full"), st.integers(0, 40)),
)


class History:
    """Everything that Clerk's lists have shown, by its clock, beside what is said to be known of it."""

    def __init__(self, clerk: FakeClerk) -> None:
        self.clerk = clerk
        self.syncer = Syncer(clerk)
        self.changes: list[tuple[int, str, int, str]] = []
        self.deletes: dict[str, int] = {}
        for user in clerk.users():
            clerk.delete_user(user["id"])
        for model in (ClerkUser, SyncRun, MirrorState):
            model._default_manager.all().delete()
        clerk.clear_faults()
        for _ in range(25):
            self.create()
        clerk.advance(seconds=70)  # younger users are never taken for gone

    def play(self, step: tuple[str, int]) -> None:
        """Do one step, and see that no watermark has become false."""
        kind, number = step
        match kind:
            case "pass":
                self.clerk.advance(ms=number)
            case "create":
                self.create()
            case "update":
                for offset in range(5):
                    self.update(number + offset)
            case "late":
                self.update(number, late_ms=100_000)
            case "delete":
                self.delete(number)
            case _:
                self.sync(kind, number)
        self.check()

    def sync(self, kind: str, number: int) -> None:
        small_pages(self.clerk)
        how, _, what = kind.rpartition(" ")
        if how == "failing":
            self.clerk.fail("html", on=LISTS, after=number, times=None)
        if how == "moving":
            before_list(self.clerk, lambda: self.move(number))
        report = self.syncer.full(allow_deletes=1_000) if what == "full" else self.syncer.incremental()
        self.clerk.clear_faults()
        assert how == "failing" or report.error is None

    def move(self, number: int) -> None:
        self.clerk.advance(seconds=4)
        for offset in range(3):
            self.update(number + offset)
        self.delete(number + 3)
        self.create()
        self.clerk.advance(seconds=4)

    def create(self) -> None:
        user = self.clerk.create_user(first_name="New")
        self.changes.append((self.clerk.clock.now_ms(), user["id"], user["updated_at"], "New"))

    def update(self, number: int, *, late_ms: int = 0) -> None:
        users = self.clerk.users()
        if not users:
            return
        user, name = users[number % len(users)], f"Name {len(self.changes)}"
        now = self.clerk.clock.now_ms()
        updated_at = max(user["updated_at"] + 1, now - late_ms)
        self.clerk.put_user(user | {"first_name": name, "updated_at": updated_at})
        self.changes.append((now, user["id"], updated_at, name))

    def delete(self, number: int) -> None:
        users = self.clerk.users()
        if len(users) > 5:
            clerk_id = users[number % len(users)]["id"]
            self.clerk.delete_user(clerk_id)
            self.deletes[clerk_id] = self.clerk.clock.now_ms()

    def check(self) -> None:
        known, rows = watermarks.known(), ClerkUser.objects.in_bulk()
        for listed_ms, clerk_id, updated_ms, name in self.changes:
            if listed_ms <= (known.updates_ms or 0) and clerk_id not in self.deletes:
                row = rows[clerk_id]
                assert row.updated_ms >= updated_ms
                assert row.updated_ms > updated_ms or row.first_name == name
        for clerk_id, deleted_ms in self.deletes.items():
            if deleted_ms <= (known.deletes_ms or 0) and clerk_id in rows:
                assert rows[clerk_id].state == "deleted" or rows[clerk_id].needs_refresh


#: A change that is listed late, behind those that the last scan has seen: the overlap is for it.
LISTED_LATE = [
    ("update", 0),
    ("update", 5),
    ("update", 10),
    ("pass", 10_000),
    ("scan", 0),
    ("pass", 10_000),
    ("late", 20),
    ("pass", 10_000),
]


@example(steps=LISTED_LATE)
@settings(max_examples=pick(short=25, long=1_000), suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, max_size=25))
def test_watermarks__never_false(clerk: FakeClerk, steps: list[tuple[str, int]]) -> None:
    """I12: what was listed by a watermark is in the table, after any history, and after any failure."""
    history = History(clerk)
    for step in [("full", 0), *steps, ("scan", 0)]:
        history.play(step)
    known = watermarks.known()
    assert known.updates_ms is not None
    assert known.updates_ms > clerk.clock.now_ms() - 60_000


def moved(*, now_ms: int = T0 + 10_000, **values: int) -> Watermarks:
    watermarks.advance(now_ms=now_ms, **values)
    return watermarks.known()


def test_advance__forwards_only() -> None:
    """The later word stays; one from the future gives way; each moves by itself."""
    assert watermarks.known() == Watermarks()
    MirrorState.objects.create(pk=1)
    assert moved(updates_ms=T0 + 5) == Watermarks(T0 + 5, None)
    assert moved(updates_ms=T0 + 3, deletes_ms=T0 + 3) == Watermarks(T0 + 5, T0 + 3)
    assert moved(updates_ms=T0 + 7) == Watermarks(T0 + 7, T0 + 3)
    assert moved(updates_ms=T0 + 6, now_ms=T0 + 6) == Watermarks(T0 + 6, T0 + 3)


def test_advance__says_how_far_our_clock_is_ahead() -> None:
    """The difference is kept with the watermark, so that its age can be told without asking Clerk."""
    MirrorState.objects.create(pk=1)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    moved(updates_ms=T0, now_ms=round(hour_ago.timestamp() * 1000))
    assert MirrorState.objects.get().skew_ms == pytest.approx(3_600_000, abs=5_000)


def test_advance__not_beyond_the_present() -> None:
    """What is said to be known later than now, by the clock of the last answer, is not."""
    MirrorState.objects.create(pk=1)
    assert moved(now_ms=T0, updates_ms=T0 + 60_000, deletes_ms=T0 + 60_000) == Watermarks()
    assert moved(now_ms=T0, updates_ms=T0 + 1_000) == Watermarks(T0 + 1_000, None)


@pytest.mark.parametrize(
    "date",
    ["Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 2026", "", "9" * 5_000],
)
def test_syncs__date_of_another_age(clerk: FakeClerk, date: str) -> None:
    """A Date that cannot be right moves neither watermarks nor rows into another age, and hides no later change."""
    syncer, ids = Syncer(clerk), clerk.create_users(5)
    clerk.advance(seconds=600)
    assert syncer.full().error is None
    before = watermarks.known()
    clerk.advance(seconds=600)
    clerk.update_user(ids[0], first_name="Changed")

    clerk.fail("wrong_date", value=date, times=None, on="*")
    for report in (syncer.full(), syncer.incremental(), syncer.users(*ids)):
        assert report.error is None
    assert watermarks.known() == before
    assert ClerkUser.objects.get(pk=ids[0]).first_name == "Changed"
    clerk.clear_faults()
    clerk.update_user(ids[1], first_name="Later")
    clerk.advance(seconds=10)
    assert syncer.incremental().error is None
    assert ClerkUser.objects.get(pk=ids[1]).first_name == "Later"
    assert not ClerkUser.objects.in_doubt().exists()
    after = watermarks.known()
    assert before.updates_ms is not None
    assert after.updates_ms is not None
    assert before.updates_ms < after.updates_ms <= clerk.clock.now_ms()


def test_syncs__first_date_too_late(clerk: FakeClerk) -> None:
    """Nor does a single answer, the one that says when the walk began, of a clock that is a year ahead."""
    syncer = Syncer(clerk)
    clerk.create_users(5)
    clerk.advance(seconds=600)
    clerk.fail(
        "wrong_date", value=formatdate(clerk.clock.now_ms() / 1000 + 31_536_000, usegmt=True), on=LISTS
    )
    assert syncer.full().error is None
    assert watermarks.known() == Watermarks()
    assert syncer.full().error is None
    known = watermarks.known()
    assert known.updates_ms is not None
    assert known.updates_ms <= clerk.clock.now_ms()
