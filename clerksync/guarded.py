"""Changes of single values in other tables, each only where the old value is still there.

Rows are written by ``QuerySet.update``: without ``save()`` and without signals. What the database refuses
is told, and the others are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.db import DatabaseError, DataError, IntegrityError, connections, router, transaction
from django.db.models import Model

from clerksync.foreign import rows_of

#: As PostgreSQL and SQLite name a value that another row has.
_UNIQUE = frozenset({"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"})
MEANWHILE = "it was changed meanwhile"


class Change(NamedTuple):
    """One value; ``owner`` is the field and the value that say whose row it is, or nothing."""

    pk: str
    field: str
    old: str
    new: str
    owner: tuple[str, str] | None = None


def write(model: type[Model], changes: Sequence[Change]) -> dict[Change, str]:
    """Write these values in one transaction.

    Returns:
        Those that were not written, and why.
    """
    using = router.db_for_write(model)
    try:
        with transaction.atomic(using=using):
            _check_at_once(using)
            return {change: MEANWHILE for change in changes if not _update(model, change)}
    except (DataError, IntegrityError):
        pass  # one of them; now each by itself
    with transaction.atomic(using=using):
        _check_at_once(using)
        tried = ((change, _try(model, change, using)) for change in changes)
        return {change: why for change, why in tried if why}


def _try(model: type[Model], change: Change, using: str) -> str:
    try:
        with transaction.atomic(using=using):
            return "" if _update(model, change) else MEANWHILE
    except (DataError, IntegrityError) as error:
        return "another row has this value" if _code(error) in _UNIQUE else "the database does not take it"


def _update(model: type[Model], change: Change) -> bool:
    where = {"pk": change.pk, change.field: change.old}
    if change.owner is not None:
        where[change.owner[0]] = change.owner[1]
    return rows_of(model).filter(**where).update(**{change.field: change.new}) == 1


def _check_at_once(using: str) -> None:
    """Let deferred constraints speak now: at the commit nobody could tell whose value it was."""
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _code(error: DatabaseError) -> object:
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
