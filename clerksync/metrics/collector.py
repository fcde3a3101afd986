"""The metrics: what ``status.py`` tells, in the words of Prometheus; the only user of prometheus_client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from clerksync import __version__, leases, reasons, status
from clerksync.conf import settings
from clerksync.counts import BUCKET_NAMES
from clerksync.models import ClerkUser, SyncRun, WebhookEvent
from clerksync.status import State, Status

#: By kind and outcome.
Values = Mapping[tuple[str, str], int]
#: By labels.
Samples = Mapping[Any, float]

_KINDS = [kind.value for kind in SyncRun.Kind]
_ENDS = [state.value for state in SyncRun.State if state is not SyncRun.State.RUNNING]
_WAITING = [WebhookEvent.State.FAILED.value, WebhookEvent.State.PARKED.value]


def render(accept: str) -> tuple[bytes, str]:
    """The metrics in the format that is asked for, and its content type.

    Raises:
        django.db.Error: The database cannot be read.
    """
    registry = CollectorRegistry()
    registry.register(ClerkSyncCollector())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class ClerkSyncCollector(Collector):
    """Collects from the tables; for a registry of your own, too."""

    def describe(self) -> Iterator[Metric]:
        """Nothing: to register it must not ask the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics, in a few queries whatever there is.

        Raises:
            django.db.Error: The database cannot be read.
        """
        totals = status.totals()
        found = status.read()
        yield from _standing(found)
        yield from _users(found)
        yield from _syncs(found, totals)
        yield from _events(found, totals)
        yield from _jobs(found)


def _standing(found: Status) -> Iterator[Metric]:
    about = {"version": __version__, "instance": found.instance_id, "environment": found.environment}
    yield InfoMetricFamily("clerksync", "The version, and the Clerk instance of the users.", about)
    states = {(state.value,): float(found.state is state) for state in State}
    yield _gauge("clerksync_state", "1 for the state in which the mirror is.", ["state"], states)
    present = {reason.code for reason in found.reasons}
    on = {(code,): float(code in present) for code in reasons.CODES}
    yield _gauge("clerksync_reason", "1 while something is as it should not be.", ["reason"], on)
    for name, text, moment in (
        ("updates_as_of", "All changes that Clerk listed by then are known.", found.updates_as_of),
        ("deletes_as_of", "All deletes that Clerk's lists showed by then are known.", found.deletes_as_of),
        ("right_up_to", "All users are known to be right up to then.", found.right_up_to),
        ("last_event", "The last webhook event was received then.", found.last_event_at),
    ):
        yield _gauge(f"clerksync_{name}_timestamp_seconds", text, [], _at({(): moment}))
    limit = {(): float(settings.MAX_STALENESS)}
    yield _gauge("clerksync_max_staleness_seconds", "CLERKSYNC_MAX_STALENESS.", [], limit)


def _users(found: Status) -> Iterator[Metric]:
    rows = {(state.value,): float(found.users.get(state.value, 0)) for state in ClerkUser.State}
    yield _gauge("clerksync_users", "Rows by state, when they were last counted.", ["state"], rows)
    counted = _at({(): found.users_as_of})
    yield _gauge("clerksync_users_counted_timestamp_seconds", "The rows were counted then.", [], counted)
    doubts = {(reason,): float(number) for reason, number in sorted(found.doubts.items())}
    yield _gauge("clerksync_users_in_doubt", "Users that wait to be read again.", ["reason"], doubts)


def _syncs(found: Status, totals: Mapping[str, Values]) -> Iterator[Metric]:
    ended = {(kind, end): 0 for kind in _KINDS for end in _ENDS} | dict(totals.get("runs", {}))
    yield _counter("clerksync_runs", "Syncs that ended.", ["kind", "outcome"], ended)
    took = {kind: ms / 1000 for (kind, _), ms in totals.get("run_ms", {}).items()}
    duration = SummaryMetricFamily("clerksync_run_duration_seconds", "How long syncs took.", labels=["kind"])
    for kind in _KINDS:
        count = sum(number for (of, _), number in ended.items() if of == kind)
        duration.add_metric([kind], count_value=count, sum_value=took.get(kind, 0.0))
    yield duration
    for name, counted, text in (
        ("api_requests", "requests", "Requests that syncs and audits sent to Clerk."),
        ("api_throttled", "throttled", "Requests of syncs that Clerk answered with 429."),
    ):
        by_kind = {(kind,): totals.get(counted, {}).get((kind, ""), 0) for kind in _KINDS}
        yield _counter(f"clerksync_{name}", text, ["kind"], by_kind)
    users = totals.get("users", {})
    yield _counter("clerksync_run_users", "Users, by what a sync did to them.", ["kind", "outcome"], users)
    started = _at({(kind,): run.started_at for kind, run in sorted(found.runs.items())})
    yield _gauge("clerksync_last_run_timestamp_seconds", "The last sync began then.", ["kind"], started)
    held = {(kind,): float(kind in found.holders) for kind in leases.KINDS}
    yield _gauge("clerksync_run_in_progress", "1 while a sync, or an audit, is at work.", ["kind"], held)


def _events(found: Status, totals: Mapping[str, Values]) -> Iterator[Metric]:
    events = totals.get("events", {})
    text = "Webhook events, by their state a minute after they came."
    yield _counter("clerksync_events", text, ["type", "outcome"], events)
    lag, sums = totals.get("lag", {}), totals.get("lag_ms", {})
    cumulative = accumulate(lag.get((name, ""), 0) for name in BUCKET_NAMES)
    yield HistogramMetricFamily(
        "clerksync_event_lag_seconds",
        "From what an event tells of to its arrival.",
        buckets=[(name, float(number)) for name, number in zip(BUCKET_NAMES, cumulative, strict=True)],
        sum_value=sums.get(("", ""), 0) / 1000,
    )
    waiting = {(state,): float(getattr(found, state)) for state in _WAITING}
    yield _gauge("clerksync_events_waiting", "Events that wait for a replay.", ["state"], waiting)
    changes = {(name,): totals.get("changes", {}).get(("", name), 0) for name in ("delivered", "missed")}
    text = "Changes that syncs have seen: told by a webhook, or missed."
    yield _counter("clerksync_changes", text, ["outcome"], changes)
    rejected = {(reason,): number for (reason, _), number in totals.get("rejected", {}).items()}
    yield _counter("clerksync_rejected_deliveries", "Deliveries not accepted.", ["reason"], rejected)


def _jobs(found: Status) -> Iterator[Metric]:
    jobs = sorted(found.jobs.items())
    next_at = _at({(part,): job.next_at for part, job in jobs})
    yield _gauge("clerksync_job_next_timestamp_seconds", "A scheduled part is due then.", ["part"], next_at)
    failures = {(part,): float(job.failures) for part, job in jobs}
    yield _gauge("clerksync_job_failures", "Failures of a scheduled part in a row.", ["part"], failures)
    seen_at = max((job.seen_at for _, job in jobs if job.seen_at is not None), default=None)
    text = "A scheduler was last seen then."
    yield _gauge("clerksync_scheduler_seen_timestamp_seconds", text, [], _at({(): seen_at}))


def _counter(name: str, text: str, labels: Sequence[str], values: Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], values: Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def _at(moments: Mapping[tuple[str, ...], datetime | None]) -> Samples:
    """Times as Prometheus has them, without those that are not known."""
    known = {labels: moment for labels, moment in moments.items() if moment is not None}
    return {
        labels: (moment if timezone.is_aware(moment) else timezone.make_aware(moment)).timestamp()
        for labels, moment in known.items()
    }
