"""Times as the databases take them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clerksync.fields import MAX_MS
from clerksync.times import adapt_ms, adapt_time

SQLITE = SimpleNamespace(vendor="sqlite", timezone=UTC)
SQLITE_IN_NEW_YORK = SimpleNamespace(vendor="sqlite", timezone=ZoneInfo("America/New_York"))
POSTGRESQL = SimpleNamespace(vendor="postgresql")


@given(st.integers(0, MAX_MS))
@example(0)
@example(1)
@example(59_999)
@example(86_399_999)
@example(951_782_400_000)  # the 29th of February 2000
@example(MAX_MS)
def test_adapt_ms__writes_what_datetime_writes(ms: int) -> None:
    """The short way gives the very text of the long one."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert adapt_ms(POSTGRESQL, ms) == adapt_time(POSTGRESQL, moment) == moment.isoformat(" ")
    assert adapt_ms(SQLITE, ms) == adapt_time(SQLITE, moment) == moment.replace(tzinfo=None).isoformat(" ")


@pytest.mark.parametrize(("ms", "text"), [(0, "1969-12-31 19:00:00"), (1, "1969-12-31 19:00:00.001000")])
def test_adapt_ms__in_the_zone_of_the_database(ms: int, text: str) -> None:
    """SQLite's times have no zone; they are in that of ``DATABASES``."""
    assert adapt_ms(SQLITE_IN_NEW_YORK, ms) == text


def test_adapt_ms__none() -> None:
    """No time is no time."""
    assert [adapt_ms(one, None) for one in (POSTGRESQL, SQLITE, SQLITE_IN_NEW_YORK)] == [None] * 3
