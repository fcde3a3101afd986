"""The incremental sync: when nothing has changed (P5), and when one user of a hundred has (P6)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from django.test.utils import override_settings

from clerksync.client import ClerkClient
from clerksync.incremental import incremental_sync
from clerksync.tally import Report
from tests.benchmarks import contest
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes
from tests.benchmarks.world import NO_LIMIT, World, fake_clerk


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures."""
    for users in sorted({1_000, sizes.users}):
        with fake_clerk(users) as world:
            contest.ours(world, payload=True)()
            report = _incremental(world)
            yield Result(
                row="P5",
                what=f"requests when nothing changed, {users:,} users",
                measured=report.requests,
                at_most=2,
                detail=f"{report.seconds:.3f} s",
            )
            if users == sizes.users:
                yield from _one_percent(world, users)


def _one_percent(world: World, users: int) -> Iterator[Result]:
    changed = math.ceil(users / 100)
    before = contest.written()
    world.change_every(100)
    report = _incremental(world)
    rows = len(contest.written() - before)
    yield Result(row="P6", what="rows written for each that was changed", measured=rows / changed, at_most=1)
    yield Result(
        row="P6",
        what=f"requests when {changed:,} of {users:,} changed",
        measured=report.requests,
        at_most=3 + math.ceil(changed / 490),
        detail=f"{report.seconds:.2f} s",
    )
    if contest.full_sync(world).counts.get("updated"):
        raise AssertionError("a full sync found changes that the incremental one did not")


def _incremental(world: World) -> Report:
    with override_settings(CLERKSYNC_RATE_LIMIT=NO_LIMIT), ClerkClient(**world.access) as client:
        return contest.checked(incremental_sync(client))
