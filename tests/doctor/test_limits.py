"""Questions that may hang."""

from __future__ import annotations

import threading

import pytest

from clerksync.doctor.limits import TookTooLong, within
from tests.routers import SwitchRouter, use_database


def test_answer() -> None:
    """The answer comes back, and what is set for the caller holds for the question."""
    with use_database("other"):
        assert within(5, lambda: SwitchRouter().db_for_read(object)) == "other"  # type: ignore[arg-type]


def test_error() -> None:
    """An error comes back as it was raised."""
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0)


def test_too_long() -> None:
    """Nobody waits for longer."""
    end = threading.Event()
    with pytest.raises(TookTooLong):
        within(0.05, end.wait)
    end.set()
