"""How the mirror stands, as a value: what ``status.py`` answers, in words and for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from msgspec import Struct, field

from clerksync import reasons
from clerksync.conf import settings
from clerksync.reasons import Reason, State

#: The codes of the reasons that nothing else is known beside.
UNREADABLE = ("database_unreachable", "tables_unreadable")


class LastRun(Struct, frozen=True):
    """How the last run of a kind stands or ended; ``age`` in seconds since it began."""

    state: str
    started_at: datetime
    age: float
    error: str


class LastJob(Struct, frozen=True):
    """When a scheduled part runs next, and how its last run ended; the scheduler was ``seen_at`` then."""

    next_at: datetime
    finished_at: datetime | None
    outcome: str
    failures: int
    failing_since: datetime | None
    seen_at: datetime | None


class Status(Struct, frozen=True, kw_only=True):
    """How the mirror stands.

    ``updates_as_of`` and ``deletes_as_of`` are times of Clerk's clock: all that Clerk's lists showed by
    then is in the table; that a change is listed within CLERKSYNC_OVERLAP is assumed. ``right_up_to`` is
    the first of them, or earlier while a user is in doubt. ``users`` are rows by state as a sync has
    counted them at ``users_as_of``. ``jobs`` is empty where no scheduler is used. ``missed`` and ``delivered`` are of the last 24 hours.
    """

    state: State
    reasons: tuple[Reason, ...] = ()
    instance_id: str = ""
    environment: str = ""
    updates_as_of: datetime | None = None
    deletes_as_of: datetime | None = None
    right_up_to: datetime | None = None
    users: Mapping[str, int] = field(default_factory=dict)
    users_as_of: datetime | None = None
    doubts: Mapping[str, int] = field(default_factory=dict)
    parked: int = 0
    failed: int = 0
    last_event_at: datetime | None = None
    missed: int = 0
    delivered: int = 0
    runs: Mapping[str, LastRun] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)
    skew_ms: int = 0
    jobs: Mapping[str, LastJob] = field(default_factory=dict)
    read_at: datetime = field(default_factory=timezone.now)

    @property
    def is_known(self) -> bool:
        """Whether the tables could be read at all."""
        return not any(reason.code in UNREADABLE for reason in self.reasons)

    @property
    def updates_age(self) -> float | None:
        """Seconds since ``updates_as_of``, by Clerk's clock; None if nothing is known."""
        return self._age(self.updates_as_of)

    @property
    def deletes_age(self) -> float | None:
        """The same of ``deletes_as_of``."""
        return self._age(self.deletes_as_of)

    def _age(self, moment: datetime | None) -> float | None:
        if moment is None:
            return None
        return (self.read_at - timedelta(milliseconds=self.skew_ms) - moment).total_seconds()

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
        return reasons.describe(self.state, self.reasons, right_up_to=self.right_up_to, now=self.read_at)

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
            "updates_age": _whole(self.updates_age),
            "deletes_age": _whole(self.deletes_age),
            "max_staleness": settings.MAX_STALENESS,
            "at_work": sorted(self.holders),
            "users": dict(self.users),
            "users_as_of": _text(self.users_as_of),
            "in_doubt": sum(self.doubts.values()),
            "doubts": dict(self.doubts),
            "parked": self.parked,
            "failed": self.failed,
            "last_event_at": _text(self.last_event_at),
            "missed": self.missed,
            "delivered": self.delivered,
            "missed_share": None if share is None else round(share, 4),
            "runs": {kind: _public(run) for kind, run in sorted(self.runs.items())},
            "jobs": {part: _public_job(job) for part, job in sorted(self.jobs.items())},
            "read_at": _text(self.read_at),
        }


def _public(run: LastRun) -> dict[str, Any]:
    return {"state": run.state, "started_at": _text(run.started_at), "age": round(run.age)}


def _public_job(job: LastJob) -> dict[str, Any]:
    return {
        "next_at": _text(job.next_at),
        "finished_at": _text(job.finished_at),
        "outcome": job.outcome,
        "failures": job.failures,
        "failing_since": _text(job.failing_since),
        "seen_at": _text(job.seen_at),
    }


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
