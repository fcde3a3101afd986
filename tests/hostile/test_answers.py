"""Hostile answers of Clerk's API: nothing is deleted, changed or lost, and the run says what happened."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from clerksync.client import ClerkClient
from clerksync.exceptions import ClerkSyncError, ClerkUnavailable, InvalidResponse
from clerksync.incremental import incremental_sync
from clerksync.refresh import sync_users
from clerksync.sync import Options, full_sync
from clerksync.tally import Report
from clerksync.testing import FakeClerk
from clerksync.throttle import Throttle
from tests.clocks import VirtualTime
from tests.figures import tell
from tests.hostile.replies import ENDLESS, REPLIES, WIRES
from tests.hostile.wires import answering
from tests.syncing import LISTS, Syncer, synced, table

pytestmark = pytest.mark.django_db

#: Replies that one table meets one after the other.
AT_A_TIME = 8
#: Of a message about an answer.
LONGEST = 700
#: What the README says of a sync that could not do its work, or all of it.
STATUSES = {1, 2, 4}
#: These hold users whom Clerk could have, besides what is odd.
HOLD_USERS = {"body_one_user_500_times", "body_users_out_of_order", "body_user_in_two_versions"}


def runs(client: ClerkClient, clock: VirtualTime, ids: list[str]) -> list[Report]:
    """One sync of each kind; an error that came before the run began is in its report, too."""
    reports = []
    syncs: list[Callable[[], Report]] = [
        lambda: full_sync(client, Options(), sleep=clock.sleep),
        lambda: incremental_sync(client, sleep=clock.sleep),
        lambda: sync_users(client, ids),
    ]
    for sync in syncs:
        try:
            reports.append(sync())
        except ClerkSyncError as error:
            reports.append(Report("refused", error=error))
    return reports


def check_message(report: Report, *, secret: str) -> None:
    """What is said fits into one line of a terminal that obeys control characters."""
    message = str(report.error)
    assert message.isprintable(), message
    assert 20 < len(message) <= LONGEST
    assert secret not in message
    assert "Traceback" not in message


@pytest.mark.parametrize("first", range(0, len(REPLIES), AT_A_TIME))
def test_reply__changes_nothing(syncer: Syncer, first: int) -> None:
    """I13: whatever comes instead of a list of users, time after time, all rows stay as they are."""
    ids = synced(syncer, 4)
    before = table()
    for name in list(REPLIES)[first : first + AT_A_TIME]:
        syncer.clerk.fail("callback", call=lambda request, name=name: REPLIES[name], on=LISTS, times=None)
        with syncer.client() as client:
            reports = runs(client, syncer.time, ids)
        for report in reports:
            assert report.exit_status in STATUSES or name in HOLD_USERS, (name, report)
            if report.error is not None:
                check_message(report, secret=syncer.clerk.secret_key)
        rows = {clerk_id: row for clerk_id, row in table().items() if clerk_id in ids}
        assert rows == before, name
        syncer.clerk.clear_faults()
        tell("hostile users and answers")


@pytest.mark.parametrize("name", WIRES)
def test_wire__changes_nothing(clerk: FakeClerk, settings: Any, name: str) -> None:
    """I13: the same of bytes that are hardly HTTP; they are asked for again until the deadline, or refused at once."""
    syncer = Syncer(clerk)
    ids = synced(syncer, 4)
    before = table()
    with answering(clerk, WIRES[name]) as (url, asked):
        settings.CLERK_API_URL = url
        clock = VirtualTime()
        throttle = Throttle(rate=1_000_000, scope="tests", clock=clock.clock)
        with ClerkClient(throttle=throttle, timeout=(2, 2), deadline=3) as client:
            reports = runs(client, clock, ids)
    assert len(asked) >= 5
    for report in reports:
        assert report.exit_status in STATUSES, report
        if report.error is not None:
            check_message(report, secret=clerk.secret_key)
    assert table() == before
    tell("hostile users and answers")


@pytest.mark.parametrize("name", ENDLESS)
def test_endless__is_given_up(clerk: FakeClerk, name: str) -> None:
    """An answer that never ends is given up, whatever part of it does not."""
    with answering(clerk, ENDLESS[name]) as (url, _):
        throttle = Throttle(rate=1_000_000, scope="tests")
        began = time.monotonic()
        with (
            ClerkClient(api_url=url, throttle=throttle, timeout=(1, 0.3), deadline=0.6) as client,
            pytest.raises((ClerkUnavailable, InvalidResponse)) as caught,
        ):
            client.list_users(limit=5)
        assert time.monotonic() - began < 8
    assert str(caught.value).isprintable()
    tell("hostile users and answers")
