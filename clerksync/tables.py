"""The SQL of the writer: one text for PostgreSQL and SQLite.

Every write carries the revision that its decision was made from; a row that another
process has written in the meantime is left alone, and the caller decides again. Rows
are written in the order of their ids (code points), so that writers never deadlock.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from django.db import connections

from clerksync import copying, forgotten
from clerksync.fields import TIMES, WATCHED, UserFields
from clerksync.models import ClerkUser, ForgottenUser, MirrorState
from clerksync.payloads import Kind, Source
from clerksync.records import Decision, Row
from clerksync.times import adapt_time, adapter_of_ms, ms_of

_FLAGS = tuple(name for name, kind in UserFields.__annotations__.items() if kind == "bool")
_TEXTS = tuple(name for name in UserFields.__struct_fields__ if name not in (*_FLAGS, *TIMES))
_flags_of, _times_of, _texts_of = attrgetter(*_FLAGS), attrgetter(*TIMES), attrgetter(*_TEXTS)
_CONTENT = (*_FLAGS, *TIMES, *_TEXTS, "payload_text", "source", "provenance", "problems", "digest", "seal")
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
_state_of = attrgetter(*_STATE)
_DELETED = ("deleted_at", "deleted_by")
#: Plain strings: the drivers look long for how to adapt a kind of string that they do not know.
_SOURCES = {source: source.value for source in Source}
#: SQLite takes 32,766 parameters.
READ_AT_ONCE = 10_000
#: In the order of the attributes of ``Row``.
_READ = ("clerk_id", "digest", "seal", *_STATE, *WATCHED)
_WATCHED_FROM = len(_READ) - len(WATCHED)


class Window(NamedTuple):
    """Users created from ``start_ms`` on and before ``end_ms``; None is open.

    Users of whom nobody knows when they were created are in the window without an end.
    """

    start_ms: int | None
    end_ms: int | None


class Known(NamedTuple):
    """Whose users the table holds ("" before the first sync), up to when deletes are known, and a user's row."""

    instance_id: str
    deletes_ms: int | None
    row: Row | None


class _Upsert(NamedTuple):
    """An upsert: of rows given as values, and of those of the temporary table."""

    columns: str
    of_values: str
    of_page: str
    page: str
    create_page: str


def _quote(name: str) -> str:
    """A name as PostgreSQL and SQLite take it; no other database is supported."""
    return f'"{name}"'


