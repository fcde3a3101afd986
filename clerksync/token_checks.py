"""System checks of session tokens: the key, and who may have issued them and asked for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from clerksync.conf import Setting, Settings, settings
from clerksync.public_keys import parse_pem

#: As browsers send it: in small letters, without the scheme's own port.
_ORIGIN = re.compile(
    r"(?!https://.*:443\Z|http://.*:80\Z)"
    r"[a-z][a-z0-9+.-]*://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[1-9]\d{0,4})?"
)
_ISSUER = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*[^\s?#/])?")
_MIDDLEWARE = "clerksync.middleware."


def check_jwt_key(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The public key, if there is one, can be read."""
    if _has_wrong_type(Settings.CLERK_JWT_KEY) or not settings.CLERK_JWT_KEY:
        return []
    try:
        parse_pem(settings.CLERK_JWT_KEY)
    except ImproperlyConfigured as error:
        message = "CLERK_JWT_KEY cannot be used, so no session token is accepted."
        return [Error(message, hint=str(error), id="clerksync.E010")]
    return []


def check_authorized_parties(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Each party is an origin; anything else equals no token's, and locks everybody out."""
    if _has_wrong_type(Settings.AUTHORIZED_PARTIES):
        return []
    hint = (
        "Write it as browsers do: scheme and host in small letters, the port if it is an unusual one, no "
        "path and no slash at the end, such as https://app.example.com."
    )
    return [
        Error(
            f"CLERKSYNC_AUTHORIZED_PARTIES: entry {number} is not an origin.", hint=hint, id="clerksync.E011"
        )
        for number in _unlike(_ORIGIN, settings.AUTHORIZED_PARTIES)
    ]


def check_issuer(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Each issuer is the address of a Frontend API; anything else equals no token's."""
    if _has_wrong_type(Settings.ISSUER) or not settings.ISSUER:
        return []
    issuers = [settings.ISSUER] if isinstance(settings.ISSUER, str) else settings.ISSUER
    hint = (
        "Write it as in the claim iss: https:// and a host, with the path of your proxy if there is one, no "
        "slash at the end; None for no check."
    )
    return [
        Error(f"CLERKSYNC_ISSUER: entry {number} is not an issuer's address.", hint=hint, id="clerksync.E012")
        for number in _unlike(_ISSUER, issuers)
    ]


def check_any_party(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Where cookies sign users in, it is known whose pages may have asked for them; a check of deployments."""
    if settings.AUTHORIZED_PARTIES or not _reads_cookies():
        return []
    return [
        Warning(
            "CLERKSYNC_AUTHORIZED_PARTIES is empty, so session tokens are accepted whatever site asked for them.",
            hint="List the origins of your front ends. A site on a neighbouring subdomain could otherwise "
            "plant the cookie of a session that is not the visitor's.",
            id="clerksync.W005",
        )
    ]


def _reads_cookies() -> bool:
    return any(str(name).startswith(_MIDDLEWARE) for name in django_settings.MIDDLEWARE)


def _unlike(pattern: re.Pattern[str], values: Sequence[str]) -> Iterator[int]:
    """Tell which values do not match, counted from 1."""
    return (number for number, value in enumerate(values, start=1) if not pattern.fullmatch(value))


def _has_wrong_type(setting: Setting[Any]) -> bool:
    """Whether ``checks.check_types`` has something to say."""
    return setting.problem(getattr(django_settings, setting.name, setting.default)) is not None
