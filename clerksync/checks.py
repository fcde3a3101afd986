"""System checks: settings that cannot work, and settings that do something else than was meant.

Messages name settings and never show their values, which may be secrets.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.apps import AppConfig, apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections, router

from clerksync import publishable_key
from clerksync.conf import Settings

_PREFIX = "CLERKSYNC_"

_SECRET_KEY = re.compile(r"(?:sk_)?(test|live)_[\w-]+", re.ASCII)

#: Names that are in use elsewhere for what Clerk calls differently.
_NEAR_MISSES = {
    "CLERK_API_KEY": "CLERK_SECRET_KEY",
    "CLERK_BACKEND_API_KEY": "CLERK_SECRET_KEY",
    "CLERK_SECRET": "CLERK_SECRET_KEY",
    "CLERK_PUBLIC_KEY": "CLERK_PUBLISHABLE_KEY",
    "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": "CLERK_PUBLISHABLE_KEY",
    "VITE_CLERK_PUBLISHABLE_KEY": "CLERK_PUBLISHABLE_KEY",
    "CLERK_JWT_PUBLIC_KEY": "CLERK_JWT_KEY",
    "CLERK_JWT_VERIFICATION_KEY": "CLERK_JWT_KEY",
    "CLERK_PEM_KEY": "CLERK_JWT_KEY",
    "CLERK_PEM_PUBLIC_KEY": "CLERK_JWT_KEY",
    "CLERK_SIGNING_SECRET": "CLERK_WEBHOOK_SIGNING_SECRET",
    "CLERK_WEBHOOK_SECRET": "CLERK_WEBHOOK_SIGNING_SECRET",
    "CLERK_WEBHOOK_SIGNING_KEY": "CLERK_WEBHOOK_SIGNING_SECRET",
    "CLERK_API_BASE_URL": "CLERK_API_URL",
    "CLERK_BASE_URL": "CLERK_API_URL",
}


def check_types(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Each setting is what ``conf.py`` says; errors, for nothing is coerced later."""
    return [
        Error(
            f"{setting.name} {problem}.",
            hint="Correct it, or remove it for the default.",
            id="clerksync.E001",
        )
        for setting in Settings.declared()
        if (problem := setting.problem(_value(setting.name, setting.default)))
    ]


