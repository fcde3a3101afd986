"""What clerksync adds to the start of a command (P13): the time of ``manage.py check`` with it and without.

The processor's time of the processes is compared, not the wall's, so that other work on the machine does
not count. Without clerksync the same Django apps are there, and requests and PyJWT, which it needs, imported.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator

from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes
from tests.benchmarks.turns import take_turns

#: The parts of a project, by contestant.
_PARTS = {"without": "", "with": "clerksync", "without, API": "api", "with, API": "api clerksync"}


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures."""
    contestants = {name: _check(parts) for name, parts in _PARTS.items()}
    take_turns(contestants, 1)  # writes what Python keeps compiled
    times = take_turns(contestants, max(3, sizes.turns // 3))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for title, suffix, target in (("", "", 1.3), (" and API", ", API", None)):
        ours, bare = medians[f"with{suffix}"], medians[f"without{suffix}"]
        yield Result(
            row="P13",
            what=f"start of manage.py check{title}, against without clerksync",
            measured=ours / bare,
            at_most=target,
            detail=f"{ours * 1000:.0f} ms of CPU, without {bare * 1000:.0f} ms",
        )


def _check(parts: str) -> Callable[[], float]:
    """A contestant: seconds of CPU of one start."""
    command = [sys.executable, "-m", "django", "check", "--settings", "tests.benchmarks.startup_settings"]
    environment = {**os.environ, "BENCHMARK_PARTS": parts}

    def run() -> float:
        before = _spent()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        return _spent() - before

    return run


def _spent() -> float:
    """Seconds of CPU of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
