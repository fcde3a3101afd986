"""The drift report at scale.

Serves so many users, syncs them, plants some defects of each kind, and lets the command find them in a
process of its own, whose requests, time and memory are told. It fails unless exactly the planted are found.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import requests

from clerksync.models import ClerkUser
from tests.benchmarks import contest
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes
from tests.benchmarks.world import NO_LIMIT, World, fake_clerk
from tests.processes import environment

#: The audit, and what it took.
_AUDIT = """
import sys
import django
django.setup()
from django.core.management import call_command
from tests.benchmarks import machine
imported = machine.peak_mb()
try:
    call_command("audit_clerk_users", "--format", "json")
except SystemExit:
    pass
print(imported, machine.peak_mb(), file=sys.stderr)
"""
#: Defects of each kind.
_PLANTED = 50


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures."""
    users = sizes.users
    with fake_clerk(users) as world:
        contest.ours(world, payload=True)()
        expected = _plant(world, min(_PLANTED, users // 20))
        time.sleep(6)  # what is seconds old is not yet judged
        for title, wanted in (("defects", expected), ("clean", Counter[tuple[str, str]]())):
            if title == "clean":
                contest.ours(world, payload=True)()
            told, seconds, memory = _audit(world)
            found = Counter((one["clerk_id"], one["kind"]) for one in told["findings"])
            if found != wanted:
                raise AssertionError(f"{len(found)} found, {len(wanted)} planted")
            detail = f"{sum(found.values())} found, {told['summary']['requests']} requests, {memory}"
            yield Result(
                row="audit",
                what=f"audit of {users:,} users, {title}",
                measured=seconds,
                unit=" s",
                detail=detail,
            )


def _plant(world: World, planted: int) -> Counter[tuple[str, str]]:
    """Spoil users of the table, and delete some of Clerk's."""
    ids = list(ClerkUser.objects.order_by("created_ms").values_list("pk", flat=True))
    chosen = ids[:: max(1, len(ids) // (planted * 6))]
    groups = [chosen[number::6][:planted] for number in range(6)]
    rows = [ClerkUser.objects.filter(pk__in=group) for group in groups]
    kinds = ("missing", "stale", "stale", "differs", "local-ahead", "extra")
    rows[0].delete()
    rows[1].update(email="nobody@example.com")
    rows[2].update(state="deleted")
    rows[3].update(banned=True)
    rows[4].update(updated_ms=4_000_000_000_000)
    for clerk_id in groups[5]:
        done = requests.delete(
            f"{world.url}/v1/users/{clerk_id}",
            headers={"Authorization": f"Bearer {world.secret_key}"},
            timeout=10,
        )
        done.raise_for_status()
    return Counter((clerk_id, kind) for kind, group in zip(kinds, groups, strict=True) for clerk_id in group)


def _audit(world: World) -> tuple[dict[str, Any], float, str]:
    code = (
        f"from django.conf import settings\nsettings.CLERK_API_URL = {world.url!r}\n"
        f"settings.CLERK_SECRET_KEY = {world.secret_key!r}\nsettings.CLERKSYNC_RATE_LIMIT = {NO_LIMIT}\n"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + _AUDIT],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=3600,
    )
    seconds = time.perf_counter() - started
    imported, peak = (int(number) for number in done.stderr.splitlines()[-1].split())
    return json.loads(done.stdout), seconds, f"{peak} MB at the peak, {imported} MB before it began"