def check_names(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """No setting is misspelt.

    The prefix CLERKSYNC_ is ours, so an unknown name is an error. Others use CLERK_, too, so
    there only known near misses are pointed at, as warnings, and only while the right one is unset.
    """
    known = [setting.name for setting in Settings.declared() if setting.name.startswith(_PREFIX)]
    return [
        *(
            _unknown(name, known)
            for name in dir(django_settings)
            if name.startswith(_PREFIX) and name not in known
        ),
        *(
            _near_miss(name, right)
            for name, right in _NEAR_MISSES.items()
            if _value(name) and not _value(right)
        ),
    ]


def check_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The keys look like Clerk's and belong to one kind of instance.

    A missing secret key is a warning only: migrations, tests and builds do without Clerk.
    """
    secret, publishable = _text("CLERK_SECRET_KEY"), _text("CLERK_PUBLISHABLE_KEY")
    return [*_secret_key(secret), *_publishable_key(publishable), *_kinds(secret, publishable)]


def check_api_url(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The API's URL is one, and the secret key does not travel in the clear."""
    value = _text("CLERK_API_URL", Settings.CLERK_API_URL.default)
    url = _split(value)
    if url is None:
        return [
            Error(
                "CLERK_API_URL is not the URL of an API.",
                hint="Use https:// and a host, without query and password, such as https://api.clerk.com.",
                id="clerksync.E006",
            )
        ]
    if url.scheme == "http" and not _is_loopback(url.hostname or ""):
        return [
            Error(
                "CLERK_API_URL would send the secret key over http.",
                hint="Use https; http is for a server on this machine.",
                id="clerksync.E007",
            )
        ]
    return []


def check_database(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The users' table is in a database that the mirror can write to safely; nothing is connected to."""
    alias = router.db_for_write(apps.get_model("clerksync", "ClerkUser"))
    connection = connections[alias]
    if connection.vendor not in {"postgresql", "sqlite"}:
        return [
            Error(
                f"The database {alias!r} is neither PostgreSQL nor SQLite.",
                hint="The mirror is written by INSERT ... ON CONFLICT ... DO UPDATE ... WHERE, which keeps late "
                "data from replacing newer data and which only these two have. Route clerksync to one of them.",
                id="clerksync.E008",
            )
        ]
    mode = connection.settings_dict.get("OPTIONS", {}).get("transaction_mode")
    if connection.vendor == "sqlite" and str(mode).upper() not in {"IMMEDIATE", "EXCLUSIVE"}:
        return [
            Warning(
                f"The SQLite database {alias!r} begins transactions without the lock to write.",
                hint=f'Set DATABASES["{alias}"]["OPTIONS"]["transaction_mode"] = "IMMEDIATE"; otherwise two '
                'processes that write at once fail with "database is locked", whatever the timeout.',
                id="clerksync.W003",
            )
        ]
    return []


def _unknown(name: str, known: list[str]) -> CheckMessage:
    # Without the prefix, which would make all of them alike.
    ours = [one.removeprefix(_PREFIX) for one in known]
    close = difflib.get_close_matches(name.removeprefix(_PREFIX), ours, n=1, cutoff=0.7)
    hint = f"Did you mean {_PREFIX}{close[0]}?" if close else f"There are: {', '.join(known)}."
    return Error(f"There is no setting {name}.", hint=hint, id="clerksync.E002")


def _near_miss(name: str, right: str) -> CheckMessage:
    return Warning(
        f"{name} is set, but {right} is not.", hint=f"clerksync reads {right}.", id="clerksync.W002"
    )


def _secret_key(key: str) -> Iterator[CheckMessage]:
    where = "Take it from Clerk's dashboard, API keys, Secret keys."
    if not key:
        yield Warning(
            "CLERK_SECRET_KEY is not set, so nothing can be synced.", hint=where, id="clerksync.W001"
        )
    elif key.startswith("pk_"):
        yield Error("CLERK_SECRET_KEY holds a publishable key.", hint=where, id="clerksync.E003")
    elif not _SECRET_KEY.fullmatch(key):
        hint = f"It starts with sk_test_ or sk_live_ and has no spaces or quotes. {where}"
        yield Error("CLERK_SECRET_KEY is not a secret key of Clerk.", hint=hint, id="clerksync.E003")


def _publishable_key(key: str) -> Iterator[CheckMessage]:
    if not key or publishable_key.frontend_host(key):
        return
    name = "a secret key" if key.startswith("sk_") else "no publishable key of Clerk"
    yield Error(
        f"CLERK_PUBLISHABLE_KEY holds {name}.",
        hint="It starts with pk_test_ or pk_live_ and is copied whole from Clerk's dashboard, API keys.",
        id="clerksync.E004",
    )


def _kinds(secret: str, publishable: str) -> Iterator[CheckMessage]:
    secret_match, kind = _SECRET_KEY.fullmatch(secret), publishable_key.kind(publishable)
    if secret_match and kind and secret_match[1] != kind:
        yield Error(
            f"CLERK_SECRET_KEY is a {secret_match[1]} key and CLERK_PUBLISHABLE_KEY a {kind} key.",
            hint="Take both from the same instance, development (test) or production (live).",
            id="clerksync.E005",
        )


def _split(value: str) -> SplitResult | None:
    try:
        url = urlsplit(value)
        wrong = url.port == 0 or url.username is not None or url.query or url.fragment
    except ValueError:
        return None
    if wrong or not value.isascii() or re.search(r"\s", value):
        return None
    return url if url.scheme in {"http", "https"} and url.hostname else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _value(name: str, default: object = "") -> object:
    return getattr(django_settings, name, default)


def _text(name: str, default: str = "") -> str:
    """The setting, or nothing if its type is wrong, which ``check_types`` reports."""
    value = _value(name, default)
    return value if isinstance(value, str) else default
