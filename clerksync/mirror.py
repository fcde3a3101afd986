"""The writer: brings the table up to date with what was observed.

Nobody else writes Clerk's columns. Webhooks, list pages, single reads, the middleware,
the admin and operators all come through ``apply``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from django.db import router, transaction
from django.utils import timezone

from clerksync import forgotten, history, signals
from clerksync.breaker import check_deletes
from clerksync.decisions import fold
from clerksync.differences import compare_fields
from clerksync.exceptions import SyncError
from clerksync.fields import VOLATILE
from clerksync.models import ClerkUser
from clerksync.payloads import Observation
from clerksync.records import Decision, Outcome, Row, is_blank
from clerksync.tables import Known, UserTable, Window

#: Two writers may meet at a row now and then, not for ever.
MAX_ROUNDS = 20


class Change(msgspec.Struct, frozen=True):
    """What happened to one user.

    ``before`` and ``after`` are the watched columns (``decisions.WATCHED``) of a user
    whose content was written; ``fields`` are old and new values, if they were asked for.
    ``was_blank`` says of a row that was written whether it held nothing of a person before; None of others.
    """

    outcome: Outcome
    needs_refresh: bool = False
    before: tuple[str | None, ...] = ()
    after: tuple[str | None, ...] = ()
    fields: Mapping[str, tuple[Any, Any]] = {}
    was_blank: bool | None = None


def database() -> str:
    """The alias of the database that holds the mirror."""
    return router.db_for_write(ClerkUser)


def read(ids: Iterable[str], window: Window | None = None) -> dict[str, Row]:
    """The bookkeeping of these users, and of all that were created in the window."""
    return UserTable(database()).read(sorted(ids), window)


@contextmanager
def page_transaction() -> Iterator[None]:
    """A transaction for a page and its checkpoint; its commit does not wait for the disk.

    What a crash of the database's machine takes away it takes with the checkpoint.
    """
    with transaction.atomic(using=database()):
        UserTable(database()).prepare_pages()
        yield


def read_known(clerk_id: str) -> Known:
    """What is known of the whole table, and one user's bookkeeping: in one statement."""
    return UserTable(database()).read_known(clerk_id)


def apply(
    observations: Iterable[Observation],
    *,
    rows: Mapping[str, Row] | None = None,
    max_deletes: int | None = None,
    compare_all: bool = False,
    with_fields: bool = False,
    dry_run: bool = False,
    savepoint: bool = True,
) -> dict[str, Change]:
    """Bring the table up to date with a batch of observations, whatever their order.

    The number of statements does not depend on the batch: one read, one write, and
    these again for rows that another process wrote in between. Nothing is written, and
    nothing is locked, for users that are unchanged.

    Args:
        observations: Those without a ``clerk_id`` are left out.
        rows: What ``read`` said of these users just now, to save reading it again.
        max_deletes: So many users may be buried because a read by id found nothing; None: the breaker's limit.
        compare_all: Compare every column of every user, not only the digest.
        with_fields: Tell the old and new values of what changes.
        dry_run: Decide and tell, but write nothing.
        savepoint: Let the caller's transaction survive an error; False saves four statements.

    Returns:
        What happened, by Clerk id.

    Raises:
        DeletesRefused: The breaker; nothing of the batch was written.
        django.db.IntegrityError: Without a savepoint, if another process inserts one of the users at this
            very moment (``copying.is_collision``): then everything is to be done again.
    """
    return _Batch(
        observations, max_deletes=max_deletes, compare_all=compare_all, with_fields=with_fields
    ).run(rows, dry_run=dry_run, savepoint=savepoint)


_NO_FIELDS: Mapping[str, tuple[Any, Any]] = {}


