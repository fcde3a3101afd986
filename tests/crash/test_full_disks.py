"""Databases that have no room left: a clear error, nothing half-written, and the next run comes out right."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from clerksync.models import ClerkUser, SyncRun
from clerksync.testing import FakeClerk
from tests import databases
from tests.crash.own_servers import connected_to, own_server
from tests.crash.situations import clerk_settings, expire_leases
from tests.forked_syncs import Forks
from tests.syncing import differences, execute, last_run, small_pages

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork"),
]

needs_mounts = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount a small file system"
)
MORE = 40


@contextmanager
def small_disk(path: Path, *, kib: int) -> Iterator[None]:
    """A file system of this size; skips where none may be mounted, as in some containers."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=777", "tmpfs", str(path)],  # noqa: S607
        check=False,
    )
    if done.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)  # noqa: S607


def check_full(clerk: FakeClerk, forks: Forks, make_room: Callable[[], object], **database: Any) -> None:
    """Sync until it is full, then make room and sync again; the pages before the full one are kept."""
    small_pages(clerk)
    bulk = random.Random(1).randbytes(30_000).hex()  # no database can make it smaller
    for _ in range(MORE):
        clerk.create_user(first_name="Isla", public_metadata={"bulk": bulk})
    settings = clerk_settings()
    assert forks.wait(forks.start("--no-progress", settings=settings, database=database)) == 1
    said = forks.said()
    assert "the database failed: " in said
    assert "full" in said or "No space left on device" in said
    assert "Traceback" not in said
    stored, run = ClerkUser.objects.count(), SyncRun.objects.order_by("pk").last()
    assert 0 <= stored < MORE
    assert run is None or run.checkpoint.get("seen", 0) == stored
    assert not ClerkUser.objects.exclude(first_name="Isla").exists()
    make_room()
    expire_leases()
    assert forks.wait(forks.start("--no-progress", settings=settings, database=database)) == 0, forks.said()
    assert (differences(clerk), last_run().state) == ({}, "completed")


@pytest.mark.skipif(databases.kind() != "sqlite", reason="of SQLite")
def test_sqlite__no_more_pages(clerk: FakeClerk, forks: Forks) -> None:
    """SQLite may not grow: what a quota, or a disk that is full, says to it."""
    [[pages]] = execute("PRAGMA page_count")
    limited = {**connection.settings_dict["OPTIONS"]}
    limited["init_command"] += f"PRAGMA max_page_count={pages + 300};"
    database = {"OPTIONS": limited}

    def make_room() -> None:
        limited["init_command"] = limited["init_command"].replace(f"={pages + 300};", "=1000000;")

    check_full(clerk, forks, make_room, **database)


@needs_mounts
@pytest.mark.skipif(databases.kind() != "sqlite", reason="of SQLite")
def test_sqlite__full_disk(clerk: FakeClerk, forks: Forks, tmp_path: Path) -> None:
    """The file, and the journal beside it, lie on a file system that is full."""
    disk = tmp_path / "disk"
    with small_disk(disk, kib=5_000):
        database = {"NAME": str(disk / "db.sqlite3")}
        with connected_to(**database):
            call_command("migrate", verbosity=0)
            connection.close()

            def make_room() -> None:
                subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)  # noqa: S607

            check_full(clerk, forks, make_room, **database)


@needs_mounts
@pytest.mark.skipif(databases.kind() != "postgresql", reason="of PostgreSQL")
def test_postgresql__full_disk(clerk: FakeClerk, forks: Forks) -> None:
    """The tables of users lie on a file system that is full."""
    with own_server() as server, small_disk(disk := server.path.parent / "disk", kib=1_500):
        place = disk / "tables"
        place.mkdir()
        os.chown(place, server.path.stat().st_uid, -1)
        with connected_to(HOST=str(server.path)):
            execute(f"CREATE TABLESPACE small LOCATION '{place}'")
            execute("ALTER TABLE clerksync_clerkuser SET TABLESPACE small")

            def make_room() -> None:
                subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)  # noqa: S607

            check_full(clerk, forks, make_room, HOST=str(server.path))
