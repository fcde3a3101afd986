"""Takes what was deleted from tables out of the database's files as well, as far as the database can.

Both databases leave old rows where they were until the space is needed again. No query shows them, but
whoever reads the files does. Backups, replicas and PostgreSQL's write-ahead log are beyond us.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, connections

#: How to go about it: rewrite what is soon rewritten, and all that on demand, or nothing.
MODES = ("auto", "full", "none")
#: PostgreSQL rewrites so many bytes within a second or two, in which nobody else can use the table.
SOON = 256 * 1024 * 1024
#: Milliseconds to wait for others to let go of a table: whoever comes later waits behind us.
PATIENCE_MS = 5_000
#: Where PostgreSQL keeps samples of what columns hold, old ones for a while too.
SAMPLES = "pg_catalog.pg_statistic"


@contextmanager
def secure_deletes(using: str) -> Iterator[None]:
    """Let SQLite overwrite what is deleted meanwhile, whether or not the file can be rewritten afterwards."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        before = cursor.execute("PRAGMA secure_delete").fetchone()[0]
        cursor.execute("PRAGMA secure_delete = 1")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA secure_delete = {int(before)}")


def scrub(tables: Iterable[str], *, using: str, mode: str = "auto") -> list[str]:
    """Rewrite these tables, or the SQLite file; to be called outside of transactions.

    Returns:
        What could not be done, or was not, and what to do about it; nothing if the files are clean.
    """
    connection = connections[using]
    if mode == "later":
        return ["The database's files still hold old rows for a while; run VACUUM to have them gone sooner."]
    if mode == "none":
        return [
            "The database's files were left as they are: old rows stay in them until the space is needed."
        ]
    if connection.in_atomic_block:
        return ["The files cannot be cleaned inside a transaction; run VACUUM afterwards."]
    if connection.vendor == "sqlite":
        return list(_scrub_sqlite(connection))
    return list(_scrub_postgresql(connection, sorted(tables), full=mode == "full"))


def _scrub_sqlite(connection: Any) -> Iterator[str]:
    with connection.cursor() as cursor:
        try:
            cursor.execute("VACUUM")
            busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except DatabaseError as error:
            yield f"The file could not be rewritten ({error}); run VACUUM while nobody else writes."
            return
    if busy:
        yield (
            "The file's write-ahead log still holds old pages, for others read them just now; "
            "run PRAGMA wal_checkpoint(TRUNCATE) later."
        )


def _scrub_postgresql(connection: Any, tables: Iterable[str], *, full: bool) -> Iterator[str]:
    quoted = [connection.ops.quote_name(table) for table in tables]
    with connection.cursor() as cursor:
        old = set(_wait_for_readers(cursor))
        for name in quoted:
            yield from _scrub_table(cursor, name, full=full)
        old.update(_wait_for_readers(cursor))  # for the samples have been taken anew
        yield from _scrub_table(cursor, SAMPLES, full=full)
    if old:
        yield (
            f"Others may still see the old rows, so that these were kept: transactions that began before, of the "
            f"processes {', '.join(map(str, sorted(old)))}. Run VACUUM FULL for these tables when they have ended."
        )


def _wait_for_readers(cursor: Any) -> list[int]:
    """Wait a while for transactions for which old rows are kept; the processes of those that do not end.

    That are those that see them, and those that have written in any database of the server: a rewrite
    sees no further than they do.
    """
    cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    now = cursor.fetchone()[0]
    until = time.monotonic() + PATIENCE_MS / 1000
    while True:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (age(backend_xid) > age(%s::xid8::xid) "
            "OR datname = current_database() AND age(backend_xmin) > age(%s::xid8::xid)) ORDER BY pid",
            [now, now],
        )
        pids = [pid for (pid,) in cursor.fetchall()]
        if not pids or time.monotonic() > until:
            return pids
        time.sleep(0.05)


def _scrub_table(cursor: Any, name: str, *, full: bool) -> Iterator[str]:
    cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [name])
    if full or cursor.fetchone()[0] <= SOON:
        why = _rewrite(cursor, name)
        if not why:
            return
    else:
        why = "it is large, and nobody could use it meanwhile"
    cursor.execute(f"VACUUM {name}")
    yield (
        f"{name} was not rewritten ({why}): bytes of old rows may stay in the free space of its "
        f"pages, where no query finds them. Run VACUUM FULL {name} when the site may stand still."
    )


def _rewrite(cursor: Any, name: str) -> str:
    """Let nothing but the table's rows be in its file; why that was not done, or nothing."""
    cursor.execute("SELECT current_setting('lock_timeout'), pg_relation_filenode(%s::regclass)", [name])
    before, file = cursor.fetchone()
    try:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [str(PATIENCE_MS)])
        cursor.execute(f"VACUUM (FULL, ANALYZE) {name}")
    except DatabaseError as error:
        return str(error).partition("\n")[0]
    finally:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])
    cursor.execute("SELECT pg_relation_filenode(%s::regclass)", [name])
    # PostgreSQL only warns whoever may not do it.
    return "only its owner or the database's may do that" if cursor.fetchone()[0] == file else ""
