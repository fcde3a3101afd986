"""Contestants take turns, so that a machine with other work is as slow for one as for the others."""

from __future__ import annotations

import gc
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

#: Seconds of each turn, by contestant.
Times = Mapping[str, list[float]]


def timed(work: Callable[[], object]) -> float:
    """Seconds of wall time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def take_turns(contestants: Mapping[str, Callable[[], float]], rounds: int) -> Times:
    """Let each one run once in each round; a contestant returns its seconds."""
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, contestant in contestants.items():
            gc.collect()
            times[name].append(contestant())
    return times


def ratio(times: Times, name: str, base: str) -> float:
    """How many times as long as another one it took, by the medians."""
    return statistics.median(times[name]) / statistics.median(times[base])


def tell(times: Times, *names: str, users: int) -> str:
    """What ratios are made of: the medians for each user, and the range of the seconds."""
    return "; ".join(
        f"{name} {statistics.median(times[name]) / users * 1e6:.1f} us a user "
        f"({min(times[name]):.2f} to {max(times[name]):.2f} s)"
        for name in names
    )
