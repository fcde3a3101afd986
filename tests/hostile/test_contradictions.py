"""Lists of Clerk's that contradict themselves: every command ends, and one user's wrong time costs only that user."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from clerksync import audits, watermarks
from clerksync.ceiling import LEEWAY
from clerksync.exceptions import DeletesRefused, FilterIgnored, SyncIncomplete
from clerksync.models import ClerkUser
from clerksync.refresh import sync_users
from clerksync.testing import FakeClerk, Request, Response
from tests.figures import tell
from tests.syncing import COUNT, LISTS, Syncer, differences, last_run, small_pages, synced, table

pytestmark = pytest.mark.django_db

#: Answers a list, given the number of lists before it and the users of the fake in order of creation.
Lie = Callable[[int, list[dict[str, Any]]], list[Any]]

#: Requests of one command: pages of a few users until there cannot be more, and 30.
MOST = LEEWAY // 10 + 30
LATE = 4_000_000_000_000


def show(clerk: FakeClerk, clerk_id: str, **values: Any) -> None:
    """Have Clerk show other values of a user than those by which it lists them."""
    clerk.set_raw(clerk_id, json.dumps({**clerk.get(clerk_id), **values}).encode())


@pytest.mark.parametrize("created", [0, "own", LATE])
@pytest.mark.parametrize("page", ["ten", "all"])
@pytest.mark.parametrize("fault", ["", "cursor_ignored"])
def test_sweep__one_time_is_wrong(syncer: Syncer, created: Any, page: str, fault: str) -> None:
    """I14: whoever has a time that contradicts the list, wherever they stand, is told of; all others are in step."""
    clerk = syncer.clerk
    ids = synced(syncer, 24)
    if page == "ten":
        small_pages(clerk)
    if fault:
        clerk.fail(fault, times=None)
    before = watermarks.known()
    for place in (0, 3, 8, 9, 10, 23):
        clerk.advance(seconds=10)
        new, *_ = clerk.create_users(1)
        clerk.update_user(ids[11], last_name=f"Changed {place}")
        shown = clerk.get(ids[4])["created_at"] if created == "own" else created
        show(clerk, ids[place], created_at=shown)
        report = syncer.full()
        assert report.error is None, (place, report.error)
        assert set(report.skipped) <= {ids[place], *ids[max(0, place - 1) : place + 2], new}
        assert differences(clerk).keys() <= {ids[place]}
        assert not ClerkUser.objects.exclude(state="active").exists()
        assert not ClerkUser.objects.in_doubt().exists()
        clerk.set_raw(ids[place], None)
    after = watermarks.known()
    assert before.updates_ms is not None
    assert after.updates_ms is not None
    assert before.updates_ms < after.updates_ms
    assert after.deletes_ms == after.updates_ms
    tell("hostile users and answers")


def test_sweep__wrong_time_is_told(syncer: Syncer) -> None:
    """Who has a wrong time is named, with the reason, and the exit status is 1, as for anybody with a fault."""
    ids = synced(syncer, 9)
    show(syncer.clerk, ids[4], created_at=5)
    report = syncer.full()
    assert (report.error, report.exit_status) == (None, 1)
    assert report.skipped == {ids[4]: "created_at contradicts the user's place in Clerk's list"}
    assert last_run().skipped == report.skipped
    assert ClerkUser.objects.get(pk=ids[4]).created_ms == 5


def test_sweep__deleted_beside_a_wrong_time(syncer: Syncer) -> None:
    """Deletes are found also where somebody's time is wrong, at the end of a page or in it."""
    ids = synced(syncer, 24)
    small_pages(syncer.clerk)
    show(syncer.clerk, ids[9], created_at=LATE)
    show(syncer.clerk, ids[15], created_at=1)
    syncer.clerk.delete_user(ids[12])
    syncer.clerk.delete_user(ids[23])
    assert syncer.full().error is None
    assert set(ClerkUser.objects.deleted().values_list("pk", flat=True)) == {ids[12], ids[23]}


def _copies(users: list[dict[str, Any]], count: int, **values: Any) -> list[dict[str, Any]]:
    """So many users who are all like the first but for id and values; unreadable, so that no row is written."""
    return [{**users[0], "id": f"user_{number}", "email_addresses": 7, **values} for number in range(count)]


