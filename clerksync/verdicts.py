"""What the facts amount to: why the mirror is behind or broken, in words, with what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby, takewhile

from clerksync import schedule, webhooks
from clerksync.conf import settings
from clerksync.facts import AFTERMATH, PERIOD, Facts, Judged
from clerksync.freshness import stored
from clerksync.models import ScheduledJob, SyncRun
from clerksync.reasons import Reason, State, clock
from clerksync.records import Doubt
from clerksync.schedule import COMMANDS, Part

#: How often a full sync is expected where no schedule tells; the staleness is allowed on top, for its own duration.
FULL_EVERY = timedelta(hours=24)
#: So late a part is that nobody runs: it begins up to five minutes late by chance.
OVERDUE_AFTER = timedelta(minutes=10)
#: So many changes in a row that no webhook told are no accident.
SILENT_AFTER = 3
#: A larger part of the last 24 hours' changes, if these are as many as that, is none either.
MAX_MISSED_SHARE = 0.1
MIN_CHANGES = 10
#: A scheduler tells that it is alive every 20 s; a restart may take a while.
SCHEDULER_AFTER = timedelta(minutes=5)
#: So many failures in a row are no accident.
FAILED_AFTER = 3
#: Clerk's clock may seem to go back so far.
TOLERANCE = timedelta(seconds=10)

_JUDGED = ("full", "incremental")
_FULL = "manage.py sync_clerk_users"
_INCREMENTAL = "manage.py sync_clerk_users --incremental"
_PROBE = "manage.py check_clerk --probe"
_REPLAY_AT_CLERK = "After repair: Replay missing in Clerk."


def judge(facts: Facts, *, now: datetime) -> list[Reason]:
    """Everything that is wrong, the worst first."""
    order = list(State)
    found = [
        *_of_syncs(facts, now),
        *_of_instance(facts),
        *_of_jobs(facts, now),
        *_of_webhooks(facts, now),
        *_of_doubts(facts, now),
        *_remarks(facts),
    ]
    return sorted(found, key=lambda reason: -order.index(reason.state))


def right_up_to(facts: Facts) -> datetime | None:
    """When all users were known to be right: the last scan's start, or earlier while one is in doubt.

    Users who cannot be read are told apart: nobody knows when they will be.
    """
    known = facts.state.updates_as_of
    doubted = [doubt_ms for reason, doubt_ms in facts.doubts if reason != Doubt.UNPARSABLE and doubt_ms > 0]
    if known is None or not doubted:
        return known
    return min(known, stored(datetime.fromtimestamp(min(doubted) / 1000, UTC)))


def _of_syncs(facts: Facts, now: datetime) -> Iterator[Reason]:
    state, clerk_now = facts.state, _clerk_now(facts, now)
    last = [facts.runs[kind] for kind in _JUDGED if kind in facts.runs]
    if state.updates_as_of is None:
        yield Reason("never_synced", State.BROKEN, "No full sync has been completed yet.", command=_FULL)
    elif state.updates_as_of > clerk_now + TOLERANCE:
        text = "The users are said to be known up to a time that has not come yet: a clock was wrong."
        yield Reason("clock", State.BROKEN, text, command=_FULL)
    elif clerk_now - state.updates_as_of > timedelta(seconds=settings.MAX_STALENESS):
        newest = max(last, key=lambda run: run.started_at, default=None)
        # Late and failing is worse than late: the next sync will not mend it either.
        level = State.BROKEN if newest is not None and newest.state == "failed" else State.BEHIND
        since = clock(state.updates_as_of, now=clerk_now)
        yield Reason("stale", level, f"No sync has confirmed the users since {since}.", command=_INCREMENTAL)
    for run in last:
        yield from _of_run(run, held=run.kind in facts.held, now=now)
    yield from _of_deletes(facts, now)


def _of_run(run: SyncRun, *, held: bool, now: datetime) -> Iterator[Reason]:
    command = _FULL if run.kind == SyncRun.Kind.FULL else _INCREMENTAL
    began = f"The last {run.get_kind_display()} sync, of {clock(run.started_at, now=now)},"
    match run.state:
        case SyncRun.State.REFUSED:
            text = f"{began} found more users gone than may be deleted, and deleted none."
            yield Reason("deletes_refused", State.BROKEN, text, command=f"{_FULL} --dry-run")
        case SyncRun.State.FAILED:
            yield Reason("sync_failed", State.BEHIND, f"{began} failed.", command=command)
        case SyncRun.State.INTERRUPTED:
            yield Reason("sync_cut", State.BEHIND, f"{began} was cut.", command=command)
        case SyncRun.State.RUNNING if not held:
            yield Reason("sync_cut", State.BEHIND, f"{began} ended without a word.", command=command)


def _of_deletes(facts: Facts, now: datetime) -> Iterator[Reason]:
    every = schedule.longest_distance(Part.FULL, after=now) or FULL_EVERY
    state, allowed = facts.state, every + timedelta(seconds=settings.MAX_STALENESS)
    clerk_now = _clerk_now(facts, now)
    if state.updates_as_of is None:
        return  # said already
    if state.deletes_as_of is None:
        text = "Nobody has made sure yet that users who left Clerk are marked as deleted."
        yield Reason("deletes_overdue", State.BEHIND, text, command=_FULL)
    elif clerk_now - state.deletes_as_of > allowed:
        since = clock(state.deletes_as_of, now=clerk_now)
        text = f"No full sync has looked for deleted users since {since}."
        yield Reason("deletes_overdue", State.BEHIND, text, command=_FULL)


def _of_instance(facts: Facts) -> Iterator[Reason]:
    if facts.state.mismatch_at is not None or any(job.outcome == "mismatch" for job in facts.jobs):
        text = "The secret key opens another Clerk instance than the one whose users are in the table."
        yield Reason("instance_mismatch", State.BROKEN, text, command=f"{_FULL} --dry-run")


def _of_jobs(facts: Facts, now: datetime) -> Iterator[Reason]:
    seen_at = max((job.seen_at for job in facts.jobs if job.seen_at is not None), default=None)
    if seen_at is not None and now - seen_at > SCHEDULER_AFTER:
        text = f"The scheduler has not been seen since {clock(seen_at, now=now)}."
        hint = "If something else runs the parts by now: manage.py run_clerk_scheduler --forget."
        yield Reason("scheduler_dead", State.BEHIND, text, command="manage.py run_clerk_scheduler", hint=hint)
    else:
        yield from _of_overdue(facts, now)
    if any(_is_refused_still(job, facts) for job in facts.jobs) and not _is_refused(facts):
        text = "A scheduled part found more users gone than may be deleted, and deleted none."
        yield Reason("deletes_refused", State.BROKEN, text, command=f"{_FULL} --dry-run")
    for job in facts.jobs:
        # What the others mean is said already.
        is_told = job.outcome in ("refused", "mismatch")
        if job.failures >= FAILED_AFTER and not is_told and job.failing_since is not None:
            since = clock(job.failing_since, now=now)
            text = f"The scheduled part {job.part} has failed {job.failures} times in a row, since {since}."
            yield Reason("part_failed", State.BEHIND, text, command=COMMANDS[Part(job.part)])


def _of_overdue(facts: Facts, now: datetime) -> Iterator[Reason]:
    late = [job for job in facts.jobs if _is_overdue(job, now)]
    if late:
        parts, since = ", ".join(job.part for job in late), clock(min(job.next_at for job in late), now=now)
        text = f"Overdue since {since}, and nobody runs it: {parts}."
        hint = "If something else runs the parts by now: manage.py run_clerk_scheduler --forget."
        yield Reason("part_overdue", State.BEHIND, text, command="manage.py run_clerk_scheduler", hint=hint)


def _is_overdue(job: ScheduledJob, now: datetime) -> bool:
    return not job.expires_at and now - job.next_at > OVERDUE_AFTER


def _is_refused_still(job: ScheduledJob, facts: Facts) -> bool:
    """Whether a part was refused, and no full sync has been completed since, as somebody may do by hand."""
    full = facts.runs.get(SyncRun.Kind.FULL)
    if job.outcome != "refused" or job.finished_at is None:
        return job.outcome == "refused"
    return full is None or full.state != SyncRun.State.COMPLETED or full.started_at < job.finished_at


def _is_refused(facts: Facts) -> bool:
    return any(facts.runs[kind].state == SyncRun.State.REFUSED for kind in _JUDGED if kind in facts.runs)


def _of_webhooks(facts: Facts, now: datetime) -> Iterator[Reason]:
    if not webhooks.configured_secrets():
        return
    silent = sum(run.missed for run in takewhile(lambda run: not run.delivered, facts.judged))
    counted = _counted(facts, now)
    missed, delivered = sum(run.missed for run in counted), sum(run.delivered for run in counted)
    if silent >= SILENT_AFTER:
        since = "from the start"
        if facts.last_event_at is not None:
            since = f"since {clock(facts.last_event_at, now=now)}"
        text = f"Webhooks silent {since}. {silent} changes found by the scan, 0 by webhook."
        yield Reason("webhooks_silent", State.BEHIND, text, command=_PROBE, hint=_REPLAY_AT_CLERK)
    elif missed + delivered >= MIN_CHANGES and missed > MAX_MISSED_SHARE * (missed + delivered):
        text = f"{missed} of {missed + delivered} changes in the last 24 hours were told by no webhook."
        yield Reason("webhooks_missed", State.BEHIND, text, command=_PROBE, hint=_REPLAY_AT_CLERK)


def _counted(facts: Facts, now: datetime) -> list[Judged]:
    """The runs of the last 24 hours, from after the last silence on: that has a reason of its own."""
    recent = facts.judged_since(now - PERIOD)
    for is_silent, runs in groupby(facts.judged, key=lambda run: not run.delivered):
        silence = list(runs)
        if is_silent and sum(run.missed for run in silence) >= SILENT_AFTER:
            return [run for run in recent if run.started_at > silence[0].started_at + AFTERMATH]
    return recent


def _of_doubts(facts: Facts, now: datetime) -> Iterator[Reason]:
    limit = _clerk_now(facts, now) - timedelta(seconds=settings.MAX_STALENESS)
    old = sum(doubt_ms < limit.timestamp() * 1000 for _, doubt_ms in facts.doubts)
    if old:
        text = f"{old} {'user has' if old == 1 else 'users have'} been in doubt for too long."
        yield Reason("doubts", State.BEHIND, text, command=f"{_FULL} --pending")


def _remarks(facts: Facts) -> Iterator[Reason]:
    """What does not make the users wrong, and waits for somebody all the same."""
    for state, words in (("failed", "were not handled"), ("parked", "could not be applied")):
        if number := facts.events.get(state, 0):
            text = f"{number} webhook {'event' if number == 1 else 'events'} {words}."
            command = f"manage.py replay_clerk_events --state {state} --dry-run"
            yield Reason(f"events_{state}", State.IN_STEP, text, command=command)
    if places := facts.state.placeholders or 0:
        text = f"The last audit found placeholder data in {places} {'place' if places == 1 else 'places'}."
        yield Reason("placeholders", State.IN_STEP, text, command="manage.py audit_clerk_users")


def _clerk_now(facts: Facts, now: datetime) -> datetime:
    """Clerk's time, by our clock and by how far that was ahead at the last sync."""
    return now - timedelta(milliseconds=facts.state.skew_ms)
