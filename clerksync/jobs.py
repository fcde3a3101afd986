"""The table of scheduled jobs: who runs which part, and when it runs next.

Every change is one conditional UPDATE by the database's clock, so that any number of schedulers
on any number of hosts run each part once. A claim expires unless it is renewed, like a lease.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db import router, transaction
from django.db.models import Case, DateTimeField, ExpressionWrapper, F, QuerySet, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Least
from django.utils import timezone
from msgspec import Struct

from clerksync import schedule
from clerksync.models import ScheduledJob
from clerksync.schedule import Part
from clerksync.times import DatabaseNow, aware

Outcome = ScheduledJob.Outcome

#: A part whose scheduler is dead or asleep may be taken over after this time.
LEASE = timedelta(seconds=60)

#: What reads everybody waits for its time, also after an installation.
_COSTLY = (Part.FULL, Part.AUDIT)
_DIED = "the process that ran it ended without a word"
#: What says nothing of whether the part works.
_NO_VERDICT = (Outcome.HELD, Outcome.INTERRUPTED)


class Claim(Struct, frozen=True):
    """The right to run a part once."""

    part: Part
    fence: int


class Ended(Struct, frozen=True):
    """How a run ended; ``message`` says why it did not do its work, or what it did."""

    part: Part
    outcome: ScheduledJob.Outcome
    message: str = ""


def plan() -> None:
    """Have a row for each part that is on, and none for the others.

    What is cheap begins at once; the full sync waits for its time, since an incremental one is full
    where none has been completed, and so does the audit. A part whose expression was changed gets a new time.
    """
    zone, now = timezone.get_default_timezone(), timezone.now()
    wanted = schedule.expressions()
    rows = [
        ScheduledJob(
            part=part,
            schedule=f"{expression} {zone}",
            next_at=_kept(_planned(part)) if part in _COSTLY else now,
        )
        for part, expression in wanted.items()
    ]
    ScheduledJob.objects.bulk_create(rows, ignore_conflicts=True)
    for row in rows:
        changed = ScheduledJob.objects.filter(part=row.part).exclude(schedule=row.schedule)
        changed.update(schedule=row.schedule, next_at=_kept(_planned(Part(row.part))))
    ScheduledJob.objects.exclude(part__in=list(wanted)).delete()


def forget() -> int:
    """Delete all rows; returns how many there were."""
    return ScheduledJob.objects.all().delete()[0]


def read() -> list[ScheduledJob]:
    """The rows of the parts that are on, in the order of the parts."""
    rows = ScheduledJob.objects.in_bulk(list(schedule.expressions()))
    return [rows[part] for part in schedule.expressions() if part in rows]


def clock() -> datetime | None:
    """The database's time; None while there are no rows."""
    found: datetime | None = ScheduledJob.objects.values_list(DatabaseNow(), flat=True).first()
    return found and aware(found)


def bury(job: ScheduledJob) -> bool:
    """End a run whose claim has expired, and let the part be tried again: at once if it never failed.

    Returns:
        Whether it was this process that did it.
    """
    again = schedule.distance(job.failures) if job.failures else timedelta(0)
    expired = ScheduledJob.objects.filter(part=job.part, fence=job.fence, expires_at__lt=DatabaseNow())
    return bool(
        expired.update(
            finished_at=DatabaseNow(),
            outcome=Outcome.DIED,
            message=_DIED,
            failures=F("failures") + 1,
            failing_since=Coalesce(F("failing_since"), DatabaseNow()),
            next_at=_from_now(again),
            expires_at=None,
            # Whoever comes back to it finds that it is somebody else's.
            fence=F("fence") + 1,
        )
    )


def hasten(part: Part) -> bool:
    """Have a part run as soon as a scheduler looks, once more if it is at work; False if none is alive, or it is off."""
    alive = ScheduledJob.objects.filter(part=part, seen_at__gt=_from_now(-LEASE))
    return bool(alive.update(next_at=DatabaseNow()))


