"""The metrics: well-formed, of the tables, and never falling where they must not."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client, override_settings
from django.utils import timezone

from clerksync import counts, journal, leases, status
from clerksync.models import ClerkUser, CountedEvents, WebhookEvent
from clerksync.testing import FakeClerk
from tests.deliveries import WEBHOOK_SECRET, changed, deliver, now_ms, post, signed
from tests.syncing import Syncer, change, synced

prometheus_client = pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser")
text_format = pytest.importorskip("prometheus_client.parser")

URL = "/clerk/metrics/"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _open(settings: Any) -> None:
    settings.CLERKSYNC_METRICS_NETWORKS = ["127.0.0.1"]
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET


def scrape(accept: str = "") -> list[Any]:
    """The families that Prometheus would read."""
    answer = Client().get(URL, headers={"Accept": accept})
    assert answer.status_code == 200
    is_open = answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert is_open == bool(accept)
    read = openmetrics if is_open else text_format
    return list(read.text_string_to_metric_families(answer.content.decode()))


def samples(families: list[Any]) -> Samples:
    """Every value, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(name: str, **labels: str) -> float:
    """One value."""
    return samples(scrape())[name, tuple(sorted(labels.items()))]


def lived_in(clerk: FakeClerk) -> None:
    """A mirror that has seen something of everything."""
    syncer = Syncer(clerk)
    ids = synced(syncer, 6)
    change(clerk, ids[:2])
    clerk.advance(seconds=300)
    syncer.incremental()
    syncer.users(ids[0])
    deliver(changed(now_ms()))
    # Come at once: the first request of a busy machine may take seconds.
    WebhookEvent.objects.update(occurred_at=F("received_at"))
    post(signed(changed(now_ms()), secret="whsec_b2Ygc29tZWJvZHkgZWxzZQ=="))
    now = timezone.now()
    WebhookEvent.objects.create(
        svix_id="parked",
        type="user.updated",
        state="parked",
        sent_at=now,
        received_at=now,
        occurred_at=now - timedelta(seconds=3),
        finished_at=now,
    )
    ClerkUser.objects.filter(pk=ids[3]).update(doubt_reason='odd "reason"\n', doubt_ms=1)
    while counts.count_events(settle=False):
        pass