class _Batch:
    """One call of ``apply``."""

    def __init__(
        self,
        observations: Iterable[Observation],
        *,
        max_deletes: int | None,
        compare_all: bool,
        with_fields: bool,
    ) -> None:
        self.using = database()
        self.table = UserTable(self.using)
        self.by_id: dict[str, list[Observation]] = defaultdict(list)
        for observation in observations:
            if observation.clerk_id:
                self.by_id[observation.clerk_id].append(observation)
        self.max_deletes = max_deletes
        self.compare_all = compare_all
        self.with_fields = with_fields or signals.user_updated.has_listeners(ClerkUser)
        self.recorder = history.recorder(self.using)
        self.changes: dict[str, Change] = {}

    def run(self, rows: Mapping[str, Row] | None, *, dry_run: bool, savepoint: bool) -> dict[str, Change]:
        """Decide, and write what is to be written."""
        if not self.by_id:
            return {}
        pending = self._decide(self.by_id, rows)
        if dry_run:
            self._check_deletes(pending, lock=False)
        elif pending:
            with transaction.atomic(using=self.using, savepoint=savepoint):
                self._check_deletes(pending)
                self._write(pending, savepoint=savepoint)
                self._remember(pending)
                transaction.on_commit(partial(_send_signals, self.changes), using=self.using)
        return self.changes

    def _decide(self, ids: Iterable[str], rows: Mapping[str, Row] | None = None) -> dict[str, Decision]:
        """The decisions for these users; notes all changes, returns those that need a write."""
        wanted = sorted(ids)
        known = self.table.read(wanted) if rows is None else rows
        judged = {**known, **self._with_tampering(wanted, known)} if self.compare_all else known
        decisions = {clerk_id: fold(judged.get(clerk_id), self.by_id[clerk_id]) for clerk_id in wanted}
        diffs = self._diffs(decisions) if self.with_fields else {}
        for clerk_id, decision in decisions.items():
            self.changes[clerk_id] = _change(known.get(clerk_id), decision, diffs.get(clerk_id, _NO_FIELDS))
        return {clerk_id: decision for clerk_id, decision in decisions.items() if decision.row is not None}

    def _write(self, pending: dict[str, Decision], *, savepoint: bool) -> None:
        """Write until no other process was faster; what lost a race is decided again."""
        now = timezone.now()
        for _ in range(MAX_ROUNDS):
            old = self.recorder.look(pending) if self.recorder else {}
            if self.table.write(pending, now=now, savepoint=savepoint) == len(pending):
                self._record(pending, old, now)
                return
            stored = self.table.read(sorted(pending))
            lost = [clerk_id for clerk_id in pending if not _is_written(stored, clerk_id, pending[clerk_id])]
            self._record({key: pending[key] for key in pending.keys() - set(lost)}, old, now)
            pending = self._decide(lost, stored)
            self._check_deletes(pending)
            if not pending:
                return
        raise SyncError(f"{len(pending)} users are being written by others all the time; run the sync again")

    def _record(self, written: Mapping[str, Decision], old: Mapping[str, history.Old], now: datetime) -> None:
        if self.recorder:
            self.recorder.record(written, old, self.by_id, now=now)

    def _remember(self, written: Iterable[str]) -> None:
        """Who has come back is forgotten no longer."""
        back = [clerk_id for clerk_id in written if self.changes[clerk_id].outcome is Outcome.REVIVED]
        if back:
            forgotten.drop(back, using=self.using)

    def _check_deletes(self, pending: Mapping[str, Decision], *, lock: bool = True) -> None:
        buried = [
            decision.row.deleted_ms or 0
            for decision in pending.values()
            if decision.outcome is Outcome.DELETED and decision.row and decision.row.deleted_by == "absence"
        ]
        check_deletes(len(buried), now_ms=max(buried, default=0), allowed=self.max_deletes, lock=lock)

    def _with_tampering(self, ids: Sequence[str], known: Mapping[str, Row]) -> dict[str, Row]:
        """The rows whose columns are not what the newest observation of the same content says."""
        stored = ClerkUser.objects.using(self.using).in_bulk(ids)
        return {
            clerk_id: msgspec.structs.replace(known[clerk_id], watched=("changed past the mirror",))
            for clerk_id, user in stored.items()
            if clerk_id in known and self._differs(user)
        }

    def _differs(self, user: ClerkUser) -> bool:
        newest = self.by_id[user.clerk_id][-1]
        return newest.fields is not None and any(
            name not in VOLATILE for name in compare_fields(user, newest.fields)
        )

    def _diffs(self, decisions: Mapping[str, Decision]) -> dict[str, dict[str, tuple[Any, Any]]]:
        contents = {
            clerk_id: decision.content.fields
            for clerk_id, decision in decisions.items()
            if decision.content is not None and decision.content.fields is not None
        }
        stored = ClerkUser.objects.using(self.using).in_bulk(sorted(contents)) if contents else {}
        return {clerk_id: compare_fields(stored.get(clerk_id), new) for clerk_id, new in contents.items()}


def _is_written(stored: Mapping[str, Row], clerk_id: str, decision: Decision) -> bool:
    """Whether the stored row is the one that was just written."""
    row, found = decision.row, stored.get(clerk_id)
    if row is None or found is None:
        return False
    if decision.content is None:  # such a write leaves the digest and the content alone
        found = msgspec.structs.replace(found, digest=row.digest, seal=row.seal, watched=row.watched)
    return found == msgspec.structs.replace(row, deleted_ms=None, deleted_by="")


def _change(row: Row | None, decision: Decision, fields: Mapping[str, tuple[Any, Any]]) -> Change:
    after = decision.row or row
    return Change(
        decision.outcome,
        bool(after and after.doubt_reason),
        row.watched if row else (),
        after.watched if after else (),
        fields,
        None if decision.row is None else is_blank(row),
    )


def _send_signals(changes: Mapping[str, Change]) -> None:
    """Tell the receivers, once for each kind of change; a receiver that fails is logged by Django."""
    by_outcome: dict[Outcome, list[str]] = defaultdict(list)
    for clerk_id, change in changes.items():
        by_outcome[change.outcome].append(clerk_id)
    created = by_outcome[Outcome.CREATED] + by_outcome[Outcome.REVIVED]
    updated = by_outcome[Outcome.UPDATED] + by_outcome[Outcome.CORRECTED]
    if created:
        signals.user_created.send_robust(ClerkUser, clerk_ids=sorted(created))
    if updated:
        names = {clerk_id: tuple(changes[clerk_id].fields) for clerk_id in sorted(updated)}
        signals.user_updated.send_robust(ClerkUser, changes=names)
    deleted = by_outcome[Outcome.DELETED]
    if created or updated or deleted:
        signals.users_written.send_robust(ClerkUser, clerk_ids=sorted(created + updated + deleted))
    if deleted:
        signals.user_deleted.send_robust(ClerkUser, clerk_ids=sorted(deleted))
