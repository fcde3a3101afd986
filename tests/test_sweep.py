"""The walk over everybody: page borders, a Clerk that moves meanwhile, stops and resumes (I7)."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.utils import timezone

from clerksync.exceptions import ClerkUnavailable, FilterIgnored, SyncInterrupted
from clerksync.models import ClerkUser, SyncRun
from clerksync.pages import PageWriter
from clerksync.payloads import Observation
from clerksync.records import Doubt
from clerksync.seals import Head
from clerksync.testing import Response
from tests.syncing import (
    LISTS,
    StopAfter,
    Syncer,
    before_list,
    differences,
    last_run,
    small_pages,
    told,
    trap,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("ties", "shuffled"), [(22, False), (4, True)])
def test_pages__equal_times(syncer: Syncer, ties: int, shuffled: bool) -> None:  # noqa: FBT001  # pytest's
    """Users of one millisecond may lie on both sides of a border, and in another order each time."""
    now = syncer.clerk.clock.now_ms()
    syncer.clerk.create_users(7)
    syncer.clerk.create_users(ties, first_created_at=now - 3_600_000, spacing_ms=0)
    syncer.clerk.create_users(7, first_created_at=now - 3_599_999, spacing_ms=1)
    small_pages(syncer.clerk)
    if shuffled:
        syncer.clerk.fail("shuffle_ties", times=None)
    for _ in range(2):
        report = syncer.full()
        assert (report.error, report.counts["seen"], report.counts.get("missing", 0)) == (None, 14 + ties, 0)
    assert differences(syncer.clerk) == {}


@pytest.mark.parametrize("fault", ["limit_ignored", "half_page", "wrapped", "cursor_ignored", "no_date"])
def test_pages__odd(syncer: Syncer, fault: str) -> None:
    """Ten users a page, half a page, a wrapped list, no cursor, no date: nobody is lost, nobody is deleted."""
    syncer.clerk.create_users(130)
    syncer.full()
    syncer.clerk.create_users(7)
    syncer.clerk.fail(fault, times=None)
    report = syncer.full()
    syncer.clerk.clear_faults()
    assert not ClerkUser.objects.deleted().exists()
    if fault == "half_page":  # the last user of a list that is always halved cannot be seen
        assert len(differences(syncer.clerk)) <= 1
    else:
        assert (report.error, differences(syncer.clerk)) == (None, {})


@pytest.fixture
def completed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of those of whom more than the head was read."""
    ids: list[str] = []
    complete = PageWriter.complete

    def note(writer: PageWriter, head: Head) -> Observation:
        ids.append(head.clerk_id)
        return complete(writer, head)

    monkeypatch.setattr(PageWriter, "complete", note)
    return ids


def test_heads__suffice_while_nothing_changes(syncer: Syncer, completed: list[str]) -> None:
    """Nobody is read in full who is as stored; who was changed silently is."""
    ids = syncer.clerk.create_users(25)
    syncer.full()
    completed.clear()
    assert told(syncer.full()) == {"seen": 25, "unchanged": 25}
    assert completed == []
    syncer.clerk.advance(seconds=60)
    syncer.clerk.update_user(ids[7], silent=True, first_name="Quiet")
    assert told(syncer.full())["updated"] == 1
    assert completed == [ids[7]]
    assert differences(syncer.clerk) == {}


