"""Links rows to Django users and brings these up to date, many in one transaction.

A batch locks its rows first, so that two processes never link the same row at once; that
no two rows have the same Django user is the database's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections, transaction
from django.db.models import F, QuerySet, prefetch_related_objects
from django.db.models.functions import Collate

from clerksync import matching, mirror, newusers
from clerksync.conf import settings
from clerksync.linkreports import Problem, ProblemKind, Report
from clerksync.linkrules import NEEDS_CONTENT
from clerksync.matching import Match
from clerksync.models import ClerkUser
from clerksync.userfields import Change, FieldRules, has_column
from clerksync.userwrites import update, write

#: Rows in one transaction.
BATCH = 500
#: What is read of a row, whatever the settings.
_NEEDED = (
    "clerk_id", "email", "email_verified", "external_id", "first_name", "last_name", "banned", "deprovisioned",
    "state", "revision", "updated_ms", "user_revision", "user_deactivated",
)  # fmt: skip
ACTIVE, DELETED = ClerkUser.State.ACTIVE, ClerkUser.State.DELETED


def link(clerk_ids: Iterable[str], *, create: bool, dry_run: bool = False) -> Batch:
    """Link these users, and bring the Django users of all of them up to date.

    Raises:
        django.db.IntegrityError: Another process was faster; nothing was written.
    """
    batch = Batch(create=create, dry_run=dry_run)
    rows = _columns(_users().filter(pk__in=clerk_ids), batch.rules)
    if dry_run:
        batch.run(list(rows))
    else:
        with transaction.atomic(using=mirror.database()):
            batch.run(_locked(rows))
    return batch


def _columns(rows: QuerySet[ClerkUser], rules: FieldRules) -> QuerySet[ClerkUser]:
    """Only what is needed, for reading a row costs most; a callable may need everything."""
    sources = {rule.source for rule in rules.rules}
    if any(callable(source) for source in sources):
        return rows.defer("payload_text")
    columns = {field.name for field in ClerkUser._meta.concrete_fields}
    return rows.only(*_NEEDED, *(source for source in sources if source in columns), "user")


def _users() -> QuerySet[ClerkUser]:
    return ClerkUser.objects.using(mirror.database())


def _locked(rows: QuerySet[ClerkUser]) -> list[ClerkUser]:
    """The rows, locked in the order in which the mirror's writers lock theirs."""
    if connections[rows.db].vendor == "sqlite":
        _users().filter(pk="").update(user_revision=0)  # begin with a write, though of no row
        return list(rows)
    return list(rows.select_for_update().order_by(Collate("clerk_id", "C")))


