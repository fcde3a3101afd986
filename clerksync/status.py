"""Is the mirror right now? One answer, for the command, the health URL, the admin and alarms."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections
from django.utils import timezone

from clerksync import facts, mirror, verdicts
from clerksync.facts import Facts
from clerksync.verdicts import Reason, State

__all__ = ["LastRun", "Reason", "State", "Status", "read"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LastRun:
    """How the last run of a kind stands or ended; ``age`` in seconds since it began."""

    state: str
    started_at: datetime
    age: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the mirror stands.

    ``updates_as_of`` and ``deletes_as_of`` are times of Clerk's clock: all that Clerk's lists showed by
    then is in the table; that a change is listed within CLERKSYNC_OVERLAP is assumed. ``right_up_to`` is
    the first of them, or earlier while a user is in doubt. ``users`` are rows by state as of the last full
    sync. ``missed`` and ``delivered`` are of the last 24 hours.
    """

    state: State
    reasons: tuple[Reason, ...] = ()
    instance_id: str = ""
    environment: str = ""
    updates_as_of: datetime | None = None
    deletes_as_of: datetime | None = None
    right_up_to: datetime | None = None
    users: Mapping[str, int] = field(default_factory=dict)
    doubts: Mapping[str, int] = field(default_factory=dict)
    parked: int = 0
    failed: int = 0
    last_event_at: datetime | None = None
    missed: int = 0
    delivered: int = 0
    runs: Mapping[str, LastRun] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)
    read_at: datetime = field(default_factory=timezone.now)

    @property
    def exit_status(self) -> int:
        """0 in step, 1 behind, 2 broken."""
        return list(State).index(self.state)

    @property
    def missed_share(self) -> float | None:
        """The part of the changes that no webhook told, 0 to 1; None if there were no changes."""
        changes = self.missed + self.delivered
        return self.missed / changes if changes else None

    @property
    def sentence(self) -> str:
        """The answer in one line, with what to do."""
        return verdicts.describe(self.state, self.reasons, right_up_to=self.right_up_to, now=self.read_at)

    def as_dict(self) -> dict[str, Any]:
        """For JSON. Nothing in it is about a person."""
        return {
            **self.public(),
            "runs": {kind: {**_public(run), "error": run.error} for kind, run in sorted(self.runs.items())},
            "holders": dict(self.holders),
        }

    def public(self) -> dict[str, Any]:
        """The same without what is nobody else's business: hosts, and the words of errors."""
        share = self.missed_share
        return {
            "state": self.state.value,
            "sentence": self.sentence,
            "reasons": [reason.as_dict() for reason in self.reasons],
            "instance": self.instance_id,
            "environment": self.environment,
            "updates_as_of": _text(self.updates_as_of),
            "deletes_as_of": _text(self.deletes_as_of),
            "right_up_to": _text(self.right_up_to),
            "users": dict(self.users),
            "in_doubt": sum(self.doubts.values()),
            "doubts": dict(self.doubts),
            "parked": self.parked,
            "failed": self.failed,
            "last_event_at": _text(self.last_event_at),
            "missed": self.missed,
            "delivered": self.delivered,
            "missed_share": None if share is None else round(share, 4),
            "runs": {kind: _public(run) for kind, run in sorted(self.runs.items())},
            "read_at": _text(self.read_at),
        }


def read(*, now: datetime | None = None) -> Status:
    """Say how the mirror stands; a database that cannot be read is an answer, too.

    Args:
        now: The time by our clock.
    """
    now = now or timezone.now()
    try:
        found = facts.read(now)
    except DatabaseError as error:
        logger.warning("the state of the mirror cannot be read: %s", type(error).__name__)
        return Status(state=State.BROKEN, reasons=(_unreadable(error),), read_at=now)
    return _status(found, now)


def _status(found: Facts, now: datetime) -> Status:
    state = found.state
    reasons = tuple(verdicts.judge(found, now=now))
    return Status(
        state=max((reason.state for reason in reasons), default=State.IN_STEP, key=list(State).index),
        reasons=reasons,
        instance_id=state.instance_id,
        environment=state.environment,
        updates_as_of=state.updates_as_of,
        deletes_as_of=state.deletes_as_of,
        right_up_to=verdicts.right_up_to(found),
        users=state.census,
        doubts=Counter(reason for reason, _ in found.doubts),
        parked=found.events.get("parked", 0),
        failed=found.events.get("failed", 0),
        last_event_at=found.last_event_at,
        missed=sum(run.missed for run in found.judged),
        delivered=sum(run.delivered for run in found.judged),
        runs={
            kind: LastRun(run.state, run.started_at, (now - run.started_at).total_seconds(), run.error)
            for kind, run in found.runs.items()
        },
        holders={
            kind: holder
            for kind, holder, held in (
                ("full", state.full_holder, found.full_held),
                ("incremental", state.incremental_holder, found.incremental_held),
            )
            if held
        },
        read_at=now,
    )


def _unreadable(error: DatabaseError) -> Reason:
    try:
        connections[mirror.database()].introspection.table_names()
    except DatabaseError:
        text = f"The database cannot be reached ({type(error).__name__})."
        return Reason(
            "database_unreachable", State.BROKEN, text, command="manage.py check --database default"
        )
    text = f"The tables of clerksync cannot be read ({type(error).__name__})."
    return Reason("tables_unreadable", State.BROKEN, text, command="manage.py migrate")


def _public(run: LastRun) -> dict[str, Any]:
    return {"state": run.state, "started_at": _text(run.started_at), "age": round(run.age)}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
