"""The books of the syncs: one row a run, with its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db import connections, router, transaction
from django.utils import timezone

from clerksync import counts
from clerksync.client import Instance
from clerksync.counts import Key
from clerksync.exceptions import DeletesRefused, SyncIncomplete, SyncInterrupted
from clerksync.models import SyncRun
from clerksync.pages import Checkpoint
from clerksync.records import Outcome
from clerksync.tally import Report, Tally
from clerksync.times import adapt_time

#: A run that was cut is resumed within this time; later, what it has read is too old.
RESUME_WITHIN = timedelta(hours=24)
#: Runs of these kinds, hundreds a day, are forgotten after this time.
KEPT = timedelta(days=30)
FREQUENT = (SyncRun.Kind.INCREMENTAL, SyncRun.Kind.PENDING)
_PRUNED = (SyncRun.Kind.AUDIT, SyncRun.Kind.PENDING, SyncRun.Kind.USERS)


def open_run(instance: Instance, *, options: dict[str, Any], restart: bool) -> tuple[SyncRun, bool]:
    """The run to go on with, or a new one.

    Args:
        instance: Whose users are read.
        options: Must be those of the run that is resumed.
        restart: Begin anew in any case.

    Returns:
        The run, and whether it is resumed.
    """
    now = timezone.now()
    last = SyncRun.objects.filter(kind=SyncRun.Kind.FULL).order_by("-started_at", "-pk").first()
    if last is not None and not restart and _is_resumable(last, instance, options, now):
        resumed = {"state": SyncRun.State.RUNNING, "finished_at": None, "error": "", "progressed_at": now}
        SyncRun.objects.filter(pk=last.pk).update(**resumed)
        last.refresh_from_db()
        return last, True
    return begin(SyncRun.Kind.FULL, instance_id=instance.id, options=options), False


def begin(kind: SyncRun.Kind, *, instance_id: str, options: dict[str, Any] | None = None) -> SyncRun:
    """A new run; under the lease, so whichever run of this kind seems to be at work is dead."""
    now = timezone.now()
    died = SyncRun.objects.filter(kind=kind, state=SyncRun.State.RUNNING).update(
        state=SyncRun.State.INTERRUPTED, finished_at=now, error="the process ended"
    )
    counts.add({Key("runs", kind, SyncRun.State.INTERRUPTED): died}, at=now)
    return SyncRun.objects.create(
        kind=kind, instance_id=instance_id, options=options or {}, started_at=now, progressed_at=now
    )


def save_page(run: SyncRun, tally: Tally, checkpoint: Checkpoint) -> None:
    """Keep the counts and the checkpoint; belongs into the page's transaction."""
    connection = connections[router.db_for_write(SyncRun)]
    books = _books(tally, checkpoint)
    # Not by the ORM, which takes longer to build such a statement than the database to run it.
    sets = ", ".join(f'"{name}" = %s' for name in ("progressed_at", *books))
    with connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE "{SyncRun._meta.db_table}" SET {sets} WHERE "id" = %s',  # noqa: S608  # names
            [adapt_time(connection, datetime.now(UTC)), *map(json.dumps, books.values()), run.pk],
        )


def _books(tally: Tally, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "checkpoint": msgspec.to_builtins(checkpoint),
        "counts": dict(tally.counts, seen=checkpoint.seen),
        "skipped": tally.skipped,
    }


def close_run(run: SyncRun, tally: Tally, checkpoint: Checkpoint, report: Report) -> None:
    """Keep how the run ended."""
    state = _state(run, report, checkpoint)
    now = timezone.now()
    SyncRun.objects.filter(pk=run.pk).update(
        **_books(tally, checkpoint),
        state=state,
        instance_id=report.instance_id or run.instance_id,
        progressed_at=now,
        finished_at=now,
        error=str(report.error or ""),
        api_calls=run.api_calls + report.requests,
        throttled=run.throttled + report.throttled,
        walk_started_ms=checkpoint.started_ms,
    )
    # What a run had counted before it was resumed is in the counts already.
    _count(
        run.kind, state, report, {name: tally.counts[name] - run.counts.get(name, 0) for name in tally.counts}
    )
    _forget(run, is_idle=_is_idle(state, tally.counts))