def test_heads__not_where_most_are_new(syncer: Syncer, completed: list[str]) -> None:
    """The thread that reads ahead reads the later pages of a first sync in full."""
    syncer.clerk.create_users(45)
    small_pages(syncer.clerk)
    assert told(syncer.full()) == {"seen": 45, "created": 45}
    assert len(completed) < 25
    completed.clear()
    assert told(syncer.full()) == {"seen": 45, "unchanged": 45}
    assert completed == []


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "user@example.com"},
        {"last_name": None},
        {"username": "New User"},
        {"digest": ""},
        {"digest": "0.abcdef:0:0"},
        {"doubt_reason": Doubt.TIE, "doubt_ms": 1, "retry_ms": 1},
        {"state": "incomplete"},
    ],
    ids=str,
)
def test_heads__find_what_was_changed_past_the_mirror(syncer: Syncer, changes: dict[str, Any]) -> None:
    """What is read in full, sooner or later the same way, is what Clerk holds."""
    ids = syncer.clerk.create_users(25)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    ClerkUser.objects.filter(pk=ids[3]).update(**changes)
    assert syncer.full().error is None
    assert differences(syncer.clerk) == {}
    assert not ClerkUser.objects.needs_refresh().exists()


def test_heads__find_a_tombstone_that_is_listed(syncer: Syncer) -> None:
    """A delete that Clerk did not mean is undone, though the row's content is what it was."""
    ids = syncer.clerk.create_users(25)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    ClerkUser.objects.filter(pk=ids[3]).update(state="deleted", deleted_by="event")
    assert told(syncer.full())["revived"] == 1


@pytest.mark.parametrize("setting", [{"EXCLUDE_FIELDS": ("last_name",)}, {"STORE_PAYLOAD": False}], ids=str)
def test_heads__find_that_settings_changed(syncer: Syncer, settings: Any, setting: dict[str, Any]) -> None:
    """Every row is written once, and then none."""
    syncer.clerk.create_users(25)
    syncer.full()
    for name, value in setting.items():
        setattr(settings, f"CLERKSYNC_{name}", value)
    assert told(syncer.full()) == {"seen": 25, "touched": 25}
    assert told(syncer.full()) == {"seen": 25, "unchanged": 25}


def interrupt(syncer: Syncer, **options: Any) -> SyncRun:
    """A run of five pages that stopped after two."""
    syncer.clerk.create_users(45)
    small_pages(syncer.clerk)
    stop = StopAfter(2)
    syncer.full(on_page=stop, stop=stop.event, **options)
    return last_run()


@pytest.mark.django_db(transaction=True)
def test_worker__ends_with_the_sync(syncer: Syncer) -> None:
    """No thread goes on reading after a sync that failed in the middle of a page."""
    syncer.clerk.create_users(45)
    small_pages(syncer.clerk)
    with trap(19):
        report = syncer.full()
    assert report.error is not None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("clerksync-ahead")]


def test_pages__without_any_time(syncer: Syncer) -> None:
    """A first page on which nobody has a time says nothing about anybody in the table."""
    syncer.clerk.create_users(25)
    syncer.full()
    small_pages(syncer.clerk)
    oldest = [user["id"] for user in syncer.clerk.users()][:10]
    for clerk_id in oldest:
        syncer.clerk.set_raw(clerk_id, b'{"id": "%s"}' % clerk_id.encode())
    report = syncer.full()
    assert report.counts["missing"] == 0
    assert set(ClerkUser.objects.needs_refresh().values_list("pk", flat=True)) == set(oldest)


def test_pages__deleted_between(syncer: Syncer) -> None:
    """A user who goes before their page is read is a delete; one who goes after is the next run's."""
    ids = syncer.clerk.create_users(25)
    syncer.full()
    syncer.clerk.advance(seconds=60)
    small_pages(syncer.clerk)
    before_list(syncer.clerk, lambda: [syncer.clerk.delete_user(clerk_id) for clerk_id in (ids[3], ids[20])])
    assert syncer.full().counts["deleted"] == 1
    assert set(ClerkUser.objects.deleted().values_list("pk", flat=True)) == {ids[20]}
    assert syncer.full().counts["deleted"] == 1
    assert differences(syncer.clerk) == {}


