"""A full sync under a limit of 100 requests in 10 s, of which half may be taken (P8).

There are ten users on a page, so that the requests alone take time.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.test.utils import override_settings

from clerksync import sync
from clerksync.client import ClerkClient
from clerksync.tally import Report
from clerksync.throttle import WINDOW
from tests.benchmarks import contest
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes
from tests.benchmarks.world import World, fake_clerk

LIMIT, SHARE = 100, 0.5


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures."""
    with fake_clerk(sizes.budget_users, limit=LIMIT, small_pages=1) as world:
        report = _sync(world)
    told = f"{report.requests} requests, {report.seconds:.1f} s"
    yield Result(
        row="P8",
        what="100 requests in 10 s, against the time that they need",
        measured=report.seconds / needed(report.requests),
        at_most=1.1,
        detail=told,
    )
    yield Result(
        row="P8",
        what="of them answered with 429",
        measured=100 * report.throttled / report.requests,
        at_most=2,
        unit=" %",
        detail=told,
    )
    with fake_clerk(sizes.budget_users, limit=LIMIT, small_pages=1, fail_every=20) as world:
        report = _sync(world)
    yield Result(
        row="P8",
        what="the same while Clerk fails 5 % of the pages",
        measured=report.seconds / needed(report.requests),
        at_most=1.3,
        detail=f"{report.requests} requests, {report.seconds:.1f} s",
    )


def needed(requests: int) -> float:
    """The seconds before the last of so many requests may go, however fast they are answered.

    The first share goes at once. Then each place comes back ``WINDOW`` after it was taken, which is 0.2 s more
    than Clerk's 10 s, so that requests which took longer to arrive than others are not refused: that is the
    budget's own rule, and no time that a sync loses.
    """
    share = int(LIMIT * SHARE)
    return (requests - 1) // share * WINDOW


def _sync(world: World) -> Report:
    contest.empty()
    with (
        override_settings(CLERKSYNC_RATE_LIMIT=LIMIT, CLERKSYNC_RATE_SHARE=SHARE),
        ClerkClient(**world.access) as client,
    ):
        return contest.checked(sync.full_sync(client, sync.Options(restart=True)))
