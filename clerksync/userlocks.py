"""Locks by which those who record events of a user and those who let go of the user wait for each other.

Whoever records shares the user's lock until the commit, whoever lets go has it alone: so the one sees what
the other has done, also of users who have no row that could be locked. The locks are PostgreSQL's and belong
to the transaction, so that no pool of connections loses them. SQLite has one writer at a time, and needs none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from django.db import connections

#: The number one, as soon as the lock of a key is shared: before the statement writes anything.
ONE_WHEN_SHARED = "(SELECT 1 FROM pg_advisory_xact_lock_shared(%s))"


def key(clerk_id: str) -> int:
    """The number of a user's lock, far from those that others may use."""
    digest = hashlib.blake2b(clerk_id.encode(), digest_size=8, person=b"clerksync")
    return int.from_bytes(digest.digest(), signed=True)


def hold(ids: Iterable[str], *, using: str) -> None:
    """Have these users' locks alone until the end of the transaction; to be done before it locks rows."""
    if connections[using].vendor != "postgresql":
        return
    with connections[using].cursor() as cursor:
        # In one order, so that two who do this never wait for each other.
        keys = sorted(map(key, ids))
        cursor.execute("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key", [keys])
