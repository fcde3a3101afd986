"""Creates the Django users of those who have none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import DatabaseError, DataError, IntegrityError, transaction
from django.db.models import CharField, EmailField, TextField

from clerksync import mirror
from clerksync.logs import Log, told, where
from clerksync.models import ClerkUser
from clerksync.userfields import Change, FieldRules, clean, get_field, has_column, reason_of

logger = logging.getLogger(__name__)


class NotCreated(Exception):
    """There can be no Django user; the message says which field is in the way, and no values."""


def create(row: ClerkUser, rules: FieldRules, *, dry_run: bool = False) -> Change:
    """Create the Django user of a row, in a transaction; what it cannot hold is left out and told.

    The user has no usable password. ``save()`` is called, so that the project's own
    receivers see the new user.

    Raises:
        NotCreated: A field that the model insists on cannot be filled.
    """
    user: AbstractBaseUser = get_user_model()()
    user.set_unusable_password()
    change = rules.plan(row, user)
    _fill(change, rules)
    for name, value in change.values.items():
        setattr(user, name, value)
    try:
        _check(user)
    except ValidationError as error:
        raise NotCreated(_in_the_way(error, rules)) from error
    while not (dry_run or _save(user)):
        _drop_taken(change, rules)
    return change


def _fill(change: Change, rules: FieldRules) -> None:
    """Give what no rule names a first value, where the model has such a field."""
    for name, value in _first_values(change.row, rules):
        if name not in rules.targets and value and has_column(rules.model, name):
            try:
                change.values[name] = clean(rules.model, name, value, change.user)
            except ValidationError as error:
                change.leave(name, reason_of(error, get_field(rules.model, name)))


def _first_values(row: ClerkUser, rules: FieldRules) -> Iterator[tuple[str, Any]]:
    """The Clerk id as the username; an address only if it is known to be the user's own."""
    model: Any = rules.model
    yield "first_name", row.first_name
    yield "last_name", row.last_name
    yield model.get_email_field_name(), row.email if row.email_verified else None
    username = get_field(rules.model, _username_field(rules.model))
    if isinstance(username, (CharField, TextField)) and not (
        isinstance(username, EmailField) or username.name == model.get_email_field_name()
    ):
        yield username.name, row.pk


def _check(user: Any) -> None:
    """The model's own rules, but for uniqueness, which only the database knows for sure."""
    user.clean_fields()
    user.clean()
    if not user.get_username():
        raise ValidationError({user.USERNAME_FIELD: ValidationError("", code="blank")})


def _save(user: AbstractBaseUser) -> bool:
    """Whether the database has taken the user."""
    try:
        with transaction.atomic(using=mirror.database()):
            user.save(force_insert=True, using=mirror.database())
    except (IntegrityError, DataError):
        return False
    except DatabaseError:
        raise
    except Exception as error:  # their own save() and receivers may raise anything
        logger.error(
            "a new %s could not be saved",
            user._meta.label,
            exc_info=where(error),
            extra=told(Log.LINK_FAILED),
        )
        raise NotCreated(f"its save() failed ({type(error).__name__})") from error
    return True


def _drop_taken(change: Change, rules: FieldRules) -> None:
    """Leave out what another Django user has, if the model can do without.

    Raises:
        NotCreated: It cannot.
    """
    user = change.user
    try:
        user.full_clean()
    except ValidationError as error:
        taken = [name for name in error.message_dict if name in change.values]
        if not taken or not all(_is_optional(rules, name) for name in taken):
            raise NotCreated(_in_the_way(error, rules)) from error
        for name in taken:
            setattr(user, name, get_field(rules.model, name).get_default())
            change.leave(name, "another Django user has it")
    else:
        raise NotCreated("the database refused it")


def _is_optional(rules: FieldRules, name: str) -> bool:
    field = get_field(rules.model, name)
    return name != _username_field(rules.model) and (field.null or field.blank)


def _username_field(model: Any) -> str:
    name: str = model.USERNAME_FIELD
    return name


def _in_the_way(error: ValidationError, rules: FieldRules) -> str:
    fields = sorted(error.error_dict) if hasattr(error, "error_dict") else []
    told = ", ".join(f"{name} ({_codes(error, name)})" for name in fields) or "clean() refuses it"
    return f"{rules.model._meta.label} needs: {told}; see CLERKSYNC_USER_FIELDS"


def _codes(error: ValidationError, name: str) -> str:
    return ", ".join(sorted({item.code or "invalid" for item in error.error_dict[name]}))
