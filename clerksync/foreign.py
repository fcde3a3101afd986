"""Tables that a site had before: which they are, and which of their fields hold what of a user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import router
from django.db.models import CharField, Field, Model, QuerySet, TextField
from msgspec import Struct

from clerksync.conf import settings
from clerksync.models import ClerkUser

#: The key of an entry, and what of a user its field holds.
KEYS = {
    "clerk_id_field": "clerk_id",
    "email_field": "email",
    "name_field": "full_name",
    "first_name_field": "first_name",
    "last_name_field": "last_name",
    "username_field": "username",
    "phone_number_field": "phone_number",
}


class ForeignTable(Struct, frozen=True):
    """A table; ``fields`` are names of its fields by what of a user they hold."""

    model: type[Model]
    clerk_id_field: str
    fields: Mapping[str, str]

    @property
    def label(self) -> str:
        """Its name: ``app.Model``."""
        return self.model._meta.label

    def rows(self) -> QuerySet[Any]:
        """All rows, whatever the model's own managers hide."""
        return rows_of(self.model)


def rows_of(model: type[Model]) -> QuerySet[Any]:
    """All rows of a model, in the database that is written to."""
    return model._base_manager.using(router.db_for_write(model))


def from_settings() -> list[ForeignTable]:
    """The tables that AUDIT_MODELS names.

    Raises:
        ImproperlyConfigured: One of them is not as an audit needs it.
    """
    return [parse(entry) for entry in settings.AUDIT_MODELS]


def parse(entry: Mapping[str, str]) -> ForeignTable:
    """The table that an entry of AUDIT_MODELS says.

    Raises:
        ImproperlyConfigured: The message says what is wrong with it.
    """
    unknown = entry.keys() - KEYS.keys() - {"model"}
    if unknown:
        raise ImproperlyConfigured(f"there is no key {min(unknown)!r}; there are model, {', '.join(KEYS)}")
    for key in ("model", "clerk_id_field"):
        if not entry.get(key):
            raise ImproperlyConfigured(f"{key} is missing")
    model = find_model(entry["model"])
    named = {holds: entry[key] for key, holds in KEYS.items() if entry.get(key)}
    if len(named) == 1:
        raise ImproperlyConfigured(f"no field to audit is named; add one of {', '.join(list(KEYS)[1:])}")
    if "full_name" in named and {"first_name", "last_name"} & named.keys():
        raise ImproperlyConfigured("name_field is for the whole name, so it does not go with parts of it")
    if len(set(named.values())) < len(named):
        raise ImproperlyConfigured("a field is named twice")
    for name in named.values():
        find_field(model, name)
    return ForeignTable(model, named.pop("clerk_id"), named)


def find_model(label: str) -> type[Model]:
    """The model of this name.

    Raises:
        ImproperlyConfigured: There is none, or none that may be audited so.
    """
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        raise ImproperlyConfigured(f"there is no model {label!r}; write it as app.Model") from None
    if model._meta.concrete_model is ClerkUser:
        raise ImproperlyConfigured(f"{label} is the mirror itself, which an audit without --model is about")
    if len(getattr(model._meta, "pk_fields", (model._meta.pk,))) > 1:
        raise ImproperlyConfigured(f"{label} has a primary key of several columns, which is not supported")
    return model


def find_field(model: type[Model], name: str) -> Field[Any, Any]:
    """A column of text of the model's own table.

    Raises:
        ImproperlyConfigured: It is not.
    """
    label = model._meta.label
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        known = ", ".join(sorted(field.name for field in model._meta.local_concrete_fields))
        raise ImproperlyConfigured(f"{label} has no field {name!r}; there are {known}") from None
    if not isinstance(field, (CharField, TextField)):
        raise ImproperlyConfigured(f"{label}.{name} is no field of text")
    if field.model._meta.concrete_model is not model._meta.concrete_model:
        raise ImproperlyConfigured(f"{label}.{name} is in the table of {field.model._meta.label}; name that")
    return field
