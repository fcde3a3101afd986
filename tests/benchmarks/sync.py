"""The full sync against its floor and its peers: ``python -m tests.benchmarks.sync``.

Every figure of a table was measured in one run, in turns (floor, ours, peers, floor, ...); the
ratios are of medians. ``CLERKSYNC_TEST_DATABASE`` chooses the database.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import django

from tests import databases

_OUT = sys.stdout.write


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sync", description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--peer-users", type=int, default=2_000, help="for the slow peers")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    with databases.running():
        django.setup()
        from tests.benchmarks import contest  # noqa: PLC0415  # models need the set-up

        contest.prepare()
        _describe(options)
        _measure_large(contest, options.users, options.rounds)
        _measure_small(contest, options.peer_users, options.rounds)
        _measure_budget(contest)


def _describe(options: argparse.Namespace) -> None:
    _OUT(
        f"{databases.kind()}, Python {platform.python_version()}, Django {django.get_version()}, "
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}; {options.users} users, "
        f"{options.rounds} rounds, medians\n"
    )


def _measure_large(contest: Any, users: int, rounds: int) -> None:
    from tests.benchmarks.world import fake_clerk  # noqa: PLC0415

    with fake_clerk(users) as world:
        times = _in_turns(
            {
                "floor": contest.floor(world),
                "ours, typed columns": contest.ours(world, payload=False),
                "ours, everything": contest.ours(world, payload=True),
                "floor of a scan": contest.floor_again(world),
                "ours, nothing changed": contest.ours_again(world),
                "bulk_create of 1,000": contest.bulk_create(world),
            },
            rounds,
        )
        _table(times, "floor", users)
        _table(
            {name: times[name] for name in ("floor of a scan", "ours, nothing changed")},
            "floor of a scan",
            users,
        )
        _OUT(contest.one_percent(world, users))
    _OUT(f"  peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB\n")


def _measure_small(contest: Any, users: int, rounds: int) -> None:
    from tests.benchmarks.world import fake_clerk  # noqa: PLC0415

    with fake_clerk(users) as world:
        times = _in_turns(
            {
                "ours, everything": contest.ours(world, payload=True),
                "update_or_create": contest.update_or_create(world),
            },
            rounds,
        )
        _table(times, "ours, everything", users)


def _measure_budget(contest: Any) -> None:
    """P8: a key that allows 100 requests in 10 s, of which half may be taken."""
    from tests.benchmarks.world import fake_clerk  # noqa: PLC0415

    with fake_clerk(30_000, limit=(100, 10)) as world:
        _OUT(contest.within_budget(world))


def _in_turns(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, contestant in contestants.items():
            gc.collect()
            times[name].append(contestant())
    return times


def _table(times: dict[str, list[float]], base: str, users: int) -> None:
    """One row a contestant: the ratio to the base, and the medians' range."""
    against = statistics.median(times[base])
    for name, measured in times.items():
        median = statistics.median(measured)
        _OUT(
            f"  {name:<24} {median / against:7.2f} x {base} "
            f"({median / users * 1e6:7.1f} us a user; {min(measured):.2f} to {max(measured):.2f} s)\n"
        )


if __name__ == "__main__":
    main()
