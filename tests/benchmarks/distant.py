"""A full sync from far away, where each answer takes 150 ms (P7).

How much faster it is when no answer takes any time is the most that could be gained by reading several windows of
``created_at`` side by side, however many: the users are decoded and written by one process in any case.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks import contest
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes
from tests.benchmarks.turns import Times, ratio, take_turns, tell
from tests.benchmarks.world import fake_clerk

LATENCY = 0.15


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures."""
    users = sizes.distant_users
    with fake_clerk(users) as near, fake_clerk(users, latency=LATENCY) as far:
        contest.empty()
        report = contest.full_sync(far)
        yield Result(
            row="P7",
            what="150 ms away, against the time that the answers take",
            measured=report.seconds / (report.requests * LATENCY),
            at_most=1.1,
            detail=f"{report.requests} requests, {report.seconds:.1f} s",
        )
        times = take_turns(
            {
                "far": contest.ours(far, payload=True),
                "far, nothing changed": contest.ours_again(far),
                "near": contest.ours(near, payload=True),
                "near, nothing changed": contest.ours_again(near),
            },
            max(1, sizes.rounds // 2),
        )
    for suffix in ("", ", nothing changed"):
        yield _gain(times, suffix, users)


def _gain(times: Times, suffix: str, users: int) -> Result:
    far, near = f"far{suffix}", f"near{suffix}"
    return Result(
        row="P7",
        what=f"times as fast without any wait for answers{suffix}",
        measured=ratio(times, far, near),
        detail=tell(times, far, near, users=users),
    )
