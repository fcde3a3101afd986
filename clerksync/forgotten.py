"""Who is forgotten: tombstones that are folded down to a digest, so that nothing late revives them.

A Clerk id is random, and too long to be guessed: a plain digest tells nobody who it was, and needs
no key, whose rotation would make everybody unknown again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from django.utils import timezone

from clerksync.fields import WATCHED
from clerksync.models import ForgottenUser
from clerksync.records import DELETED, ERASED, Row


def digest(clerk_id: str) -> str:
    """What a forgotten user is known by."""
    return hashlib.blake2b(clerk_id.encode(), digest_size=16, person=b"clerksync").hexdigest()


def tombstone(*, updated_ms: int, observed_ms: int, erased: bool) -> Row:
    """The row that a forgotten user would have; a write of it is an insert."""
    return Row(
        digest=ERASED if erased else "",
        state=DELETED,
        updated_ms=updated_ms,
        observed_ms=observed_ms,
        watched=(None,) * len(WATCHED),
        deleted_ms=observed_ms,
    )


def find(ids: Sequence[str], *, using: str) -> dict[str, Row]:
    """The tombstones of those who are forgotten; one cheap statement where nobody is."""
    forgotten = ForgottenUser.objects.using(using)
    if not ids or not forgotten.exists():
        return {}
    by_digest = {digest(clerk_id): clerk_id for clerk_id in ids}
    return {
        by_digest[user.digest]: tombstone(
            updated_ms=user.updated_ms, observed_ms=user.observed_ms, erased=user.erased
        )
        for user in forgotten.in_bulk(list(by_digest)).values()
    }


def add(rows: Mapping[str, Row], *, using: str) -> None:
    """Forget these users, whose rows are being removed; belongs into that transaction."""
    now = timezone.now()
    ForgottenUser.objects.using(using).bulk_create(
        [
            ForgottenUser(
                digest=digest(clerk_id),
                updated_ms=row.updated_ms,
                observed_ms=row.observed_ms,
                erased=row.digest == ERASED,
                since=now,
            )
            for clerk_id, row in sorted(rows.items())
        ],
        update_conflicts=True,
        update_fields=["updated_ms", "observed_ms", "erased", "since"],
        unique_fields=["digest"],
    )


def drop(ids: Iterable[str], *, using: str) -> None:
    """Forget no longer: Clerk has shown these users by their ids."""
    ForgottenUser.objects.using(using).filter(pk__in=[digest(clerk_id) for clerk_id in ids]).delete()
