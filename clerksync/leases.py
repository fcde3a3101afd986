"""One sync of a kind and one audit at a time, across processes and hosts: a lease in the database.

No advisory locks (PgBouncer, SQLite) and no local clock: the lease expires by the
database's clock, and every holder has a fencing number. A holder that was away past
its expiry can go on only if nobody has taken over.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache, reduce
from operator import or_
from typing import Any, Literal

from django.db import DatabaseError, connections, router, transaction
from django.db.models import BooleanField, DateTimeField, Exists, ExpressionWrapper, F, Q, QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.db.models.sql import UpdateQuery
from msgspec import Struct

from clerksync.exceptions import LeaseHeld, LeaseLost
from clerksync.logs import Log, told
from clerksync.models import MirrorState, SyncRun

logger = logging.getLogger(__name__)

Kind = Literal["full", "incremental", "audit"]

KINDS: tuple[Kind, ...] = ("full", "incremental", "audit")
_NOUNS: dict[Kind, str] = {"full": "full sync", "incremental": "incremental sync", "audit": "audit"}
_ARTICLES: dict[Kind, str] = {"full": "a", "incremental": "an", "audit": "an"}

#: A dead holder is in the way for no longer than this.
DURATION = timedelta(seconds=60)


class Lease(Struct, frozen=True):
    """The right to do one kind of work: to write pages of a sync, or to audit."""

    kind: Kind
    holder: str
    fence: int

    def renew(self) -> None:
        """Keep the lease; the first statement of each page's transaction.

        Raises:
            LeaseLost: Another sync has taken over.
        """
        using = router.db_for_write(MirrorState)
        with connections[using].cursor() as cursor:
            cursor.execute(*_renewal(self.kind, self.fence, using))
            is_mine = cursor.rowcount > 0
        if not is_mine:
            raise LeaseLost(
                f"another {_NOUNS[self.kind]} has taken over, because this one showed no progress for "
                f"{DURATION.seconds} s; it does the rest"
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction for something else than a page, unless another sync has taken over."""
        with transaction.atomic(using=router.db_for_write(MirrorState)):
            self.renew()
            yield

    def release(self) -> None:
        """Give the lease back, if it is still ours."""
        mine = MirrorState.objects.filter(pk=1, **{f"{self.kind}_fence": self.fence})
        mine.update(**{f"{self.kind}_expires_at": None, f"{self.kind}_holder": ""})


@contextmanager
def hold(kind: Kind) -> Iterator[Lease]:
    """Hold the lease for a block.

    Raises:
        LeaseHeld: Another sync of this kind is at work.
    """
    lease = acquire(kind)
    try:
        yield lease
    finally:
        try:
            lease.release()
        except DatabaseError as error:  # what happened in the block is told, and not this
            logger.warning(
                "the lease of %s %s was not given back (%s) and expires by itself",
                _ARTICLES[kind],
                _NOUNS[kind],
                type(error).__name__,
                extra=told(Log.LEASE_KEPT, kind=kind),
            )


def acquire(kind: Kind) -> Lease:
    """Take the lease if nobody has it, or if its holder let it expire.

    Raises:
        LeaseHeld: The message names the holder.
    """
    MirrorState.objects.get_or_create(pk=1)
    holder = f"{socket.gethostname()}:{os.getpid()}"
    expires = f"{kind}_expires_at"
    free = MirrorState.objects.filter(
        Q(**{f"{expires}__isnull": True}) | Q(**{f"{expires}__lt": Now()}), pk=1
    )
    fence = f"{kind}_fence"
    # In one transaction, so that the fence that is read is the one that was set.
    with transaction.atomic(using=router.db_for_write(MirrorState)):
        taken = free.update(**{f"{kind}_holder": holder, fence: F(fence) + 1, expires: _expiry()})
        state = MirrorState.objects.get(pk=1)
    if not taken:
        raise LeaseHeld(_held(state, kind))
    return Lease(kind=kind, holder=holder, fence=getattr(state, fence))


def is_held(kind: Kind) -> Combinable:
    """Of the row of MirrorState: whether somebody holds the lease."""
    return ExpressionWrapper(Q(**{f"{kind}_expires_at__gt": Now()}), output_field=BooleanField())


def with_deaths(runs: QuerySet[SyncRun]) -> QuerySet[SyncRun]:
    """Annotate ``is_dead``: the run is said to be at work, but nobody holds its lease."""
    lost = [
        Q(~Exists(MirrorState.objects.filter(pk=1, **{f"{kind}_expires_at__gt": Now()})), kind=kind)
        for kind in KINDS
    ]
    is_dead = Q(reduce(or_, lost), state=SyncRun.State.RUNNING)
    return runs.annotate(is_dead=ExpressionWrapper(is_dead, output_field=BooleanField()))


def _held(state: MirrorState, kind: Kind) -> str:
    until: datetime | None = getattr(state, f"{kind}_expires_at")
    if until is None:
        return f"{_ARTICLES[kind]} {_NOUNS[kind]} was at work and has just ended; run the command again"
    return (
        f"{_ARTICLES[kind]} {_NOUNS[kind]} is at work: {getattr(state, f'{kind}_holder')}. If that process is "
        f"dead, its lease expires at {until:%H:%M:%S %Z}; run the command again then"
    )


@lru_cache(maxsize=8)
def _renewal(kind: Kind, fence: int, using: str) -> tuple[str, tuple[Any, ...]]:
    """The statement that renews a lease: the ORM takes longer to build it than the database to run it."""
    mine = MirrorState.objects.filter(pk=1, **{f"{kind}_fence": fence})
    query: Any = mine.query.chain(UpdateQuery)
    query.add_update_values({f"{kind}_expires_at": _expiry()})
    sql, params = query.get_compiler(using).as_sql()
    return sql, params


def _expiry() -> Combinable:
    return ExpressionWrapper(Now() + DURATION, output_field=DateTimeField())
