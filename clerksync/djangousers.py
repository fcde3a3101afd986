"""What becomes of linked Django users when nothing is to be kept of a user: CLERKSYNC_USER_ON_DELETE."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import CharField, EmailField, QuerySet, TextField
from django.utils.module_loading import import_string

from clerksync.conf import settings
from clerksync.exceptions import NotAnonymized
from clerksync.logs import Log, told, where
from clerksync.models import ClerkUser
from clerksync.userfields import get_field, has_column

logger = logging.getLogger(__name__)

#: What is done without code of the project.
WORDS = ("deactivate", "leave")


def anonymizer() -> Callable[[Any], object] | None:
    """The callable that the setting names, if it names one.

    Raises:
        ImportError: There is nothing at the dotted path.
    """
    chosen = settings.USER_ON_DELETE
    if isinstance(chosen, str):
        return None if chosen in WORDS else import_string(chosen)
    return chosen


def anonymize(rows: QuerySet[ClerkUser]) -> Counter[str]:
    """Let the project's callable anonymize the Django users of these rows, in the caller's transaction.

    Returns:
        For how many it was called, by table.

    Raises:
        NotAnonymized: It failed.
    """
    call = anonymizer()
    counts: Counter[str] = Counter()
    if call is None:
        return counts
    for row in rows.filter(user__isnull=False).select_related("user").defer("payload_text"):
        try:
            call(row.user)
        except Exception as error:  # the project's own code may raise anything
            logger.error(
                "the Django user of %s was not anonymized",
                row.pk,
                exc_info=where(error),
                extra=told(Log.ERASURE_FAILED, clerk_id=row.pk),
            )
            why = f"{row.pk} was not anonymized: CLERKSYNC_USER_ON_DELETE failed ({type(error).__name__})"
            raise NotAnonymized(why) from error
        counts[get_user_model()._meta.db_table] += 1
    return counts


def blank_django_user(user: AbstractBaseUser) -> None:
    """Take name, address and password from a Django user, who cannot log in any more.

    Ready to be named in ``CLERKSYNC_USER_ON_DELETE``. Beside Django's own fields it blanks the texts of
    ``CLERKSYNC_USER_FIELDS``; what else your model holds of a person is for a callable of your own.
    """
    model: Any = type(user)
    user.set_unusable_password()
    changed = ["password"]
    for name in {"first_name", "last_name", model.get_email_field_name(), *settings.USER_FIELDS}:
        if name != model.USERNAME_FIELD and has_column(model, name) and _is_text(model, name):
            field = get_field(model, name)
            setattr(user, name, None if field.null else "" if not field.unique else _unique(field))
            changed.append(name)
    username = get_field(model, model.USERNAME_FIELD)
    if isinstance(username, (CharField, TextField)) and not username.primary_key:
        setattr(user, username.name, _unique(username))
        changed.append(username.name)
    if has_column(model, "is_active"):
        user.is_active = False
        changed.append("is_active")
    user.save(update_fields=changed)


def _is_text(model: type[AbstractBaseUser], name: str) -> bool:
    field = get_field(model, name)
    return isinstance(field, (CharField, TextField)) and not field.primary_key


def _unique(field: Any) -> str:
    """A text that nobody else has."""
    word = uuid.uuid4().hex
    return f"{word}@deleted.invalid" if isinstance(field, EmailField) else word[: field.max_length]
