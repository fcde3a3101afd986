"""Each cause for alarm fires once and resolves once: from what really happens, on a virtual clock."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db.models import F
from django.test import override_settings
from django.utils import timezone

from clerksync import alarms, jobs, parts, reasons, signals
from clerksync.events import receive
from clerksync.exceptions import InstanceMismatch
from clerksync.models import ClerkUser, MirrorState, ScheduledJob, SyncRun, WebhookEvent
from clerksync.schedule import Part
from clerksync.testing import FakeClerk
from clerksync.webhooks import Delivery
from tests.deliveries import WEBHOOK_SECRET, changed, deliver, now_ms, post, signed
from tests.syncing import LISTS, StopAfter, Syncer, change, small_pages, synced
from tests.test_alarms import ADMINS

pytestmark = pytest.mark.django_db

#: Between two scans, as CLERKSYNC_SCHEDULE has it.
INTERVAL = timedelta(minutes=5)


class Passed:
    """Seconds by which our clock is ahead of the machine's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        real_ns, real, now = time.time_ns, time.time, timezone.now
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(self.seconds * 1e9))
        monkeypatch.setattr(time, "time", lambda: real() + self.seconds)
        monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(seconds=self.seconds))


class Watched:
    """A mirror with somebody who looks every other minute of a clock that passes at once."""

    def __init__(self, clerk: FakeClerk, passed: Passed) -> None:
        self.syncer = Syncer(clerk)
        self.clerk = clerk
        self.ids = synced(self.syncer, 12)
        self.passed = passed
        self.told: list[tuple[str, str]] = []

    def wait(self, minutes: int) -> None:
        """Let time pass, at Clerk and here; the whole of a test stays below CLERKSYNC_MAX_STALENESS."""
        while minutes:
            step = min(minutes, 2)
            minutes -= step
            self.passed.seconds += 60 * step
            self.clerk.advance(seconds=60 * step)
            alarms.evaluate()

    def of(self, code: str) -> list[str]:
        """What was told of this cause."""
        return [news for news, of in self.told if of == code]


@pytest.fixture
def watched(
    clerk: FakeClerk, settings: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Watched]:
    """A mirror in step, and a list of what the signals tell; with webhooks where a test is about them."""
    settings.ADMINS = ADMINS
    is_about_webhooks = "webhook" in request.node.name
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET if is_about_webhooks else ""
    watched = Watched(clerk, Passed(monkeypatch))
    with _listening(watched):
        yield watched


@contextmanager
def _listening(watched: Watched) -> Iterator[None]:
    def on_raised(sender: object, code: str, **kwargs: Any) -> None:
        watched.told.append(("raised", code))

    def on_resolved(sender: object, code: str, **kwargs: Any) -> None:
        watched.told.append(("resolved", code))

    signals.alarm_raised.connect(on_raised)
    signals.alarm_resolved.connect(on_resolved)
    try:
        yield
    finally:
        signals.alarm_raised.disconnect(on_raised)
        signals.alarm_resolved.disconnect(on_resolved)


#: By the name of the reason: how it comes about, and what ends it.
Cause = tuple[Callable[[Watched], object], Callable[[Watched], object]]


def _fail(watched: Watched) -> None:
    watched.clerk.fail(401, on=LISTS, times=None)
    assert watched.syncer.incremental().error is not None


def _sync(watched: Watched) -> None:
    watched.clerk.clear_faults()
    watched.clerk.advance(seconds=300)
    assert watched.syncer.incremental().error is None


def _sync_all(watched: Watched, **options: Any) -> None:
    watched.clerk.clear_faults()
    assert watched.syncer.full(**options).error is None


def _cut(watched: Watched) -> None:
    small_pages(watched.clerk)
    stop = StopAfter(1)
    watched.syncer.full(on_page=stop, stop=stop.event)


def _delete_many(watched: Watched) -> None:
    for clerk_id in watched.ids[:8]:
        watched.clerk.delete_user(clerk_id)
    watched.syncer.full()


def _swap_key(watched: Watched) -> None:
    MirrorState.objects.update(instance_id="ins_another", key_fingerprint="")
    with pytest.raises(InstanceMismatch):
        watched.syncer.full()


def _swap_back(watched: Watched) -> None:
    MirrorState.objects.update(instance_id=watched.clerk.instance_id)
    _sync_all(watched)


def _forget(watched: Watched) -> None:
    MirrorState.objects.update(updates_as_of=None, deletes_as_of=None)


def _age(name: str, **by: float) -> Callable[[Watched], object]:
    return lambda watched: MirrorState.objects.update(**{name: F(name) - timedelta(**by)})


def _judged(missed: int, delivered: int) -> Callable[[Watched], object]:
    def judge(watched: Watched) -> None:
        SyncRun.objects.create(
            kind="incremental",
            state="completed",
            counts={"missed": missed, "delivered": delivered},
            started_at=timezone.now(),
            progressed_at=timezone.now(),
        )

    return judge


def _jobs(**values: Any) -> Callable[[Watched], object]:
    def change_jobs(watched: Watched) -> None:
        jobs.plan()
        ScheduledJob.objects.filter(part="prune").update(**values)
        ScheduledJob.objects.exclude(part="prune").update(next_at=timezone.now() + timedelta(days=1))

    return change_jobs


def _stop_scheduler(watched: Watched) -> None:
    jobs.plan()
    ScheduledJob.objects.update(seen_at=timezone.now() - timedelta(minutes=6))


def _events(state: str) -> Callable[[Watched], object]:
    def record(watched: Watched) -> None:
        now = timezone.now()
        WebhookEvent.objects.create(
            svix_id=state, type="user.updated", state=state, sent_at=now, received_at=now, finished_at=now
        )

    return record


