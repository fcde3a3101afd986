"""System checks of what becomes of deleted users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error
from django.db import models

from clerksync import djangousers
from clerksync.conf import Settings, settings
from clerksync.models import ClerkUser

#: Django 6.1 has one that the database does.
_CASCADES = tuple(filter(None, (models.CASCADE, getattr(models, "DB_CASCADE", None))))


def check_cascades(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """No row of another model goes with a user's row."""
    if settings.ON_DELETE != "delete":
        return []
    return [
        Error(
            f'CLERKSYNC_ON_DELETE is "delete", and {found.related_model._meta.label}.{found.field.name} would go '
            f"with the user.",
            hint='Give the field another on_delete, such as SET_NULL, or set CLERKSYNC_ON_DELETE to "anonymize".',
            id="clerksync.E060",
        )
        for found in _pointing_at_users()
        if getattr(found, "on_delete", None) in _CASCADES
    ]


def check_user_on_delete(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What is to anonymize Django users is there."""
    if Settings.USER_ON_DELETE.problem(settings.USER_ON_DELETE):
        return []
    try:
        found: object = djangousers.anonymizer()
    except ImportError:
        problem = "is a dotted path that leads nowhere"
    else:
        if found is None or callable(found):
            return []
        problem = "is the dotted path of nothing that can be called"
    return [
        Error(
            f"CLERKSYNC_USER_ON_DELETE {problem}.",
            hint="Name a function that takes a Django user, such as clerksync.djangousers.blank_django_user.",
            id="clerksync.E061",
        )
    ]


def _pointing_at_users() -> list[Any]:
    """The relations of other models to a user's row, hidden ones (``related_name="+"``) too."""
    fields: Sequence[Any] = ClerkUser._meta.get_fields(include_hidden=True)
    relations = [field for field in fields if field.auto_created and not field.concrete]
    # The rows of a ManyToManyField tie two others together, and have to go with either.
    return [found for found in relations if not found.related_model._meta.auto_created]
