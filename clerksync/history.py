"""The change history: a row for each applied change, written in the transaction of the change.

Only with ``CLERKSYNC_HISTORY``. What is old is read right before the write; the guard of the write makes
sure that nobody was faster. Volatile columns (sign-in, activity, lock) have no history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from django.db import connections, router
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from clerksync.conf import settings
from clerksync.fields import TIMES, VOLATILE, UserFields, canonical_json
from clerksync.models import ClerkUserChange
from clerksync.payloads import Kind, Observation, Source
from clerksync.records import Decision, Outcome, Row
from clerksync.tables import UserTable
from clerksync.times import adapt_time, adapter_of_ms, ms_of

#: What a change is; a doubt is none, nor what touches volatile columns only.
RECORDED = frozenset({Outcome.CREATED, Outcome.UPDATED, Outcome.CORRECTED, Outcome.REVIVED, Outcome.DELETED})
PRUNE_AT_ONCE = 1_000
#: PostgreSQL takes so many rows and more by COPY.
COPY_FROM = 20

_COLUMNS = tuple(name for name in UserFields.__struct_fields__ if name not in VOLATILE)
_values_of = attrgetter(*_COLUMNS)
_TIMES_AT = tuple(index for index, name in enumerate(_COLUMNS) if name in TIMES)
_FLAGS = frozenset(name for name, kind in UserFields.__annotations__.items() if kind == "bool")
#: An enum looks for its value at each call.
_SOURCES = {source: source.value for source in Source}
_OUTCOMES = {outcome: outcome.value for outcome in Outcome}
_METADATA = ("public_metadata", "private_metadata", "unsafe_metadata")
_TABLE = ClerkUserChange._meta.db_table
_WRITTEN = (
    "clerk_id", "revision", "outcome", "source", "provenance", "at_ms", "before_ms", "written_at", "fields_text",
)  # fmt: skip
_INSERT = f"INSERT INTO {_TABLE} ({', '.join(_WRITTEN)}) VALUES ({', '.join(['%s'] * len(_WRITTEN))})"  # noqa: S608  # names
_COPY = f"COPY {_TABLE} ({', '.join(_WRITTEN)}) FROM STDIN"

#: Columns that come from a part of Clerk's JSON of another name.
_PARTS = {
    "email": "email_addresses",
    "email_verified": "email_addresses",
    "phone_number": "phone_numbers",
    "phone_verified": "phone_numbers",
}


class Old(NamedTuple):
    """A row before a change: its state, its version in ms, and the columns as ``UserTable.read_raw`` has them."""

    state: str
    updated_ms: int
    values: Sequence[Any]


class Recorder:
    """Records the changes of one batch on one database."""

    def __init__(self, using: str) -> None:
        self.connection = connections[using]
        self.table = UserTable(using)
        self.adapt = adapter_of_ms(self.connection)
        self.excluded = [path.split(".") for path in settings.EXCLUDE_FIELDS]

    def look(self, decisions: Mapping[str, Decision]) -> dict[str, Old]:
        """The rows that are about to be overwritten, as they are."""
        ids = [
            clerk_id
            for clerk_id, decision in decisions.items()
            if _is_change(decision) and _had_row(decision)
        ]
        rows = self.table.read_raw(ids, ("clerk_id", "state", "updated_ms", *_COLUMNS))
        return {row[0]: Old(row[1], row[2], row[3:]) for row in rows}

    def record(
        self,
        decisions: Mapping[str, Decision],
        old: Mapping[str, Old],
        causes: Mapping[str, Sequence[Observation]],
        *,
        now: datetime,
    ) -> None:
        """Write what was changed, once the rows are written; in the same transaction."""
        moment = adapt_time(self.connection, now)
        rows = [
            self._row(clerk_id, decision, old.get(clerk_id), causes[clerk_id][-1], moment)
            for clerk_id, decision in sorted(decisions.items())
            if _is_change(decision)
        ]
        with self.connection.cursor() as cursor:
            if self.connection.vendor == "postgresql" and len(rows) >= COPY_FROM:
                with cursor.copy(_COPY) as copy:
                    for row in rows:
                        copy.write_row(row)
            elif rows:
                cursor.executemany(_INSERT, rows)

    def _row(
        self, clerk_id: str, decision: Decision, old: Old | None, cause: Observation, moment: str
    ) -> tuple[Any, ...]:
        row, fields = decision.row or Row(), decision.content.fields if decision.content else None
        cause = decision.content or cause
        changed = {} if fields is None or old is None else self._changes(old, fields)
        if old is not None and old.state != row.state:
            changed["state"] = (old.state, row.state)
        at_ms = row.updated_ms if fields is not None else row.deleted_ms or row.observed_ms
        before_ms = old.updated_ms if old is not None else 0
        return (
            clerk_id, row.revision, _OUTCOMES[decision.outcome], _SOURCES[cause.source], cause.provenance,
            at_ms, before_ms, moment, msgspec.json.encode(changed).decode(),
        )  # fmt: skip

    def _changes(self, old: Old, new: UserFields) -> dict[str, tuple[Any, Any]]:
        """The columns that differ, under ``CLERKSYNC_EXCLUDE_FIELDS`` as it is now."""
        changed = {}
        for name, before, raw in zip(_COLUMNS, old.values, self._raw(new), strict=True):
            # Most columns are as they were: only the others are worth a conversion.
            if before == raw or self._is_excluded(name):
                continue
            plain, after = (
                self._without(name, self._plain(name, before)),
                self._without(name, getattr(new, name)),
            )
            if plain != after:
                changed[name] = (plain, after)
        return changed

    def _raw(self, fields: UserFields) -> Sequence[Any]:
        """The columns as they are written, and are read again unless something else wrote them."""
        values = _values_of(fields)
        if self.connection.vendor == "postgresql":
            return values
        raw = list(values)
        for index in _TIMES_AT:
            raw[index] = self.adapt(raw[index])
        return raw

    def _plain(self, name: str, raw: Any) -> Any:
        """A raw column's value as a parsed user has it."""
        if raw is None:
            return None
        if name in _METADATA:
            return canonical_json(json.loads(raw))
        if name in _FLAGS:
            return bool(raw)
        return ms_of(self.connection, parse_datetime(raw)) if isinstance(raw, str) and name in TIMES else raw

    def _is_excluded(self, name: str) -> bool:
        return any(path == [_PARTS.get(name, name)] for path in self.excluded)

    def _without(self, name: str, value: Any) -> Any:
        """Metadata without the parts that are never stored."""
        paths = [path[1:] for path in self.excluded if path[0] == name and len(path) > 1]
        if not paths or name not in _METADATA:
            return value
        found = msgspec.json.decode(value)
        for path in paths:
            inner = found
            for key in path[:-1]:
                inner = inner.get(key) if isinstance(inner, dict) else None
            if isinstance(inner, dict):
                inner.pop(path[-1], None)
        return canonical_json(found)


def recorder(using: str) -> Recorder | None:
    """Who records changes; None if nobody wants them."""
    return Recorder(using) if settings.HISTORY else None


def forget(ids: Iterable[str]) -> int:
    """Drop the history of these users; returns how many changes that were."""
    changes = ClerkUserChange.objects.using(router.db_for_write(ClerkUserChange))
    return changes.filter(clerk_id__in=list(ids)).delete()[0]


def prune() -> int:
    """Drop changes older than ``CLERKSYNC_HISTORY_DAYS``, in batches; returns how many."""
    changes = ClerkUserChange.objects.using(router.db_for_write(ClerkUserChange))
    before = timezone.now() - timedelta(days=settings.HISTORY_DAYS)
    old = changes.filter(written_at__lt=before).order_by("written_at")
    pruned = 0
    while ids := list(old.values_list("pk", flat=True)[:PRUNE_AT_ONCE]):
        pruned += changes.filter(pk__in=ids).delete()[0]
    return pruned


def _is_change(decision: Decision) -> bool:
    is_wish = decision.content is not None and decision.content.kind is not Kind.USER
    return decision.outcome in RECORDED and not is_wish


def _had_row(decision: Decision) -> bool:
    return decision.row is not None and decision.row.revision > 1
