"""Pages and answers from a large table (P12): each with so many queries as from a small one, and none slow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from statistics import median

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.benchmarks import keeping
from tests.benchmarks.answers import SEARCH, SEARCH_QUERIES, Ask, questions, staff
from tests.benchmarks.filling import Filling, settle
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes

#: Rows of each table whose pages are compared with those of the large one. More than a list counts.
SMALL = 20_000
ROUNDS = 5


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures: of each group the slowest page, and the most queries more than with a small table."""
    with keeping.empty_database():
        Filling(min(SMALL, sizes.large_users // 2), min(SMALL, sizes.events // 2)).fill()
        settle()
        asked = questions(staff())
        before = {
            title: {name: queries(ask) for name, ask in group.items()} for title, group in asked.items()
        }
    started = time.perf_counter()
    keeping.fill(Filling(sizes.large_users, sizes.events))
    yield Result(
        row="P12",
        what="filling the tables",
        measured=time.perf_counter() - started,
        unit=" s",
        detail=f"{sizes.large_users:,} users, {sizes.events:,} events",
    )
    for title, group in questions(staff()).items():
        yield from results(title, group, before[title])


def results(title: str, group: Mapping[str, Ask], before: Mapping[str, int]) -> Iterator[Result]:
    """The two figures of a group."""
    now = {name: queries(ask) for name, ask in group.items()}
    # Now that what they read is in memory.
    seconds = {name: median(_seconds(ask) for _ in range(ROUNDS)) for name, ask in group.items()}
    slowest = max(seconds, key=lambda name: seconds[name])
    told = ", ".join(f"{name} {1000 * taken:.0f} ms" for name, taken in seconds.items())
    yield Result(
        row="P12",
        what=f"{title}: the slowest of {len(group)}",
        measured=seconds[slowest],
        at_most=1,
        unit=" s",
        detail=told,
    )
    more = {name: number - before[name] for name, number in now.items()}
    what, limit, shown = "queries more than from a small table", 0, more
    if title == SEARCH:
        what, limit, shown = "queries", SEARCH_QUERIES, now
    most = max(shown, key=lambda name: shown[name])
    yield Result(
        row="P12",
        what=f"{title}: {what}",
        measured=shown[most],
        at_most=limit,
        detail=f"{most}: {before[most]} before",
    )


def queries(ask: Ask) -> int:
    """How many it takes, the templates and caches being warm."""
    ask()
    with CaptureQueriesContext(connection) as captured:
        ask()
    return len(captured)


def _seconds(ask: Ask) -> float:
    started = time.perf_counter()
    ask()
    return time.perf_counter() - started
