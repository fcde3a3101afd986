"""What a sync did, counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections
from msgspec import Struct, field

from clerksync import mirror
from clerksync.exceptions import ClerkSyncError, SyncError
from clerksync.fields import WATCHED
from clerksync.mirror import Change
from clerksync.placeholders import PlaceholderRules
from clerksync.records import Outcome

#: How many skipped users a run names; the others are counted.
MAX_NAMED = 100


class Tally:
    """Counts of one run; what a resumed run had counted before is added to."""

    def __init__(self, rules: PlaceholderRules, counts: Mapping[str, int] | None = None) -> None:
        self.rules = rules
        self.counts: Counter[str] = Counter(counts)
        self.skipped: dict[str, str] = {}

    def copy(self) -> Tally:
        """Counts that go on by themselves."""
        copied = Tally(self.rules, self.counts)
        copied.skipped = dict(self.skipped)
        return copied

    def add(self, changes: Mapping[str, Change]) -> None:
        """Count what happened to these users."""
        outcomes = Counter([change.outcome for change in changes.values()])
        self.counts.update({outcome.value: count for outcome, count in outcomes.items()})
        replaced = (self._replaced(clerk_id, change) for clerk_id, change in changes.items() if change.before)
        self.counts["placeholders_replaced"] += sum(replaced)

    def skip(self, users: Mapping[str, tuple[str, ...]]) -> None:
        """Count users that could not be read, or of whom something cannot be believed."""
        self.counts["skipped"] += len(users)
        for clerk_id, problems in users.items():
            if len(self.skipped) < MAX_NAMED:
                self.skipped[clerk_id] = "; ".join(problems)

    def _replaced(self, clerk_id: str, change: Change) -> bool:
        """Whether placeholder data has given way to real data."""
        if change.before == change.after or change.outcome is Outcome.DELETED:
            return False
        return bool(self._found(clerk_id, change.before)) and not self._found(clerk_id, change.after)

    def _found(self, clerk_id: str, values: tuple[str | None, ...]) -> bool:
        return bool(self.rules.find(clerk_id=clerk_id, **dict(zip(WATCHED, values, strict=True))))


class Report(Struct):
    """What a sync did and how it ended.

    ``counts`` has the keys seen, created, updated, touched, unchanged, late, deleted,
    revived, corrected, doubted, skipped, missing, missed, delivered and
    placeholders_replaced; those that are 0 may be left out. ``in_doubt`` users wait to be
    read again. ``note`` says what was done otherwise than asked.
    """

    kind: str
    instance_id: str = ""
    environment: str = ""
    dry_run: bool = False
    resumed: bool = False
    note: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    in_doubt: int = 0
    requests: int = 0
    throttled: int = 0
    seconds: float = 0.0
    error: ClerkSyncError | None = None

    def fill(self, tally: Tally, *, requests: int, throttled: int, started: float) -> None:
        """Take over what was counted; ``started`` is in seconds of the monotonic clock."""
        self.counts = dict(tally.counts)
        self.skipped = dict(tally.skipped)
        self.requests = requests
        self.throttled = throttled
        self.seconds = time.monotonic() - started

    @property
    def exit_status(self) -> int:
        """0: everything is in the table; 1: something is not; else the error's."""
        if self.error is not None:
            return self.error.exit_status
        return 1 if self.counts.get("skipped") or self.in_doubt else 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON; every key is always there."""
        outcomes = (outcome.value for outcome in Outcome)
        names = (*outcomes, "skipped", "missing", "missed", "delivered", "placeholders_replaced")
        return {
            "kind": self.kind,
            "instance": self.instance_id,
            "environment": self.environment,
            "dry_run": self.dry_run,
            "resumed": self.resumed,
            "note": self.note,
            "seen": self.counts.get("seen", 0),
            **{name: self.counts.get(name, 0) for name in names},
            "skipped_users": self.skipped,
            "in_doubt": self.in_doubt,
            "requests": self.requests,
            "throttled": self.throttled,
            "seconds": round(self.seconds, 3),
            "users_per_second": round(self.counts.get("seen", 0) / self.seconds) if self.seconds else 0,
            "error": str(self.error) if self.error else None,
            "exit_status": self.exit_status,
        }


@contextmanager
def errors_into(report: Report) -> Iterator[None]:
    """Keep what went wrong; the first error counts."""
    try:
        yield
    except ClerkSyncError as error:
        report.error = report.error or error
    except DatabaseError as error:
        # The first line alone: those after it quote the row, and so a person.
        why = str(error).partition("\n")[0]
        failed = SyncError(f"the database failed: {why}; run the same command again to go on")
        failed.__cause__ = error
        report.error = report.error or failed
        # A broken connection would fail the books as well, and keep the lease; one that is in the
        # middle of the caller's transaction is the caller's.
        connection = connections[mirror.database()]
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
