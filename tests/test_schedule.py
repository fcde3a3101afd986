"""When parts run: cron expressions over both changes of the clocks, jitter, growing distances."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings

from clerksync import schedule
from clerksync.schedule import Part
from clerksync.schedule_checks import check_schedule

BERLIN = ZoneInfo("Europe/Berlin")


def times(expression: str, *, after: datetime, count: int) -> list[str]:
    """The next times, in UTC; each from the one before, as the scheduler asks for them."""
    found = []
    for _ in range(count):
        after = schedule.next_time(expression, after=after, zone=BERLIN)
        found.append(f"{after:%d %H:%M}")
    return found


def test_next_time__of_the_zone() -> None:
    """Midnight is that of the project's time zone, whatever the zone of the moment; a hit is not its own next."""
    midnight = datetime(2026, 1, 5, 23, tzinfo=UTC)
    assert schedule.next_time("0 0 * * *", after=midnight - timedelta(seconds=1), zone=BERLIN) == midnight
    assert schedule.next_time("0 0 * * *", after=midnight, zone=BERLIN) == midnight + timedelta(days=1)
    assert schedule.next_time("0 0 * * *", after=midnight.astimezone(BERLIN), zone=UTC).hour == 0


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["28 01:30", "29 01:00", "30 00:30"]),
        ("0 0 * * *", ["28 23:00", "29 22:00", "30 22:00"]),
    ],
)
def test_next_time__summer_begins(expression: str, expected: list[str]) -> None:
    """A time that the clocks leave out comes right after the gap: no day without a full sync."""
    assert times(expression, after=datetime(2026, 3, 28, 0, 0, tzinfo=UTC), count=3) == expected


def test_next_time__summer_ends() -> None:
    """A time that comes twice is taken once, the first time; also for who asks in the hour between."""
    start = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
    assert times("30 2 * * *", after=start, count=2) == ["25 00:30", "26 01:30"]
    for minutes in range(0, 120, 5):
        asked = datetime(2026, 10, 25, 0, 31, tzinfo=UTC) + timedelta(minutes=minutes)
        assert times("30 2 * * *", after=asked, count=1) == ["26 01:30"]


@pytest.mark.parametrize(
    "start", [datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC)]
)
def test_next_time__intervals_go_on(start: datetime) -> None:
    """Every 5 minutes is every 5 minutes of real time, over both changes."""
    after, found = start, []
    for _ in range(200):
        after = schedule.next_time("*/5 * * * *", after=after, zone=BERLIN)
        found.append(after)
    assert {second - first for first, second in pairwise(found)} == {timedelta(minutes=5)}


@pytest.mark.parametrize(
    ("expression", "limit"), [("* * * * *", 6), ("*/5 * * * *", 30), ("*/10 * * * *", 60), ("0 0 * * *", 300)]
)
def test_jitter__bounded(expression: str, limit: float) -> None:
    """Runs begin up to a tenth of their distance later, never earlier, and not all at the same time."""
    after = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
    sharp = schedule.next_time(expression, after=after, zone=BERLIN)
    late = [
        (schedule.planned_time(expression, after=after, zone=BERLIN) - sharp).total_seconds()
        for _ in range(300)
    ]
    assert 0 <= min(late) < limit * 0.1
    assert limit * 0.9 < max(late) <= limit


def test_distance__grows() -> None:
    """Each try comes later than the one before, up to an hour."""
    seconds = [[schedule.distance(failures).total_seconds() for _ in range(50)] for failures in range(1, 40)]
    assert min(seconds[0]) >= 11
    assert max(seconds[0]) <= 15
    for shorter, longer in pairwise(seconds[:8]):
        assert max(shorter) < min(longer)
    assert max(seconds[-1]) <= 3600


def test_expressions__defaults_and_off() -> None:
    """What is left out has its default, and None turns a part off."""
    assert list(schedule.expressions()) == list(Part)
    with override_settings(CLERKSYNC_SCHEDULE={"full": "0 4 * * 0", "prune": None, "audit": None}):
        found = schedule.expressions()
    assert (found[Part.FULL], found[Part.INCREMENTAL]) == ("0 4 * * 0", "*/5 * * * *")
    assert not {Part.PRUNE, Part.AUDIT} & found.keys()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"hourly": "0 * * * *"}, "CLERKSYNC_SCHEDULE['hourly'] is no part; there are incremental, full, "),
        ({"full": "* * * * * *"}, "CLERKSYNC_SCHEDULE['full'] is no cron expression: must have five fields"),
        ({"full": "@daily"}, "CLERKSYNC_SCHEDULE['full'] is no cron expression: must have five fields"),
        ({"full": "61 0 * * *"}, "CLERKSYNC_SCHEDULE['full'] is no cron expression: bad minute."),
        ({"prune": "0 0 31 2 *"}, "CLERKSYNC_SCHEDULE['prune'] is no cron expression: "),
    ],
)
def test_check__wrong(chosen: dict[str, str], message: str) -> None:
    """Unknown parts and bad expressions are errors."""
    with override_settings(CLERKSYNC_SCHEDULE=chosen):
        [found] = check_schedule(None)
    assert (found.id, found.is_serious()) == ("clerksync.E041", True)
    assert found.msg.startswith(message)


def test_check__right() -> None:
    """The default, names of days and parts that are off are fine."""
    assert check_schedule(None) == []
    with override_settings(CLERKSYNC_SCHEDULE={"full": "0 0 * * SUN", "prune": None}):
        assert check_schedule(None) == []


def test_next_time__never() -> None:
    """What never comes is an error and no endless loop."""
    assert schedule.problem("0 0 31 2 *") is not None
    assert schedule.problem("0 0 29 2 *") is None


def test_audit__weekly() -> None:
    """An audit reads everybody, so it comes once a week, and not when the full sync begins."""
    every = schedule.longest_distance(Part.AUDIT, after=datetime(2026, 6, 1, tzinfo=UTC))
    assert every == timedelta(days=7)
    defaults = schedule.expressions()
    assert defaults[Part.AUDIT].split()[:2] != defaults[Part.FULL].split()[:2]
