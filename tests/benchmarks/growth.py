"""How the time and the memory of a full sync grow with the number of users (P3)."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks import contest
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes
from tests.benchmarks.world import NO_LIMIT, fake_clerk
from tests.processes import environment

#: A sync by the command in a process of its own; tells its seconds and its memory.
_SYNC = """
import json, sys, time
import django
from django.conf import settings
url, key, limit = sys.argv[1:]
settings.CLERK_API_URL, settings.CLERK_SECRET_KEY, settings.CLERKSYNC_RATE_LIMIT = url, key, int(limit)
django.setup()
from django.core.management import call_command
from tests.benchmarks import machine
started = time.perf_counter()
call_command("sync_clerk_users", "--no-progress", "--restart", "--adopt-instance", stdout=sys.stderr)
print(json.dumps({"seconds": time.perf_counter() - started, "peak_mb": machine.peak_mb()}))
"""


@dataclass(frozen=True, slots=True)
class Grown:
    """What one size took."""

    users: int
    seconds: float
    peak_mb: int


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures; the exponent is that between the second smallest size, or the smallest of two, and the largest."""
    statements = 0.0
    grown = []
    for users in sizes.growth:
        with fake_clerk(users) as world:
            contest.empty()
            grown.append(_sync(users, world.url, world.secret_key))
            if users <= sizes.users:
                statements = contest.statements_per_user(world)
    told = ", ".join(f"{one.users:,} users {one.seconds:.1f} s and {one.peak_mb} MB" for one in grown)
    first, last = grown[min(1, len(grown) - 2)], grown[-1]
    exponent = math.log(last.seconds / first.seconds) / math.log(last.users / first.users)
    yield Result(
        row="P3",
        what=f"exponent of the growth to {last.users:,} users",
        measured=exponent,
        at_most=1.0,
        detail=told,
    )
    yield Result(
        row="P3", what="peak memory of a sync", measured=last.peak_mb, at_most=120, unit=" MB", detail=told
    )
    yield Result(row="P3", what="statements for each user", measured=statements, at_most=0.02)


def _sync(users: int, url: str, key: str) -> Grown:
    done = subprocess.run(
        [sys.executable, "-c", _SYNC, url, key, str(NO_LIMIT)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return Grown(users, told["seconds"], told["peak_mb"])