@pytest.mark.parametrize("unknown_cursor", ["error", "ignored", "empty"])
def test_pages__cursor_deleted(syncer: Syncer, unknown_cursor: Any) -> None:
    """The users at the border vanish between two pages: nobody behind them is taken for gone."""
    ids = syncer.clerk.create_users(25)
    syncer.full()
    syncer.clerk.unknown_cursor = unknown_cursor
    small_pages(syncer.clerk)
    before_list(syncer.clerk, lambda: [syncer.clerk.delete_user(clerk_id) for clerk_id in ids[7:10]])
    report = syncer.full()
    assert (report.error, report.counts.get("deleted", 0)) == (None, 0)
    assert syncer.full().counts["deleted"] == 3
    assert differences(syncer.clerk) == {}


def test_pages__changed_between(syncer: Syncer) -> None:
    """What changes on a page that was read is the next run's; what changes before is this one's."""
    ids = syncer.clerk.create_users(25)
    syncer.full()

    def change() -> None:
        syncer.clerk.advance(seconds=60)
        syncer.clerk.update_user(ids[0], first_name="Late")
        syncer.clerk.update_user(ids[24], first_name="Soon")
        syncer.clerk.create_user(email="behind@harbour-works.io")

    small_pages(syncer.clerk)
    before_list(syncer.clerk, change)
    assert syncer.full().error is None
    assert list(differences(syncer.clerk)) == [ids[0]]
    syncer.full()
    assert differences(syncer.clerk) == {}


def test_pages__same_user_twice(syncer: Syncer) -> None:
    """A user who comes on two pages, and twice on one, is one row and one count."""
    ids = syncer.clerk.create_users(4)
    everybody = [syncer.clerk.get(clerk_id) for clerk_id in ids]
    body = msgspec.json.encode([*everybody[:3], everybody[2], everybody[3]])
    syncer.clerk.fail("callback", call=lambda request: Response(200, body=body), on=LISTS, times=1)
    report = syncer.full()
    assert (report.error, report.counts["created"], ClerkUser.objects.count()) == (None, 4, 4)
    assert report.counts["seen"] == 4


@pytest.mark.parametrize("pages", range(1, 7))
def test_resume__stopped_after_any_page(syncer: Syncer, pages: int) -> None:
    """I7: what was committed and what the resumed run reads are everything, and nothing is read twice."""
    ids = syncer.clerk.create_users(45)
    syncer.clerk.advance(seconds=60)
    small_pages(syncer.clerk)
    stop = StopAfter(pages)
    report = syncer.full(on_page=stop, stop=stop.event)
    assert (type(report.error), report.exit_status) == (SyncInterrupted, 130)
    assert last_run().state == SyncRun.State.INTERRUPTED
    committed = ClerkUser.objects.count()
    assert committed == min(45, pages * 10 - (pages - 1))
    syncer.clerk.delete_user(ids[-1])
    syncer.clerk.create_user()
    resumed = syncer.full()
    # At the end of the list (the sixth page) there is nothing to go on with.
    assert (resumed.error, resumed.resumed) == (None, pages < 6)
    if pages < 6:
        assert resumed.counts["created"] == resumed.counts["seen"] >= 45
    assert set(differences(syncer.clerk)) <= {ids[-1]} if pages == 5 else differences(syncer.clerk) == {}


