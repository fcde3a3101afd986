"""Lets go of deleted users: blanks all that is kept of them, and removes their rows if that is wanted.

Clerk's columns are blanked by the writer, under its guard; what else holds something of a person is
blanked in the same transaction.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from threading import Event

from django.db import transaction
from django.db.models import ProtectedError, Q, RestrictedError
from django.utils import timezone

from clerksync import djangousers, known, mentions, mirror, removal, signals, userlocks
from clerksync.breaker import WINDOW
from clerksync.conf import settings
from clerksync.exceptions import NotAnonymized, SyncInterrupted
from clerksync.fields import WATCHED
from clerksync.logs import Log, told
from clerksync.managers import ClerkUserQuerySet
from clerksync.models import ClerkUser
from clerksync.payloads import Kind, blank
from clerksync.records import BLANK, is_blank

logger = logging.getLogger(__name__)

#: Users in one transaction.
BATCH = 200
#: A row is removed so long after its last write at the earliest: by then nobody who has read it before is
#: still about to write it.
QUIET = timedelta(hours=1)
_TABLE = ClerkUser._meta.db_table


def anonymize(
    clerk_ids: Iterable[str], *, for_good: bool, observed_ms: int = 0, events: Sequence[int] = ()
) -> Counter[str]:
    """Blank all that is kept of these users, in one transaction.

    Args:
        clerk_ids: Deleted users; the others are left alone, unless it is ``for_good``.
        for_good: Let nothing bring them back, whatever Clerk shows; whoever is not deleted is from now on.
        observed_ms: The time of that, in ms of Clerk's clock.
        events: The keys of events that are blanked as well, beside those about the users:
            ``mentions.find_texts`` finds them.

    Returns:
        How many rows were blanked, by table.

    Raises:
        NotAnonymized: The project's own code failed for a Django user; nothing was blanked.
    """
    kind = Kind.ERASED if for_good else Kind.ANONYMIZED
    ids = sorted(set(clerk_ids))
    with _transaction():
        userlocks.hold(ids, using=mirror.database())
        changes = mirror.apply([blank(clerk_id, kind, observed_ms=observed_ms) for clerk_id in ids])
        written = sum(change.outcome in ("touched", "deleted") for change in changes.values())
        gone = [clerk_id for clerk_id, row in mirror.read(ids).items() if is_blank(row)]
        counts = Counter({_TABLE: written}) + _blank_others(gone) + mentions.blank_found(events)
        transaction.on_commit(partial(_tell, gone), using=mirror.database())
    return counts


def lift(clerk_id: str, *, observed_ms: int) -> bool:
    """Let a user who was anonymized for good be read from Clerk again; whether there is one."""
    change = mirror.apply([blank(clerk_id, Kind.LIFTED, observed_ms=observed_ms)])[clerk_id]
    return change.needs_refresh


def prune(*, stop: Event | None = None) -> dict[str, int]:
    """Do to deleted users what ``CLERKSYNC_ON_DELETE`` says, once their time has come.

    Returns:
        How many were anonymized, and how many rows were removed.

    Raises:
        SyncInterrupted: ``stop`` was set; the next run goes on.
    """
    done = {"anonymized": 0, "removed": 0}
    if settings.ON_DELETE == "keep":
        return done
    due, now = _due(), timezone.now()
    if settings.ON_DELETE == "delete":
        # The breaker counts the rows of whom nobody but a sync found gone: they stay for its time, though blank.
        stays = Q(deleted_by="absence", deleted_at__gt=now - WINDOW)
        if djangousers.anonymizer() is None:
            # Whose Django user it is must be known, or whoever signs up with that address would be let in as it.
            stays |= Q(user__isnull=False)
        removable = due.filter(last_written__lt=now - QUIET).exclude(stays)
        due = due.filter(stays)
        needed = mentions.of_open_runs()
        # Before anybody is removed, or nobody would make up for it if this is cut short.
        with _transaction():
            mentions.remove_from_books(set(removable.values_list("pk", flat=True)) - needed)
        for ids in _batches(removable, without=needed):
            done["removed"] += _guarded(partial(_remove, ids))
            _heed(stop, done)
    is_blank_already = Q(digest__in=BLANK, payload_text=None, **dict.fromkeys(WATCHED))
    for ids in _batches(due.exclude(is_blank_already)):
        done["anonymized"] += _guarded(partial(_blank, ids))
        _heed(stop, done)
    return done


def _due() -> ClerkUserQuerySet:
    """The deleted users whose time has come."""
    until = timezone.now() - timedelta(days=settings.ANONYMIZE_AFTER_DAYS)
    return _users().deleted().filter(doubt_reason="", deleted_at__lte=until)


def _blank(ids: Sequence[str]) -> int:
    return anonymize(ids, for_good=False)[_TABLE]


def _guarded(work: Callable[[], int]) -> int:
    """A batch; what the project's own code fails for is left to the next run."""
    try:
        return work()
    except NotAnonymized as error:
        logger.error("%s; the next run tries again", error, extra=told(Log.ERASURE_FAILED))
        return 0


