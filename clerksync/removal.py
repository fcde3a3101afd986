"""Removes rows of tombstones: the one write to the table that is not the writer's."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connections, transaction
from django.db.models.functions import Collate

from clerksync import forgotten, mirror
from clerksync.models import ClerkUser
from clerksync.records import DELETED
from clerksync.tables import UserTable


def lock_removable(ids: Iterable[str], *, before: datetime) -> list[str]:
    """Lock the rows that ``remove`` would delete, to the end of the transaction; returns whose they are."""
    using = mirror.database()
    quiet = ClerkUser.objects.using(using).filter(pk__in=list(ids), state=DELETED, doubt_reason="")
    quiet = quiet.filter(last_written__lt=before)
    if connections[using].features.has_select_for_update:
        quiet = quiet.select_for_update().order_by(Collate("clerk_id", "C"))
    return list(quiet.values_list("pk", flat=True))


def remove(ids: Iterable[str], *, before: datetime) -> list[str]:
    """Delete the rows of tombstones, and keep digests of their ids, so that nothing late revives them.

    Args:
        ids: Whose.
        before: Only rows that were last written before, so that nobody who read one earlier is still about
            to write it, and would insert it again.

    Returns:
        Whose rows are gone.

    Raises:
        django.db.models.deletion.ProtectedError: Another model does not let a row go.
        django.db.models.deletion.RestrictedError: The same.
    """
    using = mirror.database()
    users = ClerkUser.objects.using(using)
    with transaction.atomic(using=using):
        users.filter(pk="").update(user_revision=0)  # begin with a write, though of no row
        removed = lock_removable(ids, before=before)
        forgotten.add(UserTable(using).read(removed), using=using)
        users.filter(pk__in=removed).delete()
    return removed
