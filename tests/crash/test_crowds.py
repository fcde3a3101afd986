"""Pages, webhooks, syncs, scans, linking and audits at the same time (I10, I11), in real processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from clerksync.testing import FakeClerk
from tests import databases, listening, pgbouncer
from tests.crash.crowd import SECONDS, SETTINGS, Crowd
from tests.forked_syncs import Forks

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork"),
    pytest.mark.timeout(SECONDS + 180),
]


@pytest.fixture
def _settings(settings: Any) -> None:
    for name, value in SETTINGS.items():
        setattr(settings, name, value)


@pytest.mark.usefixtures("_settings")
def test_crowd(clerk: FakeClerk, forks: Forks, tmp_path: Path) -> None:
    """Eight processes on PostgreSQL, four on SQLite: no error, no deadlock, nothing locked or lost."""
    crowd = Crowd(clerk, forks, tmp_path, processes=8 if connection.vendor == "postgresql" else 4)
    crowd.run()
    crowd.check()


@pytest.mark.usefixtures("_settings")
@pytest.mark.skipif(databases.kind() != "postgresql", reason="PgBouncer is for PostgreSQL")
@pytest.mark.skipif(pgbouncer.find() is None, reason="PgBouncer is not installed: apt-get install pgbouncer")
def test_crowd__through_pgbouncer(clerk: FakeClerk, forks: Forks, tmp_path: Path) -> None:
    """The same in transaction mode, with fewer connections than processes, set up as the README says."""
    server = databases.directory() / "pg"
    with pgbouncer.running(server, pool=3) as port:
        database = {"HOST": listening.HOST, "PORT": str(port), "DISABLE_SERVER_SIDE_CURSORS": True}
        crowd = Crowd(clerk, forks, tmp_path, processes=8, database=database)
        crowd.run()
    crowd.check()