@pytest.mark.parametrize("accept", ["", OPEN])
def test_format(clerk: FakeClerk, accept: str) -> None:
    """Prometheus' own parsers read it, empty and full; names, types and units keep its conventions."""
    scrape(accept)
    lived_in(clerk)
    families = scrape(accept)
    for family in families:
        assert re.fullmatch(r"clerksync[a-z_]*", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert family.type in ("counter", "gauge", "histogram", "summary", "info")
        assert not re.search(r"_(ms|milliseconds|minutes|hours|count|sum|bucket)$", family.name)
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            assert not {"le", "quantile"} & sample.labels.keys() or family.type == "histogram"
    assert len({family.name for family in families}) == len(families)


@override_settings(USE_TZ=False, TIME_ZONE="Pacific/Auckland")
def test_values__without_time_zones(clerk: FakeClerk) -> None:
    """A project with ``USE_TZ = False`` tells the same moments."""
    ids = synced(Syncer(clerk), 2)
    doubt_ms = now_ms() - 600_000
    ClerkUser.objects.filter(pk=ids[0]).update(doubt_reason="seen after its delete", doubt_ms=doubt_ms)
    told = samples(scrape())
    assert told["clerksync_right_up_to_timestamp_seconds", ()] == doubt_ms / 1000


def test_values(clerk: FakeClerk) -> None:
    """What is told is what the tables hold."""
    lived_in(clerk)
    with leases.hold("full"):
        told = samples(scrape())
    found = status.read()

    def of(name: str, **labels: str) -> float:
        return told[name, tuple(sorted(labels.items()))]

    assert found.updates_as_of is not None
    assert of("clerksync_updates_as_of_timestamp_seconds") == found.updates_as_of.timestamp()
    assert of("clerksync_users", state="active") == 6
    assert of("clerksync_users_in_doubt", reason='odd "reason"\n') == 1
    assert of("clerksync_runs_total", kind="incremental", outcome="completed") == 1
    assert of("clerksync_runs_total", kind="incremental", outcome="failed") == 0
    assert of("clerksync_run_duration_seconds_count", kind="full") == 1
    assert of("clerksync_api_requests_total", kind="users") == 2
    assert of("clerksync_api_throttled_total", kind="full") == 0
    assert of("clerksync_run_users_total", kind="full", outcome="created") == 6
    assert of("clerksync_events_total", type="user.updated", outcome="applied") == 1
    assert of("clerksync_events_total", type="user.updated", outcome="parked") == 1
    assert of("clerksync_event_lag_seconds_count") == 2
    assert of("clerksync_event_lag_seconds_bucket", le="5.0") == 2
    assert of("clerksync_event_lag_seconds_bucket", le="2.0") == 1
    assert of("clerksync_event_lag_seconds_sum") == 3
    assert of("clerksync_events_waiting", state="parked") == found.parked == 1
    assert of("clerksync_changes_total", outcome="missed") == found.missed == 2
    assert of("clerksync_rejected_deliveries_total", reason="signature") == 1
    assert of("clerksync_run_in_progress", kind="full") == 1
    assert of("clerksync_run_in_progress", kind="incremental") == 0
    assert of("clerksync_reason", reason="events_parked") == 1
    assert of("clerksync_reason", reason="stale") == 0
    assert of("clerksync_state", state=found.state.value) == 1
    assert sum(number for (name, _), number in told.items() if name == "clerksync_state") == 1


def test_counters__never_fall(clerk: FakeClerk) -> None:
    """Neither a replay nor pruning nor idle runs that are forgotten take anything away."""
    lived_in(clerk)
    seen = [counters()]
    WebhookEvent.objects.update(state="applied")
    seen.append(counters())
    journal.prune(days=0)
    seen.append(counters())
    for _ in range(3):
        clerk.advance(seconds=300)
        Syncer(clerk).incremental()
        CountedEvents.objects.update(seen_at=None)
        seen.append(counters())
    for earlier, later in itertools.pairwise(seen):
        assert all(later[key] >= number for key, number in earlier.items())
    assert seen[-1] != seen[0]


def counters() -> Samples:
    """What must not fall."""
    kinds = ("counter", "histogram", "summary")
    return samples([family for family in scrape() if family.type in kinds])


def test_event__counted_within_two_minutes(clerk: FakeClerk) -> None:
    """Each scrape moves on by itself, without a scheduler."""
    synced(Syncer(clerk), 1)
    deliver(changed(now_ms()))
    scrape()
    CountedEvents.objects.update(seen_at=timezone.now() - timedelta(seconds=61))
    assert value("clerksync_events_total", type="user.updated", outcome="applied") == 1


def test_cost(clerk: FakeClerk, django_assert_num_queries: Any) -> None:
    """As many queries, whatever there is."""
    scrape()
    with django_assert_num_queries(10):
        scrape()
    lived_in(clerk)
    with django_assert_num_queries(10):
        scrape()


def test_registry__of_your_own(clerk: FakeClerk) -> None:
    """The collector can be registered beside others; that asks no database."""
    collector: Any = pytest.importorskip("clerksync.metrics.collector")
    registry = prometheus_client.CollectorRegistry(auto_describe=True)
    registry.register(collector.ClerkSyncCollector())
    synced(Syncer(clerk), 2)
    assert registry.get_sample_value("clerksync_users", {"state": "active"}) == 2


def test_persons__not_in_it(clerk: FakeClerk) -> None:
    """No metric says anything about a person."""
    lived_in(clerk)
    text = Client().get(URL).content.decode()
    for user in ClerkUser.objects.exclude(email=None):
        assert user.pk not in text
        assert str(user.email) not in text
