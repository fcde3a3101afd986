"""When the parts of the periodic work run: cron expressions, jitter, and growing distances. Knows no tables."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import pairwise

from cronsim import CronSim, CronSimError
from django.utils import timezone

from clerksync.conf import Settings, settings

#: So many sites have the same expressions that they would all call Clerk in the same second: a run
#: begins later by up to this part of the time between two runs, and by no more than MAX_JITTER.
JITTER = 0.1
MAX_JITTER = timedelta(minutes=5)
#: After a failure the next try comes after this time, then after twice that, and so on.
FIRST_RETRY = timedelta(seconds=15)
MAX_RETRY = timedelta(hours=1)
#: While another sync of the same kind is at work, it is asked again so often.
HELD_RETRY = timedelta(seconds=20)


class Part(StrEnum):
    """A part of the periodic work, in the order in which they begin if several are due."""

    INCREMENTAL = "incremental"
    FULL = "full"
    #: Read users in doubt again.
    PENDING = "pending"
    #: Replay events that are failed or parked.
    EVENTS = "events"
    #: Let go of old events, and of deleted users.
    PRUNE = "prune"
    #: Look for placeholders, and compare everybody with Clerk; nothing is mended.
    AUDIT = "audit"


#: The command that does the same by hand.
COMMANDS = {
    Part.INCREMENTAL: "manage.py sync_clerk_users --incremental",
    Part.FULL: "manage.py sync_clerk_users",
    Part.PENDING: "manage.py sync_clerk_users --pending",
    Part.EVENTS: "manage.py replay_clerk_events",
    Part.PRUNE: "manage.py prune_clerk_data",
    Part.AUDIT: "manage.py audit_clerk_users",
}


def expressions() -> dict[Part, str]:
    """The parts that are on, with their cron expressions; what the setting leaves out has its default."""
    chosen = {**Settings.SCHEDULE.default, **settings.SCHEDULE}
    return {part: expression for part in Part if (expression := chosen.get(part.value)) is not None}


def problem(expression: str) -> str | None:
    """What is wrong with a cron expression; None if nothing is."""
    if len(expression.split()) != 5:
        return "must have five fields: minute, hour, day of month, month, day of week"
    try:
        next(CronSim(expression, datetime(2000, 1, 1)))  # noqa: DTZ001  # any zone will do
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "never comes"
    return None


def next_time(expression: str, *, after: datetime, zone: tzinfo) -> datetime:
    """The first time after a moment, in UTC.

    As with cron, a fixed time that a change to summer time leaves out comes right after the gap, and one
    that comes twice in autumn is taken once; what runs every so many minutes or hours goes on by real time.
    """
    for moment in CronSim(expression, after.astimezone(zone)):
        # Within the hour that comes twice the iterator may begin in the first one.
        if (found := moment.astimezone(UTC)) > after:
            return found
    raise ValueError(f"{expression} never comes")


def longest_distance(part: Part, *, after: datetime) -> timedelta | None:
    """The longest time between two runs of a part in its next ones; None if it is off, or its expression wrong."""
    expression = expressions().get(part)
    if expression is None or problem(expression) is not None:
        return None
    zone = timezone.get_default_timezone()
    times = [after if timezone.is_aware(after) else timezone.make_aware(after)]
    for _ in range(8):  # the days of a week, and one more
        times.append(next_time(expression, after=times[-1], zone=zone))
    return max(later - earlier for earlier, later in pairwise(times[1:]))


def planned_time(expression: str, *, after: datetime, zone: tzinfo) -> datetime:
    """The same with jitter."""
    first = next_time(expression, after=after, zone=zone)
    interval = next_time(expression, after=first, zone=zone) - first
    return first + min(MAX_JITTER, interval * JITTER) * _chance()


def distance(failures: int) -> timedelta:
    """How long after the last of so many failures in a row to try again: exponential, with jitter."""
    longest = min(MAX_RETRY, FIRST_RETRY * (1 << min(failures - 1, 20)))
    return longest * (0.75 + 0.25 * _chance())


def _chance() -> float:
    return random.random()  # noqa: S311  # spreads load, guards nothing
