"""What the page "Clerk sync" tells in numbers and tables, made of the figures of ``status``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from msgspec import Struct

from clerksync import leases
from clerksync.admin import formats
from clerksync.admin.events import REASONS
from clerksync.admin.links import Links
from clerksync.admin.runs import lasted, outcome
from clerksync.conf import settings
from clerksync.models import ClerkUser, RejectedDeliveries, ScheduledJob, SyncRun, WebhookEvent
from clerksync.status import Figures, Status

#: So many of the last runs are shown.
RUNS = 10
#: What a run did to users, by the names of its counts.
_WRITTEN = ("created", "updated", "deleted", "revived", "corrected")


class Number(Struct, frozen=True):
    """One number with its name; ``url`` is a list of what it counts, ``kind`` how it is marked."""

    name: str
    shown: str | SafeString
    url: str = ""
    note: str | SafeString = ""
    kind: str = ""


def times(found: Status) -> Iterator[Number]:
    """As of when the mirror is right."""
    for name, time in (
        (_("Updates known up to"), found.updates_as_of),
        (_("Deletes known up to"), found.deletes_as_of),
        (_("Every user right up to"), found.right_up_to),
        (_("Last webhook event"), found.last_event_at),
    ):
        shown = formats.age(time, now=found.read_at) if time is not None else _("never")
        yield Number(name, shown, note=formats.moment(time) if time is not None else "")


def assumption() -> str:
    """What the times are true under."""
    return _(
        "All that Clerk's lists showed by these times is in the table. It is assumed that Clerk lists a "
        "change within %(overlap)d s (CLERKSYNC_OVERLAP)."
    ) % {"overlap": settings.OVERLAP}


def waiting(found: Status, links: Links) -> Iterator[Number]:
    """What is in doubt, or waits for somebody."""
    doubts = sum(found.doubts.values())
    reasons = ", ".join(f"{reason}: {formats.number(n)}" for reason, n in sorted(found.doubts.items()))
    yield Number(
        _("Users in doubt"),
        formats.number(doubts),
        links.of(ClerkUser, needs_refresh="yes") if doubts else "",
        reasons or _("read again by the next sync"),
    )
    for name, state, count, note in (
        (_("Failed events"), WebhookEvent.State.FAILED, found.failed, _("a handler of yours failed")),
        (_("Parked events"), WebhookEvent.State.PARKED, found.parked, _("could not be applied")),
    ):
        yield Number(
            name,
            formats.number(count),
            links.of(WebhookEvent, state__exact=state) if count else "",
            note,
            "bad" if count else "",
        )


def deliveries(figures: Figures, links: Links) -> Iterator[Number]:
    """How well webhooks arrive, over the last 24 hours."""
    found, lag = figures.status, figures.lag
    yield Number(
        _("Changes that no webhook told"),
        formats.share(found.missed_share),
        note=_("%(missed)s of %(changes)s, found by syncs")
        % {
            "missed": formats.number(found.missed),
            "changes": formats.number(found.missed + found.delivered),
        },
    )
    rejected = sum(figures.rejected.values())
    yield Number(
        _("Rejected deliveries"),
        formats.number(rejected),
        links.of(RejectedDeliveries) if rejected else "",
        _("not signed as they must be"),
    )
    for name, seconds, note in (
        (_("Lag, median"), lag.p50, _("from the change to its webhook")),
        (_("Lag, 90 % of events"), lag.p90, _("took no longer")),
        (_("Lag, 99 % of events"), lag.p99, _("took no longer")),
    ):
        yield Number(
            name,
            formats.EMPTY if seconds is None else formats.duration(timedelta(seconds=seconds)),
            note=note,
        )


def budget(figures: Figures) -> Iterator[Number]:
    """What syncs asked of Clerk in the last 24 hours."""
    api = figures.api
    yield Number(
        _("Requests of syncs"),
        formats.number(api.requests),
        note=_("%(share)s of %(allowed)s")
        % {"share": formats.share(api.share), "allowed": _count(api.allowed)},
    )
    yield Number(
        _("Busiest hour"),
        formats.number(api.busiest),
        note=_("%(share)s of %(allowed)s")
        % {"share": formats.share(api.busiest_share), "allowed": _count(api.allowed_an_hour)},
    )
    yield Number(
        _("Answered with 429"),
        formats.number(api.throttled),
        note=_("Clerk asked to wait"),
        kind="bad" if api.throttled else "",
    )


def users(found: Status, links: Links) -> list[Number]:
    """Rows by state."""
    everybody = sum(found.users.values())
    return [
        Number(
            str(state.label),
            formats.number(found.users.get(state, 0)),
            links.of(ClerkUser, state__exact=state),
            formats.share(found.users.get(state, 0) / everybody if everybody else None),
        )
        for state in ClerkUser.State
    ]


def rejected(figures: Figures, links: Links) -> list[Number]:
    """Rejected deliveries of the last 24 hours by reason, with the usual cause."""
    return [
        Number(
            reason,
            formats.number(count),
            links.of(RejectedDeliveries, reason=reason),
            str(REASONS.get(reason, "")),
        )
        for reason, count in sorted(figures.rejected.items(), key=lambda item: -item[1])
    ]


def runs(links: Links) -> list[dict[str, Any]]:
    """The last runs, the newest first."""
    known: QuerySet[SyncRun] = SyncRun.objects.order_by("-pk").defer("checkpoint", "skipped", "options")
    last = leases.with_deaths(known)
    return [
        {
            "url": links.to(run),
            "started": formats.moment(run.started_at),
            "kind": run.get_kind_display(),
            "outcome": outcome(run),
            "lasted": lasted(run),
            "seen": formats.number(run.counts.get("seen", 0)),
            "written": formats.number(sum(run.counts.get(name, 0) for name in _WRITTEN)),
            "requests": formats.number(run.api_calls),
        }
        for run in last[:RUNS]
    ]


def jobs(found: Status) -> list[dict[str, Any]]:
    """When the scheduled parts run next, and how they ended."""
    names = dict(ScheduledJob.Outcome.choices)
    return [
        {
            "part": part,
            "next": formats.moment(job.next_at),
            "finished": formats.moment(job.finished_at),
            "outcome": names.get(job.outcome, formats.EMPTY),
            "failures": formats.number(job.failures),
        }
        for part, job in found.jobs.items()
    ]


def _count(requests: int) -> str:
    return _("%(requests)s allowed") % {"requests": formats.number(requests)}
