"""Looks through all our tables for what is a person's own: to make sure that nothing is left of it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import CharField, JSONField, Model, Q, QuerySet, TextField
from django.db.models.functions import Cast
from msgspec import Struct

from clerksync.fields import UserFields
from clerksync.models import ClerkUser, ClerkUserChange, WebhookEvent

#: Shorter texts are found everywhere, and are nobody's.
MIN_LENGTH = 3
#: Texts of metadata and the like are somebody's own from this length on, and are looked for within
#: others; what is shorter must be the whole text.
LONG = 6
#: What stands under these keys of Clerk's JSON is one of a few words of Clerk's.
_WORDS = frozenset({"object", "status", "strategy", "provider", "type", "locale"})
#: Values in one statement.
_AT_ONCE = 20
_IDENTIFYING = re.compile(r".@.|^\+?\d{7,}$|^0x[0-9a-fA-F]{20,}$")
#: By which columns a row is about somebody.
_OWNERS: dict[type[Model], tuple[str, ...]] = {
    ClerkUser: ("clerk_id",),
    ClerkUserChange: ("clerk_id",),
    WebhookEvent: ("user_id", "object_id"),
}
#: The names of the tables that hold something of persons.
TABLES = tuple(model._meta.db_table for model in _OWNERS)


class Leak(Struct, frozen=True):
    """Values that were found in a column; ``rows`` says in how many rows, ``shared`` in how many of others.

    A name may be another person's as well, and an address may have moved to somebody: what is found in
    the row of another user of Clerk, or in an event about them, is theirs.
    """

    table: str
    column: str
    rows: int
    shared: int = 0


def values_of(user: ClerkUser) -> frozenset[str]:
    """The texts that are the user's: of the columns, of the metadata and of the payload."""
    columns = [getattr(user, name) for name in UserFields.__struct_fields__]
    own = {text for text in columns if isinstance(text, str) and len(text) >= MIN_LENGTH}
    return frozenset(own).union(texts_of([*columns, user.payload]) - {user.pk})


def texts_of(value: Any) -> frozenset[str]:
    """The texts in a piece of Clerk's JSON that may be somebody's own."""
    return frozenset(text for text in _texts(value) if len(text) >= LONG)


def identifying(values: Collection[str]) -> frozenset[str]:
    """Those of these texts that are of one person only: addresses, numbers, wallets."""
    return frozenset(text for text in values if _IDENTIFYING.search(text))


def search(values: Collection[str], *, clerk_id: str) -> list[Leak]:
    """Where these values are in our tables; the id itself is not looked for."""
    leaks = []
    for model in apps.get_app_config("clerksync").get_models():
        for field in model._meta.concrete_fields:
            # What has choices holds nothing but our own words.
            if isinstance(field, (CharField, TextField, JSONField)) and not field.choices:
                rows, shared = _count(model, field.name, values, clerk_id)
                if rows or shared:
                    leaks.append(Leak(model._meta.db_table, field.name, rows, shared))
    return leaks


def holding(rows: QuerySet[Any], column: str, values: Collection[str]) -> Iterator[QuerySet[Any]]:
    """Those of these rows whose column holds one of the values, in some of the ways in which JSON has them."""
    wanted = sorted({form for value in values for form in _forms(value)})
    texts = rows.alias(clerksync_text=Cast(column, TextField()))
    for start in range(0, len(wanted), _AT_ONCE):
        any_of = Q()
        for form in wanted[start : start + _AT_ONCE]:
            if len(form) >= LONG:
                any_of |= Q(clerksync_text__contains=form)
            else:
                any_of |= Q(clerksync_text=form) | Q(clerksync_text__contains=f'"{form}"')
        yield texts.filter(any_of)


def holds(text: str, values: Collection[str]) -> bool:
    """Whether a text that was found by ``holding`` holds one of these values; in any case, as for SQLite."""
    lowered = text.lower()
    forms = {form.lower() for value in values for form in _forms(value)}
    return any(form in lowered if len(form) >= LONG else _is_whole(form, lowered) for form in forms)


def _is_whole(form: str, text: str) -> bool:
    return form == text or f'"{form}"' in text


def _count(model: type[Model], column: str, values: Collection[str], clerk_id: str) -> tuple[int, int]:
    """In how many rows there are some that nobody else has a right to, and in how many somebody has."""
    found = {
        row[0]: row[1:]
        for alias in sorted({router.db_for_read(model), router.db_for_write(model)})
        for rows in holding(model._default_manager.using(alias), column, values)
        for row in rows.values_list("pk", *_OWNERS.get(model, ()))
    }
    shared = sum(_is_about_another(owners, clerk_id) for owners in found.values())
    return len(found) - shared, shared


def _is_about_another(owners: tuple[str, ...], clerk_id: str) -> bool:
    owner = next(filter(None, owners), clerk_id)
    return owner != clerk_id and owner.startswith("user_")


def _texts(value: Any, key: str = "") -> Iterator[str]:
    match value:
        case str() if key not in _WORDS:
            yield value
        case dict():
            for name, inner in value.items():
                yield from _texts(inner, name)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner, key)


def _forms(value: str) -> set[str]:
    """The value as it is, and as it stands between the quotes of JSON."""
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
