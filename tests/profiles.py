"""How much is tried: ``short`` for every change, ``long`` for a night.

``CLERKSYNC_TEST_PROFILE`` names it; ``python -m tests --long`` sets it.
"""

from __future__ import annotations

import os
from typing import TypeVar

NAME = "CLERKSYNC_TEST_PROFILE"
PROFILES = ("short", "long")

T = TypeVar("T")


def is_long() -> bool:
    """Whether there is a whole night."""
    chosen = os.environ.get(NAME, PROFILES[0])
    if chosen not in PROFILES:
        raise ValueError(f"{NAME} is {chosen!r}, but must be one of: {', '.join(PROFILES)}")
    return chosen == "long"


def pick(*, short: T, long: T) -> T:
    """One value for each profile."""
    return long if is_long() else short
