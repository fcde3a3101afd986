"""The watermarks: up to when all updates and all deletes are known, in Clerk's clock.

They say what Clerk's lists showed by then. That a change is listed within CLERKSYNC_OVERLAP is assumed.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NamedTuple

from django.conf import settings as django_settings
from django.utils import timezone

from clerksync.models import MirrorState

#: Clerk's ``Date`` has whole seconds, and its machines' clocks may differ: so far its time may go back.
TOLERANCE_MS = 10_000


class Watermarks(NamedTuple):
    """Both in ms; None: nothing is known."""

    updates_ms: int | None = None
    deletes_ms: int | None = None


def known() -> Watermarks:
    """What the table is known to hold."""
    values = MirrorState.objects.filter(pk=1).values_list("updates_as_of", "deletes_as_of").first()
    return Watermarks(*(_ms(moment) for moment in values)) if values else Watermarks()


def advance(*, now_ms: int, updates_ms: int | None = None, deletes_ms: int | None = None) -> None:
    """Move watermarks on; belongs into a transaction that has locked the row, as renewing a lease does.

    A long full sync ends with an older watermark than the scans that ran meanwhile: the later one stays.
    One from the future cannot be true: it gives way, and is not set.

    Args:
        now_ms: Clerk's time.
        updates_ms: When the walk or the scan began that has read everybody who was changed before.
        deletes_ms: When the walk began whose missing users have all been judged.
    """
    before = known()
    values: dict[str, object] = {"skew_ms": time.time_ns() // 1_000_000 - now_ms}
    for name, new, old in (
        ("updates_as_of", updates_ms, before.updates_ms),
        ("deletes_as_of", deletes_ms, before.deletes_ms),
    ):
        if new is not None and new <= now_ms + TOLERANCE_MS and (old is None or not new <= old <= now_ms):
            moment = datetime.fromtimestamp(new / 1000, UTC)
            values[name] = moment if django_settings.USE_TZ else timezone.make_naive(moment)
    MirrorState.objects.filter(pk=1).update(**values)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