_NAME = _quote(ClerkUser._meta.db_table)
_READ_COLUMNS = ", ".join(_quote(name) for name in _READ)
_READ_OBJECT = (
    f"json_group_object({_quote('clerk_id')}, json_array({', '.join(map(_quote, _READ[1:_WATCHED_FROM]))}, "
    f"json_array({', '.join(map(_quote, WATCHED))})))"
)
_decode_rows = msgspec.json.Decoder(dict[str, Row]).decode
_READ_KNOWN = (
    f"SELECT s.instance_id, s.deletes_as_of, f.updated_ms, f.observed_ms, f.erased, "  # noqa: S608
    f"{', '.join('u.' + _quote(name) for name in _READ)} "
    f"FROM (SELECT 1 AS one) AS always LEFT JOIN {_quote(MirrorState._meta.db_table)} AS s ON s.id = 1 "
    f"LEFT JOIN {_NAME} AS u ON u.clerk_id = %s "
    f"LEFT JOIN {_quote(ForgottenUser._meta.db_table)} AS f ON f.digest = %s"
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
    # The table outlives the transaction, and perhaps a migration, since its 45 columns cost 5 ms to make.
    page = f"clerksync_page_{zlib.crc32(listed.encode()):08x}"
    return _Upsert(
        columns=listed,
        of_values=f"{into} VALUES ({', '.join(['%s'] * len(columns))}) {on_conflict}",
        of_page=f'{into} SELECT {listed} FROM {page} ORDER BY "clerk_id" COLLATE "C" {on_conflict}',  # noqa: S608
        page=page,
        create_page=f"CREATE TEMPORARY TABLE IF NOT EXISTS {page} ON COMMIT DELETE ROWS "  # noqa: S608
        f"AS SELECT {listed} FROM {_NAME} WITH NO DATA; DELETE FROM {page}",
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
#: Blanks content, and keeps the delete that is known.
_UPSERT_BLANK = _upsert((*_CONTENT, *_STATE, *_DELETED, "last_written"), keep=_DELETED)


class UserTable:
    """Reads and writes rows of ``ClerkUser`` on one database."""

    def __init__(self, using: str) -> None:
        self.connection = connections[using]

    def read(self, ids: Sequence[str], window: Window | None = None) -> dict[str, Row]:
        """The rows of these users and of all created in the window; of those who are forgotten, tombstones."""
        # A range of the index costs a third of as many ids: those are read that it does not hold. Both
        # in one condition would read the whole table while the planner takes it for small.
        found = self._read(*self._where_window(window)) if window is not None else {}
        left = [clerk_id for clerk_id in ids if clerk_id not in found]
        for start in range(0, len(left), READ_AT_ONCE):
            found |= self._read(*self._where_ids(left[start : start + READ_AT_ONCE]))
        unknown = [clerk_id for clerk_id in left if clerk_id not in found]
        return found | forgotten.find(unknown, using=self.connection.alias) if unknown else found

    def prepare_pages(self) -> None:
        """Make the transaction one whose loss the next run finds out, and cheap."""
        if self.connection.vendor == "postgresql":
            copying.prepare_pages(self.connection.alias)

    def read_known(self, clerk_id: str) -> Known:
        """What is known of the whole table and of one user."""
        with self.connection.cursor() as cursor:
            cursor.execute(_READ_KNOWN, [clerk_id, forgotten.digest(clerk_id)])
            instance_id, deletes_as_of, updated_ms, observed_ms, erased, *record = cursor.fetchone()
        row = None
        if record[0] is not None:
            row = _row(record)
        elif updated_ms is not None:
            row = forgotten.tombstone(updated_ms=updated_ms, observed_ms=observed_ms, erased=bool(erased))
        return Known(instance_id or "", ms_of(self.connection, deletes_as_of), row)

    def _read(self, where: str, params: Sequence[Any]) -> dict[str, Row]:
        with self.connection.cursor() as cursor:
            if self.connection.vendor == "sqlite":
                # As one value: sqlite3 lets other threads run after each row, and has to wait for them.
                cursor.execute(f"SELECT {_READ_OBJECT} FROM {_NAME} WHERE {where}", params)  # noqa: S608
                return _decode_rows(cursor.fetchone()[0])
            cursor.execute(f"SELECT {_READ_COLUMNS} FROM {_NAME} WHERE {where}", params)  # noqa: S608
            return {record[0]: _row(record) for record in cursor.fetchall()}

    def read_raw(self, ids: Sequence[str], names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Columns of these users with as little conversion as there may be.

        Flags may be 0 and 1, times are as they were written (SQLite) or in ms, JSON is text.
        """
        columns = ", ".join(map(self._raw, names))
        rows: list[tuple[Any, ...]] = []
        with self.connection.cursor() as cursor:
            for start in range(0, len(ids), READ_AT_ONCE):
                where, params = self._where_ids(ids[start : start + READ_AT_ONCE])
                cursor.execute(f"SELECT {columns} FROM {_NAME} WHERE {where}", params)  # noqa: S608
                rows += cursor.fetchall()
        return rows

    def _raw(self, name: str) -> str:
        if self.connection.vendor == "postgresql":
            return f"(extract(epoch FROM {_quote(name)}) * 1000)::bigint" if name in TIMES else _quote(name)
        return f"+{_quote(name)}"  # of an expression sqlite3 knows no type, and converts nothing

    def write(self, decisions: Mapping[str, Decision], *, now: datetime, savepoint: bool) -> int:
        """Write what was decided where the revision still fits; in a transaction.

        Args:
            decisions: Of each user.
            now: By our clock.
            savepoint: Let the transaction survive a row that should not be there yet.

        Returns:
            How many rows were written; fewer than asked for means lost races.

        Raises:
            django.db.IntegrityError: ``copying.is_collision``: see ``savepoint``.
        """
        moment = adapt_time(self.connection, now)
        in_order = sorted(decisions.items())
        return sum(
            self._write(upsert, list(group), moment, savepoint=savepoint)
            for upsert, group in groupby(in_order, key=lambda item: _upsert_of(item[1]))
        )

    def _write(
        self, upsert: _Upsert, decided: Sequence[tuple[str, Decision]], moment: str, *, savepoint: bool
    ) -> int:
        rows = list(self._params(decided, moment))
        if self.connection.vendor != "postgresql" or len(rows) < copying.COPY_FROM:
            return self._execute(upsert, rows)
        are_new = all(decision.row is not None and decision.row.revision == 1 for _, decision in decided)
        using = self.connection.alias
        if are_new and copying.insert(using, _NAME, upsert.columns, rows, savepoint=savepoint):
            return len(rows)
        return self._copy(upsert, rows)

    def _execute(self, upsert: _Upsert, rows: list[tuple[Any, ...]]) -> int:
        with self.connection.cursor() as cursor:
            if len(rows) == 1:  # a webhook: psycopg's pipeline would cost it two round trips more
                cursor.execute(upsert.of_values, rows[0])
            else:
                cursor.executemany(upsert.of_values, rows)
            written: int = cursor.rowcount
        return written

    def _copy(self, upsert: _Upsert, rows: list[tuple[Any, ...]]) -> int:
        """The same through a temporary table: a quarter of the time, a seventh of our CPU."""
        with self.connection.cursor() as cursor:
            cursor.execute(upsert.create_page)
            copying.copy(self.connection.alias, upsert.page, upsert.columns, rows)
            cursor.execute(upsert.of_page)
            written: int = cursor.rowcount
        return written

    def _params(self, decided: Iterable[tuple[str, Decision]], moment: str) -> Iterator[tuple[Any, ...]]:
        adapt = adapter_of_ms(self.connection)
        # sqlite3 binds an int at once, and looks for an adapter of a bool.
        flag = int if self.connection.vendor == "sqlite" else bool
        for clerk_id, (_, row, content) in decided:
            if row is None:
                continue
            values: tuple[Any, ...] = ()
            if content is not None and content.fields is not None:
                fields = content.fields
                values = (
                    *map(flag, _flags_of(fields)),
                    *map(adapt, _times_of(fields)),
                    *_texts_of(fields),
                    content.payload,
                    _SOURCES[content.source],
                    content.provenance,
                    "\n".join(content.problems),
                    row.digest,
                    row.seal,
                )
            yield (clerk_id, moment, *values, *_state_of(row), adapt(row.deleted_ms), row.deleted_by, moment)

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


def _upsert_of(decision: Decision) -> _Upsert:
    if decision.content is None:
        return _UPSERT_STATE
    return _UPSERT_CONTENT if decision.content.kind is Kind.USER else _UPSERT_BLANK


def _row(record: Sequence[Any]) -> Row:
    return Row(*(*record[1:_WATCHED_FROM], tuple(record[_WATCHED_FROM:])))