def _count(kind: str, state: str, report: Report, done: Mapping[str, int]) -> None:
    """Count what outlives the row."""
    values = {
        Key("runs", kind, state): 1,
        Key("run_ms", kind): round(report.seconds * 1000),
        Key("requests", kind): report.requests,
        Key("throttled", kind): report.throttled,
        **{Key("changes", "", name): done.get(name, 0) for name in ("missed", "delivered")},
        **{Key("users", kind, name): done.get(name, 0) for name in (*Outcome, "skipped")},
    }
    counts.add({key: value for key, value in values.items() if value > 0}, at=timezone.now())


def _forget(run: SyncRun, *, is_idle: bool) -> None:
    """Of frequent runs in a row that had nothing to do, keep the last; of the others, a month's."""
    if run.kind not in FREQUENT:
        return
    others = SyncRun.objects.filter(kind=run.kind).exclude(pk=run.pk)
    others.filter(started_at__lt=run.started_at - KEPT).delete()
    previous = others.order_by("-started_at", "-pk").first()
    if is_idle and previous is not None and _is_idle(previous.state, previous.counts):
        previous.delete()


def _is_idle(state: str, counts: Mapping[str, int]) -> bool:
    done = any(count for name, count in counts.items() if name not in ("seen", "unchanged"))
    return state == SyncRun.State.COMPLETED and not done


def prune() -> int:
    """Forget audits and runs of some users that are older than a month; returns how many."""
    old = SyncRun.objects.filter(started_at__lt=timezone.now() - KEPT)
    return old.filter(kind__in=_PRUNED).delete()[0]


def record(report: Report, *, kind: SyncRun.Kind) -> SyncRun:
    """Keep what a sync of some users did."""
    now = timezone.now()
    run = SyncRun(
        kind=kind,
        state=SyncRun.State.COMPLETED if report.error is None else SyncRun.State.FAILED,
        instance_id=report.instance_id,
        counts=report.counts,
        skipped=report.skipped,
        api_calls=report.requests,
        throttled=report.throttled,
        started_at=now - timedelta(seconds=report.seconds),
        progressed_at=now,
        finished_at=now,
        error=str(report.error or ""),
    )
    with transaction.atomic(using=router.db_for_write(SyncRun)):
        run.save(force_insert=True)
        _count(kind, run.state, report, report.counts)
    _forget(run, is_idle=_is_idle(run.state, run.counts))
    return run


def read_checkpoint(run: SyncRun) -> Checkpoint:
    """Where the run stands."""
    return msgspec.convert(run.checkpoint, Checkpoint)


def _is_resumable(run: SyncRun, instance: Instance, options: dict[str, Any], now: datetime) -> bool:
    # Once the walk is done the doubts are in the table: a new walk loses nothing, and reads what is new.
    return (
        run.state in (SyncRun.State.RUNNING, SyncRun.State.INTERRUPTED)
        and bool(run.checkpoint.get("cursor"))
        and not run.checkpoint.get("done")
        and run.instance_id == instance.id
        and run.options == options
        and run.started_at > now - RESUME_WITHIN
    )


def _state(run: SyncRun, report: Report, checkpoint: Checkpoint) -> SyncRun.State:
    resumable = checkpoint.seen and run.kind == SyncRun.Kind.FULL
    match report.error:
        case None:
            return SyncRun.State.COMPLETED
        case DeletesRefused():
            return SyncRun.State.REFUSED
        case SyncIncomplete():
            return SyncRun.State.FAILED
        case SyncInterrupted():
            return SyncRun.State.INTERRUPTED
        case _:
            return SyncRun.State.INTERRUPTED if resumable else SyncRun.State.FAILED
