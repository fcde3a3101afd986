"""The SQL of the writer: one text for PostgreSQL and SQLite.

Every write carries the revision that its decision was made from; a row that another
process has written in the meantime is left alone, and the caller decides again. Rows
are written in the order of their ids (code points), so that writers never deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, cast

from django.db import connections
from django.utils import timezone

from clerksync.fields import UserFields
from clerksync.models import ClerkUser, MirrorState
from clerksync.payloads import Observation
from clerksync.records import WATCHED, Decision, Row

_TIMES = ("created_at", "updated_at", "last_sign_in_at", "last_active_at", "legal_accepted_at")
_TIME_AT = tuple(UserFields.__struct_fields__.index(name) for name in _TIMES)
_values_of = attrgetter(*UserFields.__struct_fields__)
_CONTENT = (*UserFields.__struct_fields__, "payload_text", "source", "provenance", "problems", "digest")
_STATE = (
    "state",
    "updated_ms",
    "observed_ms",
    "created_ms",
    "doubt_reason",
    "doubt_ms",
    "doubt_tries",
    "retry_ms",
    "regressed_ms",
    "revision",
)
_DELETED = ("deleted_at", "deleted_by")
#: PostgreSQL takes so many rows and more by COPY; below, the temporary table costs more than it saves.
COPY_FROM = 20
_PAGE = "clerksync_page"
#: SQLite takes 32,766 parameters.
READ_AT_ONCE = 10_000
#: In the order of the attributes of ``Row``.
_READ = ("clerk_id", "digest", *_STATE, *WATCHED)
_WATCHED_FROM = len(_READ) - len(WATCHED)


class Window(NamedTuple):
    """Users created from ``start_ms`` on and before ``end_ms``; None is open.

    Users of whom nobody knows when they were created are in the window without an end.
    """

    start_ms: int | None
    end_ms: int | None


class _Upsert(NamedTuple):
    """An upsert: of rows given as values, and of those of the temporary table."""

    columns: str
    of_values: str
    of_page: str


def _quote(name: str) -> str:
    """A name as PostgreSQL and SQLite take it; no other database is supported."""
    return f'"{name}"'


_NAME = _quote(ClerkUser._meta.db_table)
_READ_COLUMNS = ", ".join(_quote(name) for name in _READ)
_READ_WITH_INSTANCE = (
    f"SELECT s.instance_id, {', '.join('u.' + _quote(name) for name in _READ)} "  # noqa: S608
    f"FROM (SELECT 1 AS one) AS always LEFT JOIN {_quote(MirrorState._meta.db_table)} AS s ON s.id = 1 "
    f"LEFT JOIN {_NAME} AS u ON u.clerk_id = %s"
)


def _upsert(names: Sequence[str], *, keep: Sequence[str] = ()) -> _Upsert:
    """Build an upsert of these columns; those of ``keep`` are kept where no delete is told."""
    columns = [_quote(name) for name in ("clerk_id", "first_seen", *names)]
    listed = ", ".join(columns)
    sets = ", ".join(_set(_quote(name), keep=name in keep) for name in names)
    into = f"INSERT INTO {_NAME} ({listed})"
    on_conflict = (
        f'ON CONFLICT ("clerk_id") DO UPDATE SET {sets} WHERE {_NAME}."revision" = excluded."revision" - 1'
    )
    return _Upsert(
        columns=listed,
        of_values=f"{into} VALUES ({', '.join(['%s'] * len(columns))}) {on_conflict}",
        of_page=f'{into} SELECT {listed} FROM {_PAGE} ORDER BY "clerk_id" COLLATE "C" {on_conflict}',  # noqa: S608
    )


def _set(column: str, *, keep: bool) -> str:
    if not keep:
        return f"{column} = excluded.{column}"
    return (
        f'{column} = CASE WHEN excluded."deleted_at" IS NULL THEN {_NAME}.{column} ELSE excluded.{column} END'
    )


_UPSERT_CONTENT = _upsert((*_CONTENT, *_STATE, *_DELETED, "last_written"))
#: Leaves content alone; a delete that is not told keeps the one that is known.
_UPSERT_STATE = _upsert((*_STATE, *_DELETED, "last_written"), keep=_DELETED)


class UserTable:
    """Reads and writes rows of ``ClerkUser`` on one database."""

    def __init__(self, using: str) -> None:
        self.connection = connections[using]

    def read(self, ids: Sequence[str], window: Window | None = None) -> dict[str, Row]:
        """The rows of these users and of all created in the window."""
        found = self._read(ids[:READ_AT_ONCE], window)
        for start in range(READ_AT_ONCE, len(ids), READ_AT_ONCE):
            found |= self._read(ids[start : start + READ_AT_ONCE], None)
        return found

    def read_with_instance(self, clerk_id: str) -> tuple[str, Row | None]:
        """The instance whose users the table holds ("" before the first sync), and one user's row."""
        with self.connection.cursor() as cursor:
            cursor.execute(_READ_WITH_INSTANCE, [clerk_id])
            instance_id, *record = cursor.fetchone()
        return instance_id or "", None if record[0] is None else _row(record)

    def _read(self, ids: Sequence[str], window: Window | None) -> dict[str, Row]:
        where, params = self._where_ids(ids)
        if window is not None:
            bounds, values = self._where_window(window)
            where, params = f"{where} OR ({bounds})", [*params, *values]
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {_READ_COLUMNS} FROM {_NAME} WHERE {where}", params)  # noqa: S608
            return {record[0]: _row(record) for record in cursor.fetchall()}

    def write(self, decisions: Mapping[str, Decision], *, now: datetime) -> int:
        """Write what was decided where the revision still fits; in a transaction.

        Returns:
            How many rows were written; fewer than asked for means lost races.
        """
        moment = adapt_time(self.connection, now)
        written = 0
        in_order = sorted(decisions.items())
        with self.connection.cursor() as cursor:
            for has_content, group in groupby(in_order, key=lambda item: item[1].content is not None):
                make = self._content_params if has_content else self._state_params
                upsert = _UPSERT_CONTENT if has_content else _UPSERT_STATE
                rows = [make(clerk_id, decision, moment) for clerk_id, decision in group]
                copies = self.connection.vendor == "postgresql" and len(rows) >= COPY_FROM
                written += (self._copy if copies else self._execute)(cursor, upsert, rows)
        return written

    def _execute(self, cursor: Any, upsert: _Upsert, rows: list[tuple[Any, ...]]) -> int:
        if len(rows) == 1:  # a webhook: psycopg's pipeline would cost it two round trips more
            cursor.execute(upsert.of_values, rows[0])
        else:
            cursor.executemany(upsert.of_values, rows)
        written: int = cursor.rowcount
        return written

    def _copy(self, cursor: Any, upsert: _Upsert, rows: list[tuple[Any, ...]]) -> int:
        """The same through a temporary table: a quarter of the time, a seventh of our CPU."""
        source = f"SELECT {upsert.columns} FROM {_NAME}"  # noqa: S608
        cursor.execute(f"CREATE TEMPORARY TABLE {_PAGE} AS {source} WITH NO DATA")
        with cursor.copy(f"COPY {_PAGE} ({upsert.columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(upsert.of_page)
        written: int = cursor.rowcount
        cursor.execute(f"DROP TABLE {_PAGE}")
        return written

    def _content_params(self, clerk_id: str, decision: Decision, moment: str) -> tuple[Any, ...]:
        row, content = cast("Row", decision.row), cast("Observation", decision.content)
        values = list(_values_of(cast("UserFields", content.fields)))
        for index in _TIME_AT:
            values[index] = adapt_ms(self.connection, values[index])
        told = (content.payload, content.source, content.provenance, "\n".join(content.problems), row.digest)
        return (clerk_id, moment, *values, *told, *self._row_params(row), moment)

    def _state_params(self, clerk_id: str, decision: Decision, moment: str) -> tuple[Any, ...]:
        return (clerk_id, moment, *self._row_params(cast("Row", decision.row)), moment)

    def _row_params(self, row: Row) -> tuple[Any, ...]:
        return (
            row.state,
            row.updated_ms,
            row.observed_ms,
            row.created_ms,
            row.doubt_reason,
            row.doubt_ms,
            row.doubt_tries,
            row.retry_ms,
            row.regressed_ms,
            row.revision,
            adapt_ms(self.connection, row.deleted_ms),
            row.deleted_by,
        )

    def _where_ids(self, ids: Sequence[str]) -> tuple[str, list[Any]]:
        column = _quote("clerk_id")
        if self.connection.vendor == "postgresql":
            return f"{column} = ANY(%s)", [list(ids)]
        return f"{column} IN ({', '.join(['%s'] * len(ids))})", list(ids)

    def _where_window(self, window: Window) -> tuple[str, list[int]]:
        column = _quote("created_ms")
        bounds = {f"{column} >= %s": window.start_ms, f"{column} < %s": window.end_ms}
        given = {text: value for text, value in bounds.items() if value is not None}
        within = " AND ".join(given) or f"{column} IS NOT NULL"
        return within if window.end_ms is not None else f"{within} OR {column} IS NULL", list(given.values())


def adapt_time(connection: Any, moment: datetime) -> str:
    """A time as the database's columns take it; as text, which costs a third."""
    if connection.vendor == "postgresql":
        return moment.isoformat(" ")
    zone = connection.timezone or timezone.get_default_timezone()
    if zone is not UTC:
        moment = moment.astimezone(zone)
    return moment.replace(tzinfo=None).isoformat(" ")


def adapt_ms(connection: Any, ms: int | None) -> str | None:
    """A time in ms since 1970, likewise."""
    # Of a whole number of ms the float is near enough to give the same ms again.
    return None if ms is None else adapt_time(connection, datetime.fromtimestamp(ms / 1000, UTC))


def _row(record: Sequence[Any]) -> Row:
    return Row(*(*record[1:_WATCHED_FROM], tuple(record[_WATCHED_FROM:])))
