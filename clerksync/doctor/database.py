"""The database: whether it answers, how it is set up, what time it is there, and which migrations it lacks."""

from __future__ import annotations

import os
import time
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from msgspec import Struct

from clerksync import mirror
from clerksync.doctor.findings import Finding, ok, problem, skipped, warning

#: Seconds that a process should wait for SQLite's lock, and that clocks may differ.
MIN_TIMEOUT, MAX_SKEW = 5.0, 5.0

_CLOCKS = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
}


class DatabaseFacts(Struct, frozen=True, kw_only=True):
    """What the database told of itself.

    ``timeout`` (seconds) and ``journal_mode`` are of SQLite. ``pooled``: a pooler such as PgBouncer is between;
    ``cursors`` and ``prepares`` say that we would use server-side cursors and prepared statements. ``ahead`` is
    how many seconds our clock is ahead, ``pending`` names migrations.
    """

    alias: str
    vendor: str
    is_read_only: bool
    ahead: float
    pending: tuple[str, ...]
    journal_mode: str = ""
    timeout: float = MIN_TIMEOUT
    pooled: bool = False
    cursors: bool = False
    prepares: bool = False


def ask() -> DatabaseFacts:
    """Ask the mirror's database.

    Raises:
        django.db.Error: It does not answer.
    """
    connection = connections[mirror.database()]
    connection.ensure_connection()
    told = _ask_sqlite(connection) if connection.vendor == "sqlite" else _ask_postgresql(connection)
    return DatabaseFacts(
        alias=connection.alias,
        vendor=connection.vendor,
        ahead=_ahead(connection),
        pending=_pending(connection),
        **told,
    )


def judge(facts: DatabaseFacts) -> list[Finding]:
    """What these facts amount to; ``database_mode`` may have been found wanting by a system check, too."""
    return [
        ok("database", f"The database {facts.alias!r} ({facts.vendor}) answers."),
        _mode(facts),
        _pool(facts),
        _clock(facts),
        _migrations(facts),
    ]


def unasked(first: Finding, why: str) -> list[Finding]:
    """Nothing is known but that it does not answer."""
    names = ("database_mode", "database_pool", "database_clock", "migrations")
    return [first, *(skipped(name, why) for name in names)]


def _ask_sqlite(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    name = str(connection.settings_dict["NAME"])
    return {
        "journal_mode": str(_one(connection, "PRAGMA journal_mode")).lower(),
        "timeout": float(_one(connection, "PRAGMA busy_timeout")) / 1000,
        "is_read_only": bool(_one(connection, "PRAGMA query_only"))
        or (os.path.exists(name) and not os.access(name, os.W_OK)),
    }


def _ask_postgresql(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    threshold: Any = connection.settings_dict["OPTIONS"].get("prepare_threshold")
    driver: Any = connection.connection
    return {
        "is_read_only": _one(connection, "SELECT current_setting('transaction_read_only')") == "on",
        # A pooler tells its clients a number of its own for the process that serves them.
        "pooled": driver.info.backend_pid != _one(connection, "SELECT pg_backend_pid()"),
        "cursors": not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS", False),
        "prepares": threshold is not None,
    }


def _ahead(connection: BaseDatabaseWrapper) -> float:
    before = time.time()
    theirs = float(_one(connection, _CLOCKS[connection.vendor]))
    return (before + time.time()) / 2 - theirs


def _pending(connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    """The migrations of clerksync, and of the Django users that its foreign key leads to, that were not run."""
    executor = MigrationExecutor(connection)
    labels = {"clerksync", get_user_model()._meta.app_label} & executor.loader.migrated_apps
    leaves = [node for label in sorted(labels) for node in executor.loader.graph.leaf_nodes(label)]
    return tuple(f"{step.app_label}.{step.name}" for step, _ in executor.migration_plan(leaves))


def _one(connection: BaseDatabaseWrapper, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
    return row and row[0]


def _mode(facts: DatabaseFacts) -> Finding:
    options = f'DATABASES["{facts.alias}"]["OPTIONS"]'
    if facts.is_read_only:
        return problem(
            "database_mode",
            f"The database {facts.alias!r} is read-only here, so nothing can be synced or recorded.",
            "Route clerksync to the primary database, with a user who may write; look at the rights of the file.",
        )
    if facts.vendor == "sqlite" and facts.journal_mode not in ("wal", "memory"):
        return warning(
            "database_mode",
            f"SQLite keeps a journal in the mode {facts.journal_mode!r}: readers and writers wait for each other.",
            f'Set {options}["init_command"] = "PRAGMA journal_mode=WAL;".',
        )
    if facts.vendor == "sqlite" and facts.timeout < MIN_TIMEOUT:
        return warning(
            "database_mode",
            f'SQLite gives up after {facts.timeout:g} seconds with "database is locked".',
            f'Set {options}["timeout"] = 20.',
        )
    return ok("database_mode", f"The database {facts.alias!r} can be written to by several processes.")


def _pool(facts: DatabaseFacts) -> Finding:
    if not facts.pooled:
        return ok("database_pool", "No pooler is between us and the database.")
    wrong = []
    if facts.cursors:
        wrong.append(f'DATABASES["{facts.alias}"]["DISABLE_SERVER_SIDE_CURSORS"] = True')
    if facts.prepares:
        wrong.append(f'DATABASES["{facts.alias}"]["OPTIONS"]["prepare_threshold"] = None')
    if wrong:
        return warning(
            "database_pool",
            "A pooler (PgBouncer) is in between; in the mode transaction it loses server-side cursors and "
            "prepared statements.",
            f"Set {' and '.join(wrong)}; --ignore database_pool if its mode is session.",
        )
    return ok("database_pool", "A pooler is in between, and nothing is asked of it that it cannot do.")


def _clock(facts: DatabaseFacts) -> Finding:
    if abs(facts.ahead) <= MAX_SKEW:
        return ok("database_clock", f"Our clock and the database's agree (within {MAX_SKEW:g} seconds).")
    side = "ahead of" if facts.ahead > 0 else "behind"
    return warning(
        "database_clock",
        f"Our clock is {abs(facts.ahead):.0f} seconds {side} the database's, by which leases are counted.",
        "Let the clocks of both machines be set by NTP.",
    )


def _migrations(facts: DatabaseFacts) -> Finding:
    if not facts.pending:
        return ok("migrations", "All migrations have been run.")
    return problem(
        "migrations", f"Not run yet: {', '.join(facts.pending)}.", "Run: manage.py migrate. Then check again."
    )
