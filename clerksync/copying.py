"""Many rows into PostgreSQL at once, by COPY; within the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db import IntegrityError, connections, transaction

_COMMIT = "SELECT set_config('synchronous_commit', 'off', true)"
_COMPRESSION = ", set_config('default_toast_compression', 'lz4', true)"

_UNIQUE = "23505"

#: PostgreSQL takes so many rows and more by COPY; of fewer the preparations cost more than they save.
COPY_FROM = 20

Rows = Sequence[tuple[Any, ...]]


def copy(using: str, into: str, columns: str, rows: Rows) -> None:
    """Copy rows into a table."""
    connection: Any = connections[using]
    statement = f"COPY {into} ({columns}) FROM STDIN"
    # Of all calls this is the one whose errors Django does not translate by itself.
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copied:
        for row in rows:
            copied.write_row(row)


def insert(using: str, into: str, columns: str, rows: Rows, *, savepoint: bool) -> bool:
    """Copy rows of which none should be there; if one is, nothing is written.

    The way through a temporary table costs half as much again.

    Args:
        using: The alias of the database.
        into: The table.
        columns: Those that the rows have, as SQL.
        rows: What is written.
        savepoint: Let the transaction survive a row that is there.

    Returns:
        Whether the rows were written.

    Raises:
        django.db.IntegrityError: With ``is_collision``, a row is there and the transaction has no savepoint.
    """
    try:
        with transaction.atomic(using=using, savepoint=savepoint):
            copy(using, into, columns, rows)
    except IntegrityError as error:
        if not (savepoint and is_collision(error)):
            raise
        return False
    return True


def is_collision(error: IntegrityError) -> bool:
    """Whether a row could not be inserted because it is there."""
    return getattr(error.__cause__, "sqlstate", None) == _UNIQUE


def prepare_pages(using: str) -> None:
    """Let the transaction's commit not wait for the disk, and payloads cost a fifth of the usual compression.

    A later commit that waits writes both. What a crash of PostgreSQL's machine takes away are the last
    transactions, whole and in order: this is for what the next run finds out again.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(_COMMIT + _COMPRESSION * has_lz4(using))


@cache
def has_lz4(using: str) -> bool:
    """Whether the server was built with LZ4, as most are."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        )
        found = cursor.fetchone()
    return bool(found and found[0])