def _replay(watched: Watched) -> None:
    WebhookEvent.objects.update(state="applied")


def _doubt(watched: Watched) -> None:
    doubt = {"doubt_reason": "same version, other content", "doubt_ms": 1, "retry_ms": 1}
    ClerkUser.objects.filter(pk=watched.ids[0]).update(**doubt)


def _settle(watched: Watched) -> None:
    ClerkUser.objects.update(doubt_reason="", doubt_ms=0, retry_ms=0)


def _spoil(watched: Watched) -> None:
    ClerkUser.objects.filter(pk=watched.ids[0]).update(email="placeholder@example.com")
    parts.run(Part.AUDIT)


def _mend(watched: Watched) -> None:
    assert watched.syncer.users(watched.ids[0], compare_all=True).error is None
    parts.run(Part.AUDIT)


CAUSES: dict[str, Cause] = {
    "never_synced": (_forget, _sync_all),
    "stale": (_age("updates_as_of", hours=2), _sync),
    "deletes_overdue": (_age("deletes_as_of", hours=26), _sync_all),
    "sync_failed": (_fail, _sync),
    "sync_cut": (_cut, _sync_all),
    "deletes_refused": (_delete_many, lambda watched: _sync_all(watched, allow_deletes=20)),
    "instance_mismatch": (_swap_key, _swap_back),
    "webhooks_silent": (_judged(missed=5, delivered=0), _judged(missed=0, delivered=50)),
    "webhooks_missed": (_judged(missed=5, delivered=20), _judged(missed=0, delivered=50)),
    "scheduler_dead": (_stop_scheduler, lambda watched: jobs.forget()),
    "part_overdue": (
        _jobs(next_at=datetime.fromisoformat("2026-01-01T00:00:00+00:00")),
        lambda watched: jobs.forget(),
    ),
    "part_failed": (
        _jobs(
            failures=3,
            outcome="failed",
            failing_since=datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
            next_at=datetime.fromisoformat("2036-01-01T00:00:00+00:00"),
        ),
        _jobs(failures=0, outcome="completed"),
    ),
    "doubts": (_doubt, _settle),
    "placeholders": (_spoil, _mend),
    "events_parked": (_events("parked"), _replay),
    "events_failed": (_events("failed"), _replay),
    "clock": (_age("updates_as_of", days=-1), _age("updates_as_of", days=1)),
}


def test_webhooks__repaired(watched: Watched) -> None:
    """A repair ends the one alarm, and what the silence has swallowed raises no other, then and a day later."""
    _judged(missed=20, delivered=0)(watched)
    watched.wait(2)
    assert watched.told == [("raised", "webhooks_silent")]
    _judged(missed=6, delivered=2)(watched)
    watched.wait(8)
    _judged(missed=0, delivered=8)(watched)
    watched.wait(1)
    SyncRun.objects.update(started_at=F("started_at") - timedelta(hours=23, minutes=55))
    watched.wait(8)
    assert watched.told == [("raised", "webhooks_silent"), ("resolved", "webhooks_silent")]


def test_causes__all() -> None:
    """Every reason is tried, but those without which there is nobody to tell."""
    assert CAUSES.keys() == set(reasons.CODES) - {"database_unreachable", "tables_unreadable"}


@pytest.mark.parametrize("code", CAUSES)
def test_cause__once_and_once(watched: Watched, code: str) -> None:
    """Told once when it begins, through every channel, and once when it is over; nothing else is told."""
    begin, end = CAUSES[code]
    watched.wait(2)
    assert watched.told == []
    begin(watched)
    watched.wait(16)
    assert watched.of(code) == ["raised"]
    [raised] = [message for message in mail.outbox if "Over: " not in message.subject]
    assert "Run: manage.py " in raised.body
    assert not any(clerk_id in message.body for message in mail.outbox for clerk_id in watched.ids)
    end(watched)
    watched.wait(8)
    assert watched.told == [("raised", code), ("resolved", code)]
    assert len(mail.outbox) == 2
    watched.wait(20)
    assert len(watched.told) == len(mail.outbox) == 2


def test_webhook__removed(watched: Watched) -> None:
    """A webhook route that is removed raises an alarm within two scan intervals, and is over once events come."""
    clerk, syncer, numbers = watched.clerk, watched.syncer, itertools.count()

    def scan(minutes: int) -> None:
        """The next scan, so much later."""
        watched.wait(minutes)
        assert syncer.incremental().error is None
        alarms.evaluate()

    def change_four(tell: Callable[[bytes], object]) -> None:
        change(clerk, watched.ids[:4])
        for clerk_id in watched.ids[:4]:
            tell(changed(clerk.get(clerk_id)["updated_at"], clerk_id=clerk_id))

    change_four(deliver)
    scan(5)
    assert watched.of("webhooks_silent") == []
    with override_settings(ROOT_URLCONF="tests.no_urls"):
        # Right before a scan, which is too early to judge them.
        change_four(lambda body: post(signed(body)).status_code == 404 or pytest.fail("there is a route"))
        before = timezone.now()
        scan(1)
        assert watched.of("webhooks_silent") == []
        scan(5)
        assert watched.of("webhooks_silent") == ["raised"]
        assert timezone.now() - before <= 2 * INTERVAL
    # The signatures of the library go by the machine's clock, so these do not come by the route.
    change_four(lambda body: receive(body, Delivery(f"later_{next(numbers)}", now_ms(), "")))
    scan(5)
    scan(5)
    watched.wait(7)
    assert watched.of("webhooks_silent") == ["raised", "resolved"]
