"""Webhooks as the books show them: whether they come, whose they are, and which were rejected."""

from __future__ import annotations

from datetime import timedelta

from clerksync import reasons, webhooks
from clerksync.doctor.books import Books
from clerksync.doctor.findings import Finding, State, ok, problem, skipped, warning

_ADVICE = {
    "signature": "compare CLERK_WEBHOOK_SIGNING_SECRET with the endpoint's, and let nothing rewrite the body",
    "headers": "let the proxy pass the svix- headers; or somebody else than Clerk calls",
    "timestamp": "set the clock of this machine by NTP; or somebody sends old deliveries again",
    "too_large": "raise CLERKSYNC_WEBHOOK_MAX_BYTES if Clerk's users are that large",
    "aborted": "let the server and the proxy wait for a body; or somebody hangs up on purpose",
    "no_secret": "set CLERK_WEBHOOK_SIGNING_SECRET",
}
_NOT_USED = "Webhooks are not in use: no signing secret is set."


def judge(books: Books, *, instance_id: str) -> list[Finding]:
    """What the books amount to; ``instance_id`` is Clerk's word, or the table's, or empty."""
    if not webhooks.configured_secrets():
        return [
            skipped(id, _NOT_USED)
            for id in ("last_event", "event_instance", "endpoint", "rejected", "events")
        ]
    return [
        _last_event(books),
        _event_instance(books, instance_id),
        _of_status(books, "endpoint", "webhooks_", State.PROBLEM, "No change is known that no webhook told."),
        _rejected(books),
        _of_status(books, "events", "events_", State.WARNING, "No event is parked or failed."),
    ]


def _last_event(books: Books) -> Finding:
    last = books.status.last_event_at
    if last is None:
        how = (
            "Add the endpoint at Clerk, then: manage.py check_clerk --probe https://your.site/clerk/webhook/"
        )
        return skipped("last_event", "No event has arrived yet.", how)
    age = books.read_at - last
    return ok(
        "last_event", f"The last event arrived {reasons.clock(last, now=books.read_at)}, {_long(age)} ago."
    )


def _event_instance(books: Books, instance_id: str) -> Finding:
    if not books.instances or not instance_id:
        return skipped("event_instance", "There is nothing yet to compare the instance of events with.")
    if strange := sorted(books.instances - {instance_id}):
        return problem(
            "event_instance",
            f"Of the latest events some are of {', '.join(strange)}, and the table is of {instance_id}.",
            "Delete this endpoint at the other instance, and remove its signing secret here.",
        )
    return ok("event_instance", f"The latest events are of {instance_id}.")


def _of_status(books: Books, id: str, prefix: str, state: State, sound: str) -> Finding:
    reasons = [reason for reason in books.status.reasons if reason.code.startswith(prefix)]
    if not reasons:
        return ok(id, sound)
    return Finding(
        id, state, " ".join(reason.text for reason in reasons), " ".join(reason.advice for reason in reasons)
    )


def _rejected(books: Books) -> Finding:
    if not books.rejected:
        return ok("rejected", "No delivery was rejected in the last 24 hours.")
    told = ", ".join(f"{count} for {reason}" for reason, count in books.rejected.items())
    advice = "; ".join(f"{reason}: {_ADVICE.get(reason, 'see the log')}" for reason in books.rejected)
    return warning(
        "rejected", f"Deliveries rejected in the last 24 hours: {told}.", f"{advice[0].upper()}{advice[1:]}."
    )


def _long(age: timedelta) -> str:
    hours, minutes = divmod(int(age.total_seconds()) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