def _at(users: list[dict[str, Any]], times: Any, name: str = "created_at") -> list[dict[str, Any]]:
    return [{**user, name: time} for user, time in zip(users, times, strict=False)]


LIES: dict[str, Lie] = {
    "always_the_same": lambda number, users: users,
    "reversed_each_time": lambda number, users: users[:: 1 - 2 * (number % 2)],
    "halves_by_turns": lambda number, users: users[number % 2 :: 2],
    "full_and_empty_by_turns": lambda number, users: users if number % 2 else [],
    "full_page_for_ever": lambda number, users: _copies(users, 150),
    "full_page_of_one_time": lambda number, users: _copies(users, 150, created_at=9, updated_at=LATE),
    "times_fall": lambda number, users: _at(users, itertools.count(LATE, -1)),
    "times_fall_from_page_to_page": lambda number, users: _at(users, itertools.repeat(LATE - number)),
    "times_rise_from_page_to_page": lambda number, users: _at(users, itertools.repeat(LATE + number)),
    "times_swing": lambda number, users: _at(users, itertools.cycle([5, LATE, -5, 0])),
    "no_times": lambda number, users: _at(users, itertools.repeat(None)),
    "times_of_words": lambda number, users: _at(users, itertools.repeat("yesterday")),
    "times_of_fractions": lambda number, users: _at(users, itertools.count(0.5, 0.25)),
    "always_changed": lambda number, users: _at(
        users[::-1], itertools.count(LATE + 99 * number, -1), "updated_at"
    ),
    "changed_long_ago": lambda number, users: _at(users, itertools.repeat(LATE - number), "updated_at"),
    "everybody_twice": lambda number, users: users * 2,
    "one_user_500_times": lambda number, users: users[:1] * 500,
    "nobody_500_times": lambda number, users: [{}] * 500,
    "one_each": lambda number, users: [users[number % len(users)]],
}


#: How many users Clerk counts, if not as many as there are.
LIES_ABOUT_COUNT = {"always_the_same": 10**12, "always_changed": 10**12, "halves_by_turns": -1, "one_each": 0}


@pytest.mark.parametrize("lie", LIES)
def test_commands__end(syncer: Syncer, settings: Any, lie: str) -> None:
    """I13: however lists contradict themselves, each command ends after few requests, and deletes nobody."""
    clerk = syncer.clerk
    ids = synced(syncer, 12)
    users = sorted(clerk.users(), key=lambda user: user["created_at"])
    lists, rows = itertools.count(), table()

    def answer(request: Request) -> Response:
        return Response(
            200, {"Content-Type": "application/json"}, json.dumps(LIES[lie](next(lists), users)).encode()
        )

    clerk.fail("callback", call=answer, on=LISTS, times=None)
    total = json.dumps({"object": "total_count", "total_count": LIES_ABOUT_COUNT.get(lie, 12)}).encode()
    clerk.fail("callback", call=lambda request: Response(200, {}, total), on=COUNT, times=None)
    settings.CLERKSYNC_RATE_LIMIT = 1_000_000
    with syncer.client() as client:
        commands: list[Callable[[], object]] = [
            syncer.full,
            lambda: syncer.full(dry_run=True),
            syncer.incremental,
            lambda: sync_users(client, ids),
            audits.run,
        ]
        for number, command in enumerate(commands):
            clerk.clear_requests()
            with suppress(SyncIncomplete, FilterIgnored, DeletesRefused):
                command()
            assert len(clerk.requests) <= MOST, (number, len(clerk.requests))
    after = table()
    assert not ClerkUser.objects.deleted().exists()
    assert rows.keys() <= after.keys()
    tell("hostile users and answers")


def test_command__says_why(syncer: Syncer) -> None:
    """The command ends with the reason in one line."""
    synced(syncer, 12)
    users = syncer.clerk.users()

    def answer(request: Request) -> Response:
        return Response(200, {"Content-Type": "application/json"}, json.dumps(_copies(users, 500)).encode())

    syncer.clerk.fail("callback", call=answer, on=LISTS, times=None)
    with pytest.raises(
        CommandError, match="does not end: 2500 rows were read, but there are 12 users"
    ) as caught:
        call_command("sync_clerk_users")
    assert str(caught.value).isprintable()
