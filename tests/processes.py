"""Processes that tests start."""

from __future__ import annotations

import os

from django.db import connections

from tests import databases

#: A whole production environment, for ``check --deploy``.
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "project.settings",
    "DEBUG": "false",
    "SECRET_KEY": "an-invented-key-of-more-than-fifty-characters-0123456789-abcdef",
    "ALLOWED_HOSTS": "users.harbour.test",
    "DATABASE_URL": "sqlite:///:memory:",
    "DJANGO_ADMINS": "ops@harbour.test",
    "ENV_FILE": os.devnull,
    "CLERK_SECRET_KEY": "sk_live_invented_for_the_tests_0123456789",
    "CLERK_PUBLISHABLE_KEY": "pk_live_Y2xlcmsuaGFyYm91ci50ZXN0JA",
    "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_aW52ZW50ZWQgZm9yIHRlc3RzIG9mIGNsZXJrc3luYw==",
    "CLERKSYNC_AUTHORIZED_PARTIES": "https://users.harbour.test",
}


def environment(**changes: str) -> dict[str, str]:
    """The environment for a Python process with ``tests.settings`` on the databases of this test."""
    names = {
        databases.NAME.format(alias=alias): str(connections[alias].settings_dict["NAME"])
        for alias in connections
    }
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **names, **changes}


def forget_keys() -> None:
    """Drop the developer's own keys and settings, so that neither tests nor their processes see them."""
    for name in list(os.environ):
        if name.startswith(("CLERK_", "CLERKSYNC_")) and not name.startswith("CLERKSYNC_TEST_"):
            del os.environ[name]


def keep_compiled() -> None:
    """Let the processes to come keep what Python compiles: hundreds of them would compile all of it again."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
