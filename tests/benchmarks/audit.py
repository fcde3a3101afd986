"""The drift report at scale: ``python -m tests.benchmarks.audit``.

Serves so many users, syncs them, plants some defects of each kind, and lets the command find them in a
process of its own, whose requests, time and memory are told. It fails unless exactly the planted are found.
``CLERKSYNC_TEST_DATABASE`` chooses the database.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import django
import requests

from tests import databases

_OUT = sys.stdout.write

#: The audit, and what it took; the peak is in KB on Linux.
_AUDIT = """
import resource, sys
import django
django.setup()
from django.core.management import call_command
imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    call_command("audit_clerk_users", "--format", "json")
except SystemExit:
    pass
print(imported, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""
_NO_LIMIT = 10_000_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.audit", description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--planted", type=int, default=50, help="defects of each kind")
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    with databases.running():
        django.setup()
        from tests.benchmarks import contest  # noqa: PLC0415  # models need the set-up

        contest.prepare()
        for users in options.users:
            _measure(contest, users, options.planted)


def _measure(contest: Any, users: int, planted: int) -> None:
    from tests.benchmarks.world import fake_clerk  # noqa: PLC0415

    with fake_clerk(users) as world:
        contest.ours(world, payload=True)()
        expected = _plant(world, planted)
        time.sleep(6)  # what is seconds old is not yet judged
        for title, wanted in (("defects", expected), ("clean", None)):
            if wanted is None:
                contest.ours(world, payload=True)()
            told, seconds, memory = _audit(world)
            found = Counter((one["clerk_id"], one["kind"]) for one in told["findings"])
            if found != (wanted or Counter()):
                raise AssertionError(f"{len(found)} found, {len(wanted or ())} planted")
            _OUT(
                f"{databases.kind()}, {users} users, {title}: {sum(found.values())} found, "
                f"{told['summary']['requests']} requests, {seconds:.1f} s, {memory}\n"
            )


def _plant(world: Any, planted: int) -> Counter[tuple[str, str]]:
    """Spoil users of the table, and delete some of Clerk's."""
    from clerksync.models import ClerkUser  # noqa: PLC0415  # models need the set-up

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


def _audit(world: Any) -> tuple[dict[str, Any], float, str]:
    from tests.processes import environment  # noqa: PLC0415  # it needs the set-up

    code = (
        f"from django.conf import settings\nsettings.CLERK_API_URL = {world.url!r}\n"
        f"settings.CLERK_SECRET_KEY = {world.secret_key!r}\nsettings.CLERKSYNC_RATE_LIMIT = {_NO_LIMIT}\n"
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
    imported, peak = (int(number) // 1024 for number in done.stderr.splitlines()[-1].split())
    return json.loads(done.stdout), seconds, f"{peak} MB at the peak, {imported} MB before it began"


if __name__ == "__main__":
    main()
