"""The table of scheduled jobs: claims, what a run's end makes of the next one, and who takes over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from clerksync import jobs
from clerksync.jobs import Claim, Ended, Outcome
from clerksync.models import ScheduledJob
from clerksync.schedule import Part

pytestmark = pytest.mark.django_db

PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _planned() -> None:
    jobs.plan()


def row(part: Part = Part.FULL) -> ScheduledJob:
    return ScheduledJob.objects.get(part=part)


def due(part: Part = Part.FULL) -> Claim:
    """A claim of a part whose time has come."""
    ScheduledJob.objects.filter(part=part).update(next_at=PAST)
    found = jobs.claim(part)
    assert found is not None
    return found


def seconds_from_now(moment: datetime | None) -> float:
    assert moment is not None
    return (moment - timezone.now()).total_seconds()


def seconds_to_next(part: Part = Part.FULL) -> float:
    return seconds_from_now(row(part).next_at)


def test_plan__first_times() -> None:
    """What is cheap begins at once; a full sync and an audit wait for their times."""
    assert {job.part for job in ScheduledJob.objects.filter(next_at__lte=timezone.now())} == set(Part) - {
        "full",
        "audit",
    }
    assert timedelta(0) < row().next_at - timezone.now() <= timedelta(hours=24, minutes=5)
    assert timedelta(0) < row(Part.AUDIT).next_at - timezone.now() <= timedelta(days=7, minutes=5)


def test_plan__keeps_times() -> None:
    """A restart keeps the times, a changed expression gives new ones, and a part that is off has none."""
    ScheduledJob.objects.update(next_at=PAST)
    jobs.plan()
    assert set(ScheduledJob.objects.values_list("next_at", flat=True)) == {PAST}
    with override_settings(CLERKSYNC_SCHEDULE={"full": "0 4 * * *", "prune": None}):
        jobs.plan()
        assert [job.part for job in jobs.read()] == ["incremental", "full", "pending", "events", "audit"]
    assert row().next_at > timezone.now()
    assert row(Part.PENDING).next_at == PAST


def test_plan__another_zone() -> None:
    """The time zone belongs to the schedule."""
    before = row().schedule
    with override_settings(TIME_ZONE="Pacific/Auckland"):
        jobs.plan()
    assert before != row().schedule == "0 0 * * * Pacific/Auckland"


def test_claim__once() -> None:
    """A part that is due is given once, and one that is not due is not given."""
    assert jobs.claim(Part.FULL) is None
    claim = due()
    assert jobs.claim(Part.FULL) is None
    assert (claim.fence, row().fence) == (1, 1)
    assert row().holder != ""


def test_finish__completed() -> None:
    """The next run is at the next time; misses, however many, make one run."""
    job = jobs.finish(due(), Ended(Part.FULL, Outcome.COMPLETED, "3 seen"))
    assert job is not None
    assert (job.failures, row().message, row().expires_at) == (0, "3 seen", None)
    assert 0 < seconds_to_next() <= 86400 + 300


def test_finish__failed() -> None:
    """Failures are tried again with growing distances, the next time at the latest; a success ends the count."""
    waits = []
    for failures in range(1, 8):
        jobs.finish(due(), Ended(Part.FULL, Outcome.FAILED, "no"))
        assert row().failures == failures
        waits.append(seconds_to_next())
    since = row().failing_since
    assert waits == sorted(waits)
    assert waits[0] < 16
    assert 600 < waits[-1] < 1000
    assert since is not None
    jobs.finish(due(Part.PENDING), Ended(Part.PENDING, Outcome.FAILED))
    assert seconds_to_next(Part.PENDING) < 70
    jobs.finish(due(), Ended(Part.FULL, Outcome.COMPLETED))
    assert (row().failures, row().failing_since) == (0, None)


@pytest.mark.parametrize(
    ("outcome", "failures", "at_most"),
    [(Outcome.HELD, 0, 21), (Outcome.INTERRUPTED, 0, 0), (Outcome.REFUSED, 1, 86700)],
)
def test_finish__otherwise(outcome: Any, failures: int, at_most: float) -> None:
    """Another sync at work is no failure, a stop goes on at once, and refused deletes wait for the next time."""
    jobs.finish(due(), Ended(Part.FULL, outcome))
    assert row().failures == failures
    assert seconds_to_next() <= at_most
    if outcome is Outcome.HELD:
        assert seconds_to_next() > 10


def test_bury__who_died() -> None:
    """A claim that was not kept is freed once; the first time at once, and later only after a wait."""
    claim = due()
    assert not jobs.bury(row())
    ScheduledJob.objects.update(expires_at=PAST)
    dead = row()
    assert [jobs.bury(dead), jobs.bury(dead)] == [True, False]
    assert (row().outcome, row().failures) == (Outcome.DIED, 1)
    assert not jobs.renew(claim)
    assert jobs.finish(claim, Ended(Part.FULL, Outcome.COMPLETED)) is None
    again = jobs.claim(Part.FULL)
    assert again is not None
    ScheduledJob.objects.update(expires_at=PAST)
    assert jobs.bury(row())
    assert jobs.claim(Part.FULL) is None
    assert 10 < seconds_to_next() < 16


def test_renew__keeps() -> None:
    """A claim that was late is kept as long as nobody has taken over."""
    claim = due()
    ScheduledJob.objects.update(expires_at=PAST)
    assert jobs.renew(claim)
    assert not jobs.bury(row())


def test_forget() -> None:
    """Nothing is left that could be missed."""
    assert jobs.forget() == len(Part)
    assert (jobs.clock(), jobs.read()) == (None, [])


@pytest.fixture(params=["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def _naive(request: pytest.FixtureRequest) -> Iterator[None]:
    """A project with ``USE_TZ = False``, here, east and west."""
    with override_settings(USE_TZ=False, TIME_ZONE=request.param):
        jobs.forget()
        jobs.plan()
        yield


@pytest.mark.usefixtures("_naive")
def test_naive_times() -> None:
    """Projects without time zones have the same schedule."""
    assert jobs.claim(Part.FULL) is None
    claim = jobs.claim(Part.PENDING)
    assert claim is not None
    assert 50 < seconds_from_now(row(Part.PENDING).expires_at) <= 60
    job = jobs.finish(claim, Ended(Part.PENDING, Outcome.FAILED))
    assert job is not None
    assert 0 < (job.next_at - datetime.now()).total_seconds() < 70  # noqa: DTZ005
    assert not jobs.bury(job)
    assert -10 < seconds_from_now(row(Part.PENDING).finished_at) <= 0


@pytest.mark.usefixtures("_naive")
def test_naive_times__bury() -> None:
    """They free a claim as soon as it has expired, and not before."""
    assert jobs.claim(Part.PENDING) is not None
    assert not jobs.bury(row(Part.PENDING))
    ScheduledJob.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert jobs.bury(row(Part.PENDING))
    assert jobs.claim(Part.PENDING) is not None


@pytest.mark.usefixtures("_naive")
def test_naive_times__alive() -> None:
    """They know when a scheduler was seen, and when a part is due at once."""
    jobs.beat(stays=True)
    assert -10 < seconds_from_now(row().seen_at) <= 0
    assert jobs.hasten(Part.FULL)
    assert jobs.claim(Part.FULL) is not None
    ScheduledJob.objects.update(seen_at=timezone.now() - timedelta(seconds=61))
    assert not jobs.hasten(Part.FULL)


def test_hasten__scheduler_alive() -> None:
    """A part is due at once if somebody is there to take it."""
    assert not jobs.hasten(Part.FULL)
    jobs.beat(stays=True)
    assert jobs.hasten(Part.FULL)
    assert seconds_to_next() <= 0
    with override_settings(CLERKSYNC_SCHEDULE={"full": None}):
        jobs.plan()
        assert not jobs.hasten(Part.FULL)


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.FAILED, Outcome.HELD])
def test_hasten__at_work(outcome: Any) -> None:
    """Who asks while the part is at work has it run once more, and not again after that."""
    jobs.beat(stays=True)
    claim = due()
    assert jobs.hasten(Part.FULL)
    assert jobs.claim(Part.FULL) is None
    job = jobs.finish(claim, Ended(Part.FULL, outcome))
    assert job is not None
    assert seconds_from_now(job.next_at) <= 0
    again = jobs.claim(Part.FULL)
    assert again is not None
    jobs.finish(again, Ended(Part.FULL, outcome))
    assert jobs.claim(Part.FULL) is None