def is_at_work(part: Part) -> bool:
    """Whether a scheduler runs the part."""
    return ScheduledJob.objects.filter(part=part, expires_at__isnull=False).exists()


def claim(part: Part) -> Claim | None:
    """Take a part that is due and that nobody runs; None if there is nothing to take."""
    due = ScheduledJob.objects.filter(part=part, next_at__lte=DatabaseNow(), expires_at__isnull=True)
    # In one transaction, so that the fence that is read is the one that was set.
    with transaction.atomic(using=router.db_for_write(ScheduledJob)):
        taken = due.update(
            holder=f"{socket.gethostname()}:{os.getpid()}",
            fence=F("fence") + 1,
            started_at=DatabaseNow(),
            expires_at=_from_now(LEASE),
        )
        return Claim(part, ScheduledJob.objects.get(part=part).fence) if taken else None


def renew(claim: Claim) -> bool:
    """Keep a part; False if it is somebody else's by now."""
    return bool(_of(claim).update(expires_at=_from_now(LEASE)))


def finish(claim: Claim, ended: Ended) -> ScheduledJob | None:
    """Record how a run ended and when the next one is due.

    Returns:
        The row; None if the part was taken over, or is no longer on.
    """
    job = _of(claim).first()
    now = clock()
    if job is None or now is None:
        return None
    failures = 0 if ended.outcome == Outcome.COMPLETED else job.failures
    failures += ended.outcome not in (Outcome.COMPLETED, *_NO_VERDICT)
    next_at = _next(claim.part, ended.outcome, failures=failures, now=now)
    is_kept = _of(claim).update(
        finished_at=DatabaseNow(),
        expires_at=None,
        outcome=ended.outcome,
        message=ended.message,
        failures=failures,
        failing_since=(job.failing_since or _kept(now)) if failures else None,
        next_at=_unless_hastened(_kept(next_at)),
    )
    return ScheduledJob.objects.filter(part=claim.part).first() if is_kept else None


def beat(*, stays: bool) -> None:
    """Tell others that a scheduler is alive; one that does not stay on must not be missed."""
    ScheduledJob.objects.update(seen_at=DatabaseNow() if stays else None)


def next_at(jobs: Iterable[ScheduledJob]) -> datetime | None:
    """When the first of these is due; None if there are none."""
    return min((aware(job.next_at) for job in jobs), default=None)


def _kept(moment: datetime) -> datetime:
    """The other way round."""
    return moment if timezone.is_aware(timezone.now()) else timezone.make_naive(moment)


def _next(part: Part, outcome: str, *, failures: int, now: datetime) -> datetime:
    regular = _planned(part, after=now)
    match outcome:
        case Outcome.INTERRUPTED:
            return now
        case Outcome.HELD:
            return min(regular, now + schedule.HELD_RETRY)
        case Outcome.FAILED | Outcome.MISMATCH:
            return min(regular, now + schedule.distance(failures))
        case _:
            # Refused deletes wait for somebody; everybody was read and written.
            return regular


def _unless_hastened(moment: datetime) -> Combinable:
    """This time, or an earlier one that was set after the run had begun: what it was to do may be done only in part."""
    regular = Value(moment, output_field=DateTimeField())
    return Case(
        When(next_at__gt=F("started_at"), then=Least(F("next_at"), regular)),
        default=regular,
    )


def _planned(part: Part, *, after: datetime | None = None) -> datetime:
    return schedule.planned_time(
        schedule.expressions()[part],
        after=after or datetime.now(UTC),
        zone=timezone.get_default_timezone(),
    )


def _of(claim: Claim) -> QuerySet[ScheduledJob]:
    return ScheduledJob.objects.filter(part=claim.part, fence=claim.fence)


def _from_now(delta: timedelta) -> Combinable:
    return ExpressionWrapper(DatabaseNow() + delta, output_field=DateTimeField())
