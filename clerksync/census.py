"""The census: rows by state, counted by syncs for whoever asks; a million takes some tenths of a second.

Beside it, how many placeholders the last audit has found.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Count
from django.utils import timezone

from clerksync.models import ClerkUser, MirrorState

#: Frequent syncs count so often.
EVERY = timedelta(minutes=15)


def take() -> None:
    """Count the rows, and keep the numbers."""
    states = ClerkUser.objects.values_list("state").annotate(Count("pk")).order_by()
    MirrorState.objects.filter(pk=1).update(census=dict(states), census_at=timezone.now())


def note_placeholders(number: int) -> None:
    """Keep what an audit of the mirror has found."""
    MirrorState.objects.filter(pk=1).update(placeholders=number, audited_at=timezone.now())


def take_if_old() -> None:
    """The same, unless somebody has done so a while ago."""
    taken_at = MirrorState.objects.filter(pk=1).values_list("census_at", flat=True).first()
    if taken_at is None or not timedelta(0) <= timezone.now() - taken_at < EVERY:
        take()
