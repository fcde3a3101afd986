"""What this process knows of users, so that not every page asks: who is fresh, who has no Django user."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import NamedTuple

from clerksync.conf import settings
from clerksync.freshness import Hints

#: Those who were noted first are forgotten first.
MAX_KNOWN = 10_000


class _Known(NamedTuple):
    """Until when a user need not be looked at, what the token said then, and under which settings."""

    until: float
    hints: tuple[object, ...]
    scope: tuple[object, ...]


_known: dict[str, _Known] = {}
_lock = threading.Lock()


def is_known(clerk_id: str) -> bool:
    """Whether the user was fresh a moment ago; what the token says aside."""
    return _find(clerk_id) is not None


def is_known_with(clerk_id: str, hints: Hints) -> bool:
    """Whether that is so, and the token says what it said then."""
    known = _find(clerk_id)
    return known is not None and known.hints == hints.values


def _find(clerk_id: str) -> _Known | None:
    """What holds still; looked up once, for another thread may forget it in between."""
    known = _known.get(clerk_id)
    return known if known is not None and known.until > time.monotonic() and known.scope == _scope() else None


def remember(clerk_id: str, *, fresh_for: timedelta, hints: Hints) -> None:
    """Note that a user is fresh for so long."""
    until = time.monotonic() + fresh_for.total_seconds()
    with _lock:
        _known.pop(clerk_id, None)
        while len(_known) >= MAX_KNOWN:
            del _known[next(iter(_known))]
        _known[clerk_id] = _Known(until, hints.values, _scope())


def forget(clerk_id: str) -> None:
    """Know nothing of a user any more; other processes do so within ``CLERKSYNC_REFRESH_AFTER``."""
    with _lock:
        _known.pop(clerk_id, None)
        _undecided.pop(clerk_id, None)


#: Seconds for which the search for somebody's Django user is not repeated.
UNDECIDED_FOR = 60.0
_undecided: dict[str, tuple[float, int, str]] = {}


def is_undecided(clerk_id: str, *, revision: int) -> bool:
    """Whether no Django user was found for this revision of the row a moment ago."""
    until, seen, key = _undecided.get(clerk_id, (0.0, 0, ""))
    return until > time.monotonic() and seen == revision and key == settings.CLERK_SECRET_KEY


def note_undecided(clerk_id: str, *, revision: int) -> None:
    """Note that no Django user was found."""
    with _lock:
        while len(_undecided) >= MAX_KNOWN:
            del _undecided[next(iter(_undecided))]
        _undecided[clerk_id] = time.monotonic() + UNDECIDED_FOR, revision, settings.CLERK_SECRET_KEY


def _scope() -> tuple[object, ...]:
    return settings.CLERK_SECRET_KEY, settings.REFRESH_AFTER
