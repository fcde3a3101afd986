"""The clocks of the fake Clerk."""

from __future__ import annotations

import time

import pytest

from clerksync.testing import FakeClerk, RealClock, VirtualClock


def test_virtual_clock__stands_still() -> None:
    """A virtual clock shows its start until it is moved."""
    clock = VirtualClock(start_ms=5_000)
    assert [clock.now_ms(), clock.now_ms()] == [5_000, 5_000]


def test_virtual_clock__advance() -> None:
    """Seconds and milliseconds add up, and the new time is returned."""
    clock = VirtualClock(start_ms=5_000)
    assert clock.advance(ms=1, seconds=0.5) == 5_501
    assert clock.now_ms() == 5_501


def test_real_clock__system_time() -> None:
    """A real clock shows the system's time."""
    before = time.time_ns() // 1_000_000
    assert before <= RealClock().now_ms() <= time.time_ns() // 1_000_000


def test_advance__real_clock() -> None:
    """A fake that goes by the real time cannot be moved."""
    with pytest.raises(TypeError, match="VirtualClock"):
        FakeClerk(clock=RealClock()).advance(seconds=1)
