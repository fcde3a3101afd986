"""How the syncs went, as ``clerk_status`` judges them."""

from __future__ import annotations

from clerksync import reasons
from clerksync.doctor.books import Books
from clerksync.doctor.findings import Finding, State, ok, skipped, warning
from clerksync.reasons import Reason

#: Reasons of the status that are about a sync; those about webhooks are told of elsewhere.
_SYNCS = ("never_synced", "stale", "deletes_overdue", "deletes_refused", "sync_failed", "sync_cut", "clock")
_SCHEDULER = ("scheduler_dead", "part_overdue", "part_failed")
_WEBHOOKS = ("webhooks_", "events_")
_STATES = {
    reasons.State.BROKEN: State.PROBLEM,
    reasons.State.BEHIND: State.WARNING,
    reasons.State.IN_STEP: State.WARNING,
}


def judge(books: Books) -> list[Finding]:
    """Full syncs, incremental ones, the scheduler, and the rest."""
    sorted_out: dict[str, list[Reason]] = {
        "full_sync": [],
        "incremental_sync": [],
        "scheduler": [],
        "mirror": [],
    }
    for reason in books.status.reasons:
        if not reason.code.startswith(_WEBHOOKS):
            sorted_out[_id(reason)].append(reason)
    return [finding for id, reasons in sorted_out.items() for finding in _findings(id, reasons, books)]


def _id(reason: Reason) -> str:
    if reason.code in _SCHEDULER:
        return "scheduler"
    if reason.code not in _SYNCS:
        return "mirror"
    return "incremental_sync" if "--incremental" in reason.command else "full_sync"


def _findings(id: str, reasons: list[Reason], books: Books) -> list[Finding]:
    if not reasons:
        return [_sound(id, books)]
    return [Finding(id, _STATES[reason.state], reason.text, reason.advice) for reason in reasons]


def _sound(id: str, books: Books) -> Finding:
    if id == "scheduler":
        return _scheduler(books)
    if id == "mirror":
        known = books.status.right_up_to
        up_to = f"Users are right up to {reasons.clock(known, now=books.read_at)}." if known else ""
        return ok(id, up_to or "Nothing else is wrong.")
    kind = id.removesuffix("_sync")
    began = books.completed.get(kind)
    if began is None:
        return skipped(id, f"No {kind} sync has been completed.", "Run it periodically.")
    return ok(id, f"The last completed {kind} sync began {reasons.clock(began, now=books.read_at)}.")


def _scheduler(books: Books) -> Finding:
    if not books.jobs:
        why = "run_clerk_scheduler has not been in use."
        return skipped("scheduler", why, "Start it, or let cron run the syncs.")
    failing = [f"{job.part} ({job.get_outcome_display()})" for job in books.jobs if job.failures]
    if failing:
        return warning(
            "scheduler",
            f"Failed when last run by the scheduler: {', '.join(failing)}.",
            "Read the scheduler's log; each part is also a command (section 8 of the README).",
        )
    return ok("scheduler", f"The scheduler runs {', '.join(job.part for job in books.jobs)}.")