class Batch:
    """One transaction; ``rows`` and ``report`` say what came of it."""

    def __init__(self, *, create: bool, dry_run: bool) -> None:
        self.create = create
        self.dry_run = dry_run
        self.rules = FieldRules.from_settings(get_user_model())
        self.report = Report()
        self.rows: list[ClerkUser] = []
        self._fresh: list[ClerkUser] = []  # linked just now
        self._created: set[str] = set()  # of these, those with new Django users
        self._marked: list[ClerkUser] = []  # whose ``user_deactivated`` has changed

    def run(self, rows: list[ClerkUser]) -> None:
        """Do it."""
        self.rows = rows
        # Not by a join: PostgreSQL would show what was joined before it had to wait for a lock.
        prefetch_related_objects(rows, "user")
        living = [row for row in rows if row.state != DELETED]
        unlinked = [row for row in living if row.user_id is None]
        self.report.seen = len(living)
        self.report.already = len(living) - len(unlinked)
        for row, found in self._matched(unlinked):
            self._decide(row, found)
        self._update_users()
        if not self.dry_run:
            self._save()

    def _matched(self, rows: list[ClerkUser]) -> Iterable[tuple[ClerkUser, Match | None]]:
        """What the rules say, once those who are deleted have let go of their Django users."""
        for row in rows:
            if row.user_deactivated:  # that was of a Django user who is gone
                self._mark(row, deactivated=False)
        matches = matching.match(rows) if rows else {}
        busy = self._release(matches)
        for clerk_id in busy:
            why = "the user of Clerk who had the Django user is being written; try again"
            matches[clerk_id] = Match(None, ProblemKind.TAKEN, why)
        return [(row, matches.get(row.pk)) for row in rows]

    def _release(self, matches: Mapping[str, Match]) -> set[str]:
        """Part the Django users that were found from tombstones; answers for whom that must wait.

        A tombstone that another process is writing is not waited for: it may wait for us.
        """
        heirs = {
            found.holder: clerk_id
            for clerk_id, found in matches.items()
            if found.kind is None and found.holder is not None
        }
        if self.dry_run or not heirs:
            return set()
        tombstones = _users().filter(pk__in=list(heirs), state=DELETED)
        free = dict(tombstones.select_for_update(skip_locked=True).values_list("pk", "user_deactivated"))
        _users().filter(pk__in=list(free)).update(user=None, user_deactivated=False)
        deactivated = {heirs[pk] for pk, ours in free.items() if ours}
        for row in self.rows:
            if row.pk in free:
                row.user = None
            elif row.pk in deactivated:
                self._mark(row, deactivated=True)
        return {clerk_id for pk, clerk_id in heirs.items() if pk not in free}

    def _decide(self, row: ClerkUser, found: Match | None) -> None:
        if found is not None and found.kind is None:
            row.user = cast("Any", found.user)
            self._fresh.append(row)
            self.report.linked += 1
            return
        if found is not None and found.kind is not None:
            self._tell(row, found.kind, found.reason)
        if found is None or found.may_create:
            if self.create and _is_known_enough(row):
                self._create(row)
            else:
                self.report.unmatched += 1

    def _create(self, row: ClerkUser) -> None:
        try:
            change = newusers.create(row, self.rules, dry_run=self.dry_run)
        except newusers.NotCreated as error:
            self._tell(row, ProblemKind.NOT_CREATED, str(error))
            return
        self.report.created += 1
        self.report.problems += change.problems
        row.user = cast("Any", change.user)
        self._fresh.append(row)
        self._created.add(row.pk)

    def _update_users(self) -> None:
        changes = [self._plan(row, row.user) for row in self.rows if row.user is not None]
        if self.dry_run:  # new Django users are not in the database, and have all there is
            changes = [change for change in changes if not change.user._state.adding]
        self.report.problems += write(changes, self.rules, dry_run=self.dry_run)
        self.report.updated = sum(bool(change.values) for change in changes)

    def _plan(self, row: ClerkUser, user: AbstractBaseUser) -> Change:
        """What has to change; a new Django user has it all, and a row that is not active tells nothing new."""
        is_done = row.state != ACTIVE or row.pk in self._created
        change = Change(row, user) if is_done else self.rules.plan(row, user)
        is_ruled = "is_active" in self.rules.targets and row.state != DELETED
        if is_ruled or not has_column(self.rules.model, "is_active"):
            return change
        is_left = row.state == DELETED and settings.USER_ON_DELETE == "leave"
        # Whom others have deactivated is not ours to activate.
        if row.is_shut_out and user.is_active and not is_left:
            change.values["is_active"] = False
            self._mark(row, deactivated=True)
        elif row.user_deactivated and not row.is_shut_out:
            change.values["is_active"] = True
            self._mark(row, deactivated=False)
        return change

    def _mark(self, row: ClerkUser, *, deactivated: bool) -> None:
        row.user_deactivated = deactivated
        self._marked.append(row)

    def _save(self) -> None:
        users = _users()
        update(ClerkUser, "user", {row.pk: row.user_id for row in self._fresh})
        update(ClerkUser, "user_deactivated", {row.pk: row.user_deactivated for row in self._marked})
        linked = [row for row in self.rows if row.user_id is not None and row.user_revision != row.revision]
        if linked:
            users.filter(pk__in=[row.pk for row in linked]).update(user_revision=F("revision"))
        for row in linked:
            row.user_revision = row.revision

    def _tell(self, row: ClerkUser, kind: ProblemKind, reason: str) -> None:
        self.report.problems.append(Problem(row.pk, kind, reason))


def _is_known_enough(row: ClerkUser) -> bool:
    """Whether no rule could still find the user, once Clerk has told more than the id."""
    names: set[Any] = set(settings.LINK_BY)
    return row.state != ClerkUser.State.INCOMPLETE or names.isdisjoint(NEEDS_CONTENT)
