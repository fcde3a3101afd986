"""Is the mirror right now? One answer, for the command, the health URL, metrics, the dashboard and alarms.

- ``read()``: how the mirror stands, a ``Status``. Seven queries; nothing is written.
- ``measure()``: the same with its history, ``Figures``: hours, days, lag, use of the API. Counts the latest
  events first, if nobody else has done so in the last minute.
- ``totals()``: what was counted since the installation, for metrics; counts the latest events, too.
"""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime

from django.db import Error as DatabaseError
from django.db import connections
from django.utils import timezone
from msgspec.structs import asdict

from clerksync import counts, facts, figures, leases, mirror, verdicts
from clerksync.facts import Facts
from clerksync.figures import ApiUse, Counted, History, Lag, Slot
from clerksync.logs import Log, told
from clerksync.models import SyncRun
from clerksync.reasons import Reason, State
from clerksync.standing import LastJob, LastRun, Status

__all__ = [
    "ApiUse",
    "Figures",
    "Lag",
    "LastJob",
    "LastRun",
    "Reason",
    "Slot",
    "State",
    "Status",
    "measure",
    "read",
    "totals",
]

logger = logging.getLogger(__name__)


class Figures(History, frozen=True, kw_only=True):
    """How the mirror stands, and how it came to that."""

    status: Status


def measure(*, now: datetime | None = None) -> Figures:
    """Say how the mirror stands, with its history; without one if the database cannot be read."""
    now = now or timezone.now()
    _count_events()
    found = read(now=now)
    try:
        history = figures.read(now)
    except DatabaseError as error:
        logger.warning(
            "the history of the mirror cannot be read: %s",
            type(error).__name__,
            extra=told(Log.STATUS_UNREADABLE),
        )
        history = History()
    return Figures(status=found, **asdict(history))


def totals() -> Counted:
    """What was counted since the installation, by name, and by kind and outcome.

    Raises:
        django.db.Error: The database cannot be read, or has other tables.
    """
    _count_events()
    return figures.read_totals()


def _count_events() -> None:
    try:
        counts.count_events()
    except DatabaseError as error:  # read-only, for instance: what was counted before can be told
        logger.warning(
            "the latest events could not be counted: %s", type(error).__name__, extra=told(Log.COUNTS_BEHIND)
        )


def read(*, now: datetime | None = None) -> Status:
    """Say how the mirror stands; a database that cannot be read is an answer, too.

    Args:
        now: The time by our clock.
    """
    now = now or timezone.now()
    try:
        found = facts.read(now)
    except DatabaseError as error:
        logger.warning(
            "the state of the mirror cannot be read: %s",
            type(error).__name__,
            extra=told(Log.STATUS_UNREADABLE),
        )
        return Status(state=State.BROKEN, reasons=(_unreadable(error),), read_at=now)
    return _status(found, now)


def _status(found: Facts, now: datetime) -> Status:
    state, recent = found.state, found.judged_since(now - facts.PERIOD)
    reasons = tuple(verdicts.judge(found, now=now))
    return Status(
        state=max((reason.state for reason in reasons), default=State.IN_STEP, key=list(State).index),
        reasons=reasons,
        instance_id=state.instance_id,
        environment=state.environment,
        updates_as_of=state.updates_as_of,
        deletes_as_of=state.deletes_as_of,
        right_up_to=verdicts.right_up_to(found),
        skew_ms=state.skew_ms,
        users=state.census,
        users_as_of=state.census_at,
        doubts=Counter(reason for reason, _ in found.doubts),
        parked=found.events.get("parked", 0),
        failed=found.events.get("failed", 0),
        last_event_at=found.last_event_at,
        missed=sum(run.missed for run in recent),
        delivered=sum(run.delivered for run in recent),
        runs={kind: _last_run(run, found, now) for kind, run in found.runs.items()},
        holders={kind: getattr(state, f"{kind}_holder") for kind in leases.KINDS if kind in found.held},
        jobs={
            job.part: LastJob(
                job.next_at, job.finished_at, job.outcome, job.failures, job.failing_since, job.seen_at
            )
            for job in found.jobs
        },
        read_at=now,
    )


def _last_run(run: SyncRun, found: Facts, now: datetime) -> LastRun:
    """A run; one whose process has died counts as cut, as the next one will say."""
    age = (now - run.started_at).total_seconds()
    if run.state == SyncRun.State.RUNNING and run.kind not in found.held:
        return LastRun(SyncRun.State.INTERRUPTED, run.started_at, age, "it ended without a word")
    return LastRun(run.state, run.started_at, age, run.error)


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