@pytest.mark.parametrize("after", range(6))
def test_resume__after_an_outage(syncer: Syncer, after: int) -> None:
    """I7: Clerk goes down before any page: the next run goes on where this one stopped."""
    syncer.clerk.create_users(35)
    small_pages(syncer.clerk)
    syncer.clerk.fail(503, times=None, after=after, on=LISTS)
    assert isinstance(syncer.full().error, ClerkUnavailable)
    committed = ClerkUser.objects.count()
    assert (last_run().state == SyncRun.State.INTERRUPTED) == (after > 0)
    syncer.clerk.clear_faults()
    report = syncer.full()
    assert (report.resumed, report.error) == (committed > 0, None)
    assert differences(syncer.clerk) == {}
    assert last_run().counts["created"] == 35


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", [1, 2, 3])
def test_resume__after_an_error_in_the_page(syncer: Syncer, page: int) -> None:
    """I7: a page whose transaction fails at its last statement is not skipped by the run after it."""
    syncer.clerk.create_users(28)
    small_pages(syncer.clerk)
    seen = 10 + 9 * (page - 1)
    with trap(seen):
        report = syncer.full()
    assert "the database failed: a full disk" in str(report.error)
    assert "maren" not in str(report.error)
    assert ClerkUser.objects.count() == seen - (10 if page == 1 else 9)
    assert last_run().checkpoint.get("seen", 0) == ClerkUser.objects.count()
    assert last_run().counts.get("created", 0) == ClerkUser.objects.count()
    assert syncer.full().exit_status == 0
    assert differences(syncer.clerk) == {}
    assert last_run().counts["created"] == 28


def test_resume__adds_to_the_books(syncer: Syncer) -> None:
    """Counts, calls and skipped users of a resumed run are those of both parts."""
    ids = syncer.clerk.create_users(45)
    syncer.clerk.set_raw(ids[1], b'{"id": "%s"}' % ids[1].encode())
    syncer.clerk.set_raw(ids[40], b'{"id": "%s"}' % ids[40].encode())
    small_pages(syncer.clerk)
    stop = StopAfter(2)
    first = syncer.full(on_page=stop, stop=stop.event)
    second = syncer.full()
    assert second.resumed
    assert second.counts["created"] == 43
    assert set(second.skipped) == {ids[1], ids[40]} == set(last_run().skipped)
    assert last_run().api_calls == first.requests + second.requests


def test_resume__not_the_day_after(syncer: Syncer) -> None:
    """What was read a day ago is read again, however often the run has been tried since."""
    run = interrupt(syncer)
    SyncRun.objects.update(started_at=timezone.now() - timedelta(hours=25))
    report = syncer.full()
    assert not report.resumed
    assert (last_run().pk != run.pk, report.counts["seen"]) == (True, 45)


@pytest.mark.parametrize("options", [{"deletes": False}, {"compare_all": True}, {"restart": True}])
def test_resume__not_with_other_options(syncer: Syncer, options: dict[str, Any]) -> None:
    """Another kind of sync begins anew, as does ``restart``."""
    interrupt(syncer)
    report = syncer.full(**options)
    assert (report.resumed, report.error, report.counts["seen"]) == (False, None, 45)


def test_resume__not_under_other_storage_settings(syncer: Syncer, settings: Any) -> None:
    """Rows that were written before EXCLUDE_FIELDS was set are not left as they are by a completed run."""
    interrupt(syncer)
    settings.CLERKSYNC_EXCLUDE_FIELDS = ("private_metadata",)
    assert not syncer.full().resumed
    assert not ClerkUser.objects.filter(payload_text__contains="cus_").exists()


def test_resume__not_of_another_instance(syncer: Syncer) -> None:
    """A run of another instance is not gone on with."""
    interrupt(syncer)
    syncer.clerk.instance.instance_id = "ins_other"
    report = syncer.full(adopt_instance=True)
    assert (report.resumed, report.counts["seen"]) == (False, 45)


def test_resume__not_after_a_completed_walk(syncer: Syncer) -> None:
    """When only the drain failed, the users are read again: what changed since must not wait for days."""
    ids = syncer.clerk.create_users(20)
    syncer.full()
    syncer.clerk.delete_user(ids[0])
    syncer.clerk.fail("filter_ignored", times=None)
    for _ in range(2):
        syncer.clerk.advance(seconds=60)
        syncer.clerk.update_user(ids[5], first_name=f"At {syncer.clerk.clock.now_ms()}")
        assert isinstance(syncer.full().error, FilterIgnored)
        assert ClerkUser.objects.get(pk=ids[5]).first_name == syncer.clerk.get(ids[5])["first_name"]
