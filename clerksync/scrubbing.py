"""Takes what was deleted from tables out of the database's files as well, as far as the database can.

Both databases leave old rows where they were until the space is needed again. No query shows them, but
whoever reads the files does. Backups, replicas and PostgreSQL's write-ahead log are beyond us.
"""

from __future__ import annotations

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
    return [note for table in sorted(tables) for note in _scrub_table(connection, table, full=mode == "full")]


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


def _scrub_table(connection: Any, table: str, *, full: bool) -> Iterator[str]:
    name = connection.ops.quote_name(table)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [name])
        if full or cursor.fetchone()[0] <= SOON:
            cursor.execute("SELECT current_setting('lock_timeout')")
            before = cursor.fetchone()[0]
            try:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [str(PATIENCE_MS)])
                cursor.execute(f"VACUUM (FULL, ANALYZE) {name}")
                return
            except DatabaseError as error:
                why = str(error).partition("\n")[0]
            finally:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])
        else:
            why = "it is large, and nobody could use it meanwhile"
        cursor.execute(f"VACUUM {name}")
    yield (
        f"{table} was vacuumed but not rewritten ({why}): bytes of old rows may stay in the free space of its "
        f"pages, where no query finds them. Run VACUUM FULL {table} when the site may stand still."
    )
