"""What a user was at some time: the row as it is, with the changes since then undone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from clerksync.exceptions import PastUnknown
from clerksync.fields import EPOCH, TIMES, VOLATILE
from clerksync.models.history import ClerkUserChange

if TYPE_CHECKING:
    from clerksync.models.users import ClerkUser

_METADATA = ("public_metadata", "private_metadata", "unsafe_metadata")


def rebuild(user: ClerkUser, moment: datetime) -> ClerkUser:
    """A user as of a time of Clerk's clock, not to be saved.

    Raises:
        PastUnknown: The user was not there yet, or the history does not go back so far.
    """
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    at_ms = (aware - EPOCH) // timedelta(milliseconds=1)
    changes = list(
        ClerkUserChange.objects.using(user._state.db).filter(clerk_id=user.pk).order_by("-revision")
    )
    undone = [change for change in changes if change.at_ms > at_ms]
    past = type(user)(**{field.attname: getattr(user, field.attname) for field in user._meta.concrete_fields})
    past.payload_text = None  # has no history
    for name in VOLATILE:
        setattr(past, name, False if name == "locked" else None)
    version_ms = user.updated_ms
    for change in undone:
        if change.outcome == "created":
            raise PastUnknown(f"{user.pk} was not there at {aware.isoformat()}")
        _undo(past, change.fields)
        version_ms = change.before_ms
    _check(user, version_ms, at_ms, aware)
    if past.state == "deleted":
        _check(user, _deleted_ms(user, changes, at_ms), at_ms, aware)
    else:
        past.deleted_at, past.deleted_by = None, ""
    past.updated_ms = version_ms
    past.updated_at = _moment(version_ms)
    return past


def _check(user: ClerkUser, since_ms: int, at_ms: int, moment: datetime) -> None:
    """Whether what is left was so at that time already: since the version that it is of, or since the delete."""
    if since_ms == 0 or since_ms > at_ms:
        raise PastUnknown(
            f"what {user.pk} was at {moment.isoformat()} is not known: the history that is kept goes back to "
            f"{_moment(since_ms) or 'nothing'} (CLERKSYNC_HISTORY, CLERKSYNC_HISTORY_DAYS)"
        )


def _deleted_ms(user: ClerkUser, changes: Sequence[ClerkUserChange], at_ms: int) -> int:
    """When the user was deleted who is deleted as of that time: a delete moves no version; 0 if not known."""
    recorded = [change.at_ms for change in changes if change.outcome == "deleted" and change.at_ms <= at_ms]
    if recorded or user.deleted_at is None:
        return max(recorded, default=0)
    aware = timezone.make_aware(user.deleted_at) if timezone.is_naive(user.deleted_at) else user.deleted_at
    return (aware - EPOCH) // timedelta(milliseconds=1)


def _undo(past: Any, fields: dict[str, tuple[Any, Any]]) -> None:
    for name, (old, _) in fields.items():
        value = old
        if name in TIMES:
            value = _moment(old)
        elif name in _METADATA:
            value = json.loads(old)
        setattr(past, name, value)


def _moment(ms: int | None) -> datetime | None:
    if not ms:
        return None
    aware = EPOCH + timedelta(milliseconds=ms)
    return aware if timezone.is_aware(timezone.now()) else timezone.make_naive(aware.astimezone(UTC))
