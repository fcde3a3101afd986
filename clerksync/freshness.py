"""Whether what the table holds of a user can be trusted on a page: pure rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from django.conf import settings as django_settings
from django.utils import timezone

from clerksync.fields import EPOCH
from clerksync.models import ClerkUser
from clerksync.records import DELETED, INCOMPLETE
from clerksync.times import aware

#: Between two reads of one user where ``CLERKSYNC_REFRESH_AFTER`` does not say.
INTERVAL = timedelta(seconds=300)
#: Between two tries to read a user who is not known yet, or is in doubt.
RETRY = timedelta(seconds=10)

_SECONDS_BELOW = 100_000_000_000
#: What becomes of a value that is null within a text, as in "null Berg".
_NULL = re.compile(r"null(\s|$)")


class Reason(StrEnum):
    """Why a user is to be read from Clerk."""

    NEW = "new"
    #: Deleted here, and yet there is a session.
    DELETED = "deleted"
    DOUBT = "doubt"
    STALE = "stale"
    CLAIMS = "claims"
    PLACEHOLDER = "placeholder"


class Hints(NamedTuple):
    """What a session token says of the user, by the names of our columns; and when, in ms."""

    values: tuple[tuple[str, Any], ...]
    issued_ms: int


def read_hints(claims: Mapping[str, Any], mapping: Mapping[str, str], *, issued_ms: int) -> Hints:
    """The custom claims that ``CLERKSYNC_CLAIM_FIELDS`` names, without those that are missing."""
    found = ((field, claims.get(claim)) for claim, field in mapping.items())
    return Hints(tuple((field, value) for field, value in found if not _is_missing(value)), issued_ms)


def _is_missing(value: object) -> bool:
    # Clerk writes a null within a text as the word.
    return value is None or value == "" or (isinstance(value, str) and _NULL.match(value) is not None)


def why_read(
    user: ClerkUser | None, *, hints: Hints, age: timedelta, refresh_after: timedelta | None, is_due: bool
) -> Reason | None:
    """Why this user is to be read from Clerk; None if what is known will do.

    Args:
        user: The row, if there is one.
        hints: What the session token says.
        age: Of what is known, as ``age_of`` tells it.
        refresh_after: How long a user is fresh; None for ever.
        is_due: Whether a doubt, if there is one, is to be settled by now.
    """
    if user is None or user.state == INCOMPLETE:
        return Reason.NEW
    if user.state == DELETED:
        return Reason.DELETED
    if user.doubt_reason and is_due:
        return Reason.DOUBT
    if refresh_after is not None and age >= refresh_after:
        return Reason.STALE
    return Reason.CLAIMS if _disagrees(user, hints) else None


def between_reads(reason: Reason, refresh_after: timedelta | None) -> timedelta:
    """How long nobody else reads the user for a session."""
    match reason:
        case Reason.NEW | Reason.DOUBT:
            return RETRY
        case Reason.DELETED:
            return INTERVAL
        case _:
            return INTERVAL if refresh_after is None else refresh_after


def age_of(user: ClerkUser | None, *, now: datetime, now_ms: int, scanned_at: datetime | None) -> timedelta:
    """How old the newest of these is: the row's snapshot, the last completed scan, the last read.

    The first two are by Clerk's clock (``now_ms``), the last is by that of our machines (``now``).
    A time that is yet to come counts as this moment.
    """
    if user is None:
        return timedelta.max
    return _age_of(user, now=now, now_ms=now_ms, scanned_at=scanned_at, checked_at=user.checked_at)


def known_age(user: ClerkUser, *, now: datetime, now_ms: int, scanned_at: datetime | None) -> timedelta:
    """How long ago the row was known to be what Clerk holds: of a read that has failed, not counted.

    Of a user who is known by the id only, since when.
    """
    if user.state == INCOMPLETE:
        return max(timedelta(0), now - aware(user.first_seen))
    # A read that does not succeed leaves a doubt.
    checked_at = None if user.needs_refresh else user.checked_at
    return _age_of(user, now=now, now_ms=now_ms, scanned_at=scanned_at, checked_at=checked_at)


def _age_of(
    user: ClerkUser, *, now: datetime, now_ms: int, scanned_at: datetime | None, checked_at: datetime | None
) -> timedelta:
    now_there = EPOCH + timedelta(milliseconds=now_ms)
    ages = [now_there - (EPOCH + timedelta(milliseconds=user.observed_ms))]
    if scanned_at is not None:
        ages.append(now_there - aware(scanned_at))
    if checked_at is not None:
        ages.append(now - aware(checked_at))
    return max(timedelta(0), min(ages))


def stored(moment: datetime) -> datetime:
    """A time with a zone as the database takes it."""
    return moment if django_settings.USE_TZ else timezone.make_naive(moment)


def _disagrees(user: ClerkUser, hints: Hints) -> bool:
    """Whether a token that is newer than the row says something else."""
    # A token is as old as its minting: what was read since knows better.
    if hints.issued_ms < user.observed_ms:
        return False
    return any(not _agrees(user, field, value) for field, value in hints.values)


def _agrees(user: ClerkUser, field: str, value: Any) -> bool:
    if field == "updated_at":
        return not isinstance(value, (int, float)) or _in_ms(value) <= user.updated_ms
    stored = getattr(user, field)
    if isinstance(stored, bool):
        return str(value).lower() == str(stored).lower()
    return str(value).strip() == (stored or "").strip()


def _in_ms(value: float) -> float:
    """Clerk's tokens have seconds where its API has milliseconds."""
    return value * 1000 if value < _SECONDS_BELOW else value
