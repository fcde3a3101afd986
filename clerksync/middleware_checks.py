"""System checks of the middleware: where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string

from clerksync.conf import settings

_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
_LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def check_middleware_order(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """ClerkMiddleware stands once, after AuthenticationMiddleware, and before whoever asks for a login."""
    names = list(django_settings.MIDDLEWARE)
    ours = [index for index, name in enumerate(names) if _is_ours(name)]
    if not ours:
        return _check_unused_linking()
    messages: list[CheckMessage] = []
    if len(ours) > 1:
        messages.append(
            Error(
                "ClerkMiddleware stands in MIDDLEWARE more than once.",
                hint="Remove all but one.",
                id="clerksync.E013",
            )
        )
    if _AUTHENTICATION in names and names.index(_AUTHENTICATION) > ours[0]:
        messages.append(
            Error(
                "ClerkMiddleware stands before AuthenticationMiddleware, which would set request.user anew.",
                hint="Move it behind django.contrib.auth.middleware.AuthenticationMiddleware.",
                id="clerksync.E014",
            )
        )
    if _LOGIN_REQUIRED in names and names.index(_LOGIN_REQUIRED) < ours[-1]:
        messages.append(
            Warning(
                "LoginRequiredMiddleware stands before ClerkMiddleware, so it does not see Clerk's sessions.",
                hint="Move ClerkMiddleware between AuthenticationMiddleware and LoginRequiredMiddleware.",
                id="clerksync.W006",
            )
        )
    return messages


def _check_unused_linking() -> list[CheckMessage]:
    if not settings.LINK_USERS:
        return []
    return [
        Warning(
            "CLERKSYNC_LINK_USERS is on, but ClerkMiddleware is not in MIDDLEWARE: "
            "a Clerk session does not set request.user.",
            hint="Add clerksync.middleware.ClerkMiddleware behind AuthenticationMiddleware, "
            "or silence this if another part authenticates.",
            id="clerksync.W007",
        )
    ]


def _is_ours(name: str) -> bool:
    try:
        found = import_string(name)
    except ImportError:
        return False  # Django says so itself when it starts
    # By name, since this module is imported before the models can be.
    return any(base.__module__ == "clerksync.middleware" for base in getattr(found, "__mro__", ()))
