"""Years, months and days in the current time zone, as ranges of Clerk's milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from msgspec import Struct

_WRITTEN = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", re.ASCII)
#: How each is shown, by how many parts it has.
_FORMATS = {1: "Y", 2: "YEAR_MONTH_FORMAT", 3: "DATE_FORMAT"}


class Period(Struct, frozen=True):
    """A year, a month or a day: ``(2026,)``, ``(2026, 5)`` or ``(2026, 5, 17)``."""

    parts: tuple[int, ...]

    @property
    def start_ms(self) -> int:
        """The first millisecond."""
        return _ms(_first_day(self.parts))

    @property
    def end_ms(self) -> int:
        """The first millisecond after it."""
        match self.parts:
            case (year,):
                return _ms(date(year + 1, 1, 1))
            case (year, month):
                return _ms(date(year + month // 12, month % 12 + 1, 1))
            case _:
                return _ms(_first_day(self.parts) + timedelta(days=1))

    def around(self) -> Iterator[Period]:
        """The periods that it lies in, the longest first, and itself."""
        return (Period(self.parts[: length + 1]) for length in range(len(self.parts)))

    def within(self, first: Period, last: Period) -> Iterator[Period]:
        """The months of a year or the days of a month, from the day ``first`` to the day ``last``."""
        length = len(self.parts) + 1
        for number in range(1, {2: 13, 3: 32}.get(length, 0)):
            part = Period((*self.parts, number))
            if first.parts[:length] <= part.parts <= last.parts[:length] and part.exists:
                yield part

    @property
    def exists(self) -> bool:
        """Whether the calendar has it, and a next one."""
        try:
            return self.start_ms < self.end_ms
        except (ValueError, OverflowError):
            return False

    def __str__(self) -> str:
        return "-".join(f"{part:02}" for part in self.parts)

    @property
    def title(self) -> str:
        """For people."""
        return date_format(_first_day(self.parts), _FORMATS[len(self.parts)])


def parse(text: str | None) -> Period | None:
    """Read ``2026``, ``2026-05`` or ``2026-05-17``; None if there is no such period."""
    match = _WRITTEN.fullmatch(text or "")
    if match is None:
        return None
    period = Period(tuple(int(part) for part in match.groups() if part is not None))
    return period if period.exists else None


def day_of(ms: int) -> Period:
    """The day of a moment."""
    moment = datetime.fromtimestamp(ms / 1000, UTC).astimezone(timezone.get_current_timezone())
    return Period((moment.year, moment.month, moment.day))


def _first_day(parts: tuple[int, ...]) -> date:
    year, month, day = (*parts, 1, 1)[:3]
    return date(year, month, day)


def _ms(day: date) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=timezone.get_current_timezone())
    return int(midnight.timestamp() * 1000)
