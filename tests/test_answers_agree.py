"""Command, health URL, metrics, dashboard and alarms: asked at the same moment they say the same."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from clerksync import alarms, status
from clerksync.models import Alarm, ClerkUser, MirrorState, WebhookEvent
from clerksync.testing import FakeClerk
from tests.syncing import LISTS, Syncer, synced

prometheus = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Answer:
    """What each of them tells; alarms tell the reasons only."""

    state: str
    reasons: frozenset[str]
    updates_as_of: str | None
    users: tuple[tuple[str, int], ...]
    parked: int
    failed: int
    missed: int


def of_command() -> Answer:
    """``manage.py clerk_status --format json``."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.exit", lambda code: None)
        call_command("clerk_status", "--format", "json", stdout=out)
    return _of_json(json.loads(out.getvalue()))


def of_health() -> Answer:
    """The health URL."""
    answer = Client().get("/clerk/health/")
    told = answer.json()
    assert (answer.status_code == 200) == (told["state"] == "in_step")
    return _of_json(told)


def of_metrics() -> Answer:
    """The metrics."""
    text = Client().get("/clerk/metrics/").content.decode()
    samples = [
        sample for family in prometheus.text_string_to_metric_families(text) for sample in family.samples
    ]

    def on(name: str, label: str) -> list[str]:
        return [sample.labels[label] for sample in samples if sample.name == name and sample.value]

    def value(name: str, **labels: str) -> float | None:
        return next((one.value for one in samples if one.name == name and one.labels == labels), None)

    [state] = on("clerksync_state", "state")
    as_of = value("clerksync_updates_as_of_timestamp_seconds")
    users = {kind: int(value("clerksync_users", state=kind) or 0) for kind in on("clerksync_users", "state")}
    return Answer(
        state,
        frozenset(on("clerksync_reason", "reason")),
        None if as_of is None else _moment(datetime.fromtimestamp(as_of, UTC)),
        tuple(sorted(users.items())),
        int(value("clerksync_events_waiting", state="parked") or 0),
        int(value("clerksync_events_waiting", state="failed") or 0),
        int(value("clerksync_changes_total", outcome="missed") or 0),
    )


def of_dashboard(admin_client: Client) -> Answer:
    """The page in the admin."""
    page = admin_client.get(reverse("admin:clerksync_mirrorstate_changelist"))
    found = page.context["figures"].status
    assert f"{found.state.label}</" in page.content.decode()
    assert escape(found.sentence) in page.content.decode()
    return _of_json(found.as_dict())


def _of_json(told: dict[str, Any]) -> Answer:
    return Answer(
        told["state"],
        frozenset(reason["code"] for reason in told["reasons"]),
        told["updates_as_of"],
        tuple(sorted(told["users"].items())),
        told["parked"],
        told["failed"],
        told["missed"],
    )


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _nothing(syncer: Syncer) -> None:
    """A site that was just set up."""


def _in_step(syncer: Syncer) -> None:
    synced(syncer, 5)


def _in_trouble(syncer: Syncer) -> None:
    ids = synced(syncer, 5)
    syncer.clerk.update_user(ids[0], last_name="Changed")
    syncer.clerk.advance(seconds=300)
    syncer.incremental()
    for state in ("parked", "failed", "failed"):
        now = timezone.now()
        WebhookEvent.objects.create(
            svix_id=f"{state}_{WebhookEvent.objects.count()}",
            type="user.updated",
            state=state,
            sent_at=now,
            received_at=now,
            finished_at=now,
        )
    ClerkUser.objects.filter(pk=ids[1]).update(doubt_reason="not readable in full", doubt_ms=1)


def _broken(syncer: Syncer) -> None:
    synced(syncer, 5)
    MirrorState.objects.update(updates_as_of=F("updates_as_of") - timedelta(hours=2))
    syncer.clerk.fail(401, on=LISTS, times=None)
    syncer.incremental()


@pytest.mark.parametrize("arrange", [_nothing, _in_step, _in_trouble, _broken])
def test_all_five(
    clerk: FakeClerk, admin_client: Client, settings: Any, arrange: Callable[[Syncer], None]
) -> None:
    """One answer, whoever is asked."""
    settings.CLERKSYNC_METRICS_NETWORKS = ["127.0.0.1"]
    settings.CLERK_WEBHOOK_SIGNING_SECRET = "whsec_aW52ZW50ZWQgZm9yIHRlc3RzIG9mIGNsZXJrc3luYw=="
    arrange(Syncer(clerk))
    answers = [of_command(), of_health(), of_metrics(), of_dashboard(admin_client)]
    assert answers[1:] == answers[:1] * 3
    alarms.evaluate()
    told = set(Alarm.objects.filter(resolved_at=None).values_list("code", flat=True))
    assert told == answers[0].reasons
    assert answers[0].state == status.read().state.value
