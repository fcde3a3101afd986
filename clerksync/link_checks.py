"""System checks of linking: rules that there are, and fields that are there on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.checks import CheckMessage, Error
from django.db import router
from django.db.models import CharField, TextField

from clerksync.conf import Settings, settings
from clerksync.linkrules import ByExternalId, ByField, email_field, parse_rule
from clerksync.models import ClerkUser
from clerksync.userfields import SOURCES, get_field, has_column, parse_rules

_RULES = 'There are: "field:NAME", "external_id", "placeholder_email" and "verified_email".'
#: Who may do what is decided in Django, unless a callable of the project says otherwise.
_NOT_CLERKS = frozenset({"is_staff", "is_superuser", "password"})


def check_link_rules(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Each rule of LINK_BY is one, and the Django user has the column that it goes by."""
    if Settings.LINK_BY.problem(settings.LINK_BY):
        return []
    return [message for text in settings.LINK_BY for message in _check_rule(text)]


def check_user_fields(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """USER_FIELDS names columns of both sides, and none that is a matter of rights."""
    if Settings.USER_FIELDS.problem(settings.USER_FIELDS):
        return []
    messages: list[CheckMessage] = []
    for target, source in settings.USER_FIELDS.items():
        if (problem := _problem(target, source)) is not None:
            hint = f"A user of Clerk has: {', '.join(sorted(SOURCES))}."
            messages.append(
                Error(f'CLERKSYNC_USER_FIELDS["{target}"]: {problem}.', hint=hint, id="clerksync.E021")
            )
    return messages


def check_user_model(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """AUTH_USER_MODEL is a model of accounts, in the database that the mirror is in."""
    if settings.LINK_USERS is not True:
        return []
    model: Any = get_user_model()
    if model is ClerkUser or not issubclass(model, AbstractBaseUser):
        return [
            Error(
                "CLERKSYNC_LINK_USERS is on, but AUTH_USER_MODEL is no model of accounts.",
                hint="Let it be auth.User or a model of your own with django.contrib.auth's AbstractBaseUser.",
                id="clerksync.E022",
            )
        ]
    if router.db_for_write(model) != router.db_for_write(ClerkUser):
        return [
            Error(
                "CLERKSYNC_LINK_USERS is on, but Django's users are in another database than Clerk's.",
                hint="A foreign key cannot leave its database: route both to the same one.",
                id="clerksync.E023",
            )
        ]
    return []


def _check_rule(text: str) -> Iterator[CheckMessage]:
    try:
        rule = parse_rule(text)
    except ValueError:
        yield Error(f"CLERKSYNC_LINK_BY has no rule {text!r}.", hint=_RULES, id="clerksync.E020")
        return
    if isinstance(rule, ByExternalId):
        return
    model = get_user_model()
    name = rule.name if isinstance(rule, ByField) else email_field()
    if not has_column(model, name) or not isinstance(get_field(model, name), (CharField, TextField)):
        yield Error(
            f"CLERKSYNC_LINK_BY has the rule {text!r}, but {model._meta.label} has no column of text {name!r}.",
            hint=_RULES,
            id="clerksync.E020",
        )


def _problem(target: str, source: Any) -> str | None:
    """What is wrong with an entry."""
    model = get_user_model()
    if not has_column(model, target) or get_field(model, target).primary_key:
        return f"{model._meta.label} has no such column of values"
    try:
        (rule,) = parse_rules({target: source})
    except ImportError:
        return "the dotted path leads nowhere"
    found: object = rule.source
    if not isinstance(found, str):
        return None if callable(found) else "the dotted path leads to nothing that can be called"
    if target in _NOT_CLERKS:
        return "this never comes from Clerk, but for a callable of yours"
    return None if found in SOURCES else f"a user of Clerk has no {found!r}"
