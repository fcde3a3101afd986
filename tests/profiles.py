"""How much is tried: ``short`` for every change, ``long`` for a night, or for a share of it.

``CLERKSYNC_TEST_PROFILE`` names it; ``python -m tests --long`` sets it, and ``--share`` how much of the night
there is (``CLERKSYNC_TEST_SHARE``).
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

NAME = "CLERKSYNC_TEST_PROFILE"
PROFILES = ("short", "long")
SHARE = "CLERKSYNC_TEST_SHARE"

T = TypeVar("T")


def is_long() -> bool:
    """Whether there is a night."""
    chosen = os.environ.get(NAME, PROFILES[0])
    if chosen not in PROFILES:
        raise ValueError(f"{NAME} is {chosen!r}, but must be one of: {', '.join(PROFILES)}")
    return chosen == "long"


def share() -> float:
    """How much of the night there is."""
    return part(os.environ.get(SHARE, "1"))


def part(text: str) -> float:
    """Read a share: more than 0, and 1 at most."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise ValueError(f"the share of a night must be a number over 0 and up to 1, not {text!r}")
    return number


def pick(*, short: T, long: T) -> T:
    """One value for each profile; of a long number (of examples, of seconds) the share, but never less than the short."""
    if not is_long():
        return short
    chosen: Any = long
    least: Any = short
    if isinstance(long, int | float):
        chosen = max(least, type(long)(long * share()))
    return chosen  # type: ignore[no-any-return]  # a T, whatever the kind of number
