"""Writes the fields of Django users, as many as fit; what does not fit is left and told.

An e-mail address that moves from one user to another is released first and then claimed,
also if two users change places. Rows are written by UPDATE, field by field:
``save()`` and its signals are not called.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DataError, IntegrityError, connections, transaction
from django.db.models import CharField, Manager, Model, TextField, UniqueConstraint

from clerksync import mirror
from clerksync.linkreports import Problem, told
from clerksync.models import ClerkUser
from clerksync.userfields import Change, FieldRules, get_field

#: How long a chain of users may be who each hold what the next one is to get.
MAX_CHAIN = 10


def write(changes: Iterable[Change], rules: FieldRules, *, dry_run: bool) -> list[Problem]:
    """Write what was planned, in a transaction; the instances get the values that were written.

    Returns:
        What was left.
    """
    return _Write(changes, rules).run(dry_run=dry_run)


def update(model: type[Model], name: str, values: Mapping[Any, Any]) -> None:
    """Set one column to these values, by primary key; a tenth of what ``bulk_update`` costs."""
    if not values:
        return
    connection = connections[mirror.database()]
    field: Any = model._meta.get_field(name)
    owner = field.model._meta  # a parent, if the model inherits the column
    key: Any = owner.pk
    table, column, key_column = map(
        connection.ops.quote_name, (owner.db_table, str(field.column), str(key.column))
    )
    rows = [
        (field.get_db_prep_save(value, connection), key.get_db_prep_save(pk, connection))
        for pk, value in values.items()
    ]
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {table} SET {column} = %s WHERE {key_column} = %s", rows)  # noqa: S608  # names


class _Write:
    def __init__(self, changes: Iterable[Change], rules: FieldRules) -> None:
        self.rules = rules
        self.using = mirror.database()
        self.model: type[AbstractBaseUser] = get_user_model()
        self.users: Manager[Any] = self.model._base_manager.db_manager(self.using)
        self.changes = {change.user.pk: change for change in changes}
        self.unique = [name for name in rules.targets if _is_unique(self.model, name)]

    def run(self, *, dry_run: bool) -> list[Problem]:
        asked = set(self.changes)
        for name in self.unique:
            self._add_movers(name)
            self._drop_conflicts(name)
        if not dry_run:
            self._write_all()
        return [problem for pk in asked for problem in self.changes[pk].problems]

    def _add_movers(self, name: str) -> None:
        """Plan for those, too, who still hold what others are to get, and no longer have it at Clerk."""
        for _ in range(MAX_CHAIN):
            wanted = {change.values[name] for change in self.changes.values() if _claims(change, name)}
            holders = self.users.filter(**{f"{name}__in": wanted}, clerk_user__isnull=False)
            new = [
                self.rules.plan(user.clerk_user, user)
                for user in holders.exclude(pk__in=list(self.changes)).select_related("clerk_user")
                if user.clerk_user.state != ClerkUser.State.DELETED
            ]
            if not new:
                return
            self.changes |= {change.user.pk: change for change in new}

    def _drop_conflicts(self, name: str) -> None:
        """Leave what others hold and keep, and what others claim who were changed later."""
        claims = [change for change in self.changes.values() if _claims(change, name)]
        wanted = {change.values[name] for change in claims}
        holders = dict(self.users.filter(**{f"{name}__in": wanted}).values_list(name, "pk"))
        newest: dict[Any, Change] = {}
        for change in sorted(claims, key=lambda change: (change.row.updated_ms, change.row.pk)):
            if change.values[name] in newest:
                newest[change.values[name]].leave(name, "another user of Clerk has it as well")
            newest[change.values[name]] = change
        while conflicts := list(self._conflicts(name, newest, holders)):
            for value in conflicts:
                newest.pop(value).leave(name, f"another Django user has it ({told(holders[value])})")

    def _conflicts(self, name: str, claims: dict[Any, Change], holders: dict[Any, Any]) -> Iterator[Any]:
        for value, change in claims.items():
            holder = holders.get(value)
            if holder is not None and holder != change.user.pk and not self._leaves(holder, name):
                yield value

    def _leaves(self, pk: Any, name: str) -> bool:
        return pk in self.changes and name in self.changes[pk].values

    def _write_all(self) -> None:
        changes = [change for change in self.changes.values() if change.values]
        if not changes:
            return
        self._lock(changes)
        try:
            with _restored(changes), transaction.atomic(using=self.using):
                for name in self.unique:
                    self._release([change for change in changes if name in change.values], name)
                for name in sorted({name for change in changes for name in change.values}):
                    self._update([change for change in changes if name in change.values], name)
        except (IntegrityError, DataError):
            for change in changes:
                self._write_one(change)

    def _lock(self, changes: list[Change]) -> None:
        """Take the rows in one order: others may be about to write the same users, the movers, in another."""
        if connections[self.using].features.has_select_for_update:
            users = self.users.filter(pk__in=[change.user.pk for change in changes]).order_by("pk")
            list(users.select_for_update().values_list("pk"))

    def _release(self, changes: list[Change], name: str) -> None:
        """Let go of what another is about to get; nobody sees what stands there meanwhile."""
        field = get_field(self.model, name)
        claimed = {change.values[name] for change in changes}
        for change in changes:
            if getattr(change.user, name) not in claimed:
                continue
            if field.null:
                self.users.filter(pk=change.user.pk).update(**{name: None})
            elif isinstance(field, (CharField, TextField)):
                self.users.filter(pk=change.user.pk).update(**{name: uuid.uuid4().hex[: field.max_length]})

    def _update(self, changes: list[Change], name: str) -> None:
        for change in changes:
            setattr(change.user, name, change.values[name])
        update(self.model, name, {change.user.pk: change.values[name] for change in changes})

    def _write_one(self, change: Change) -> None:
        """Field by field, so that one which the database refuses does not keep the others back."""
        for name in sorted(change.values):
            try:
                with _restored([change]), transaction.atomic(using=self.using):
                    self._update([change], name)
            except (IntegrityError, DataError) as error:
                change.leave(name, f"the database refused it ({type(error).__name__})")


@contextmanager
def _restored(changes: list[Change]) -> Iterator[None]:
    """Give the instances their values back if the database does not take the new ones."""
    before = [{name: getattr(change.user, name) for name in change.values} for change in changes]
    try:
        yield
    except (IntegrityError, DataError):
        for change, values in zip(changes, before, strict=True):
            for name, value in values.items():
                setattr(change.user, name, value)
        raise


def _claims(change: Change, name: str) -> bool:
    return change.values.get(name) is not None


def _is_unique(model: type[AbstractBaseUser], name: str) -> bool:
    return get_field(model, name).unique or any(
        isinstance(constraint, UniqueConstraint) and tuple(constraint.fields) == (name,)
        for constraint in model._meta.constraints
    )