def _heed(stop: Event | None, done: dict[str, int]) -> None:
    if stop is not None and stop.is_set():
        raise SyncInterrupted(f"stopped after {sum(done.values())} deleted users; the next run goes on")


def _batches(due: ClerkUserQuerySet, *, without: Collection[str] = ()) -> Iterator[list[str]]:
    """Their ids, those first who left first."""
    # Where the project has code of its own for each user, a failure costs this user only.
    size = BATCH if djangousers.anonymizer() is None else 1
    rest = due.order_by("deleted_at", "pk")
    while found := list(rest.values_list("deleted_at", "pk")[:size]):
        yield [clerk_id for _, clerk_id in found if clerk_id not in without]
        at, last = found[-1]
        rest = due.filter(Q(deleted_at__gt=at) | Q(deleted_at=at, pk__gt=last)).order_by("deleted_at", "pk")


def _remove(ids: Sequence[str]) -> int:
    """Remove rows, and what is kept of these users beside them; one that another model protects stays, blank."""
    before = timezone.now() - QUIET
    try:
        with _transaction():
            userlocks.hold(ids, using=mirror.database())
            gone = removal.lock_removable(ids, before=before)  # without who has come back meanwhile
            _blank_others(gone)
            removed = removal.remove(gone, before=before)
            mentions.remove_from_events(removed)
            transaction.on_commit(partial(_tell, removed), using=mirror.database())
    except (ProtectedError, RestrictedError):
        if len(ids) > 1:
            return sum(_remove([clerk_id]) for clerk_id in ids)
        if not is_blank(mirror.read(ids).get(ids[0])):
            _blank_protected(ids[0])
        return 0
    return len(removed)


def _blank_protected(clerk_id: str) -> None:
    logger.warning(
        "the row of %s stays, without content: another model protects it",
        clerk_id,
        extra=told(Log.ROW_PROTECTED, clerk_id=clerk_id),
    )
    anonymize([clerk_id], for_good=False)


def _blank_others(ids: Sequence[str]) -> Counter[str]:
    """Blank what is kept of these users beside their rows."""
    _users().filter(pk__in=ids, checked_at__isnull=False).update(checked_at=None)
    return mentions.blank(ids) + djangousers.anonymize(_users().filter(pk__in=ids))


def _tell(ids: Sequence[str]) -> None:
    for clerk_id in ids:
        known.forget(clerk_id)
    if ids:
        signals.users_anonymized.send_robust(ClerkUser, clerk_ids=list(ids))


@contextmanager
def _transaction() -> Iterator[None]:
    """One that begins with a write, though of no row: SQLite lets nobody in between."""
    with transaction.atomic(using=mirror.database()):
        _users().filter(pk="").update(user_revision=0)
        yield


def _users() -> ClerkUserQuerySet:
    return ClerkUser.objects.using(mirror.database())
