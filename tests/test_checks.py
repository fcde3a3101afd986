"""The system checks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.checks import CheckMessage, Error, Warning, run_checks
from django.core.checks.registry import registry
from django.db import connections
from django.test import override_settings

from clerksync import (
    alert_checks,
    api_checks,
    audit_checks,
    checks,
    endpoint_checks,
    erasure_checks,
    link_checks,
    metrics_checks,
    middleware_checks,
    schedule_checks,
    token_checks,
)
from clerksync.conf import Settings
from project.defaults import BASE_DIR
from tests.routers import use_database

LIVE = "pk_live_Y2xlcmsuaGFyYm91ci50ZXN0JA"
DASHBOARD = "Take it from Clerk's dashboard, API keys, Secret keys."

pytestmark = pytest.mark.each_database


@contextmanager
def routed_to(**changes: Any) -> Iterator[None]:
    """Send the models to a further database that is like ``other`` but for these changes."""
    connections.databases["further"] = {**connections.databases["other"], **changes}
    try:
        with use_database("further"):
            yield
    finally:
        del connections["further"], connections.databases["further"]


def test_registered__settings_of_tests_are_clean() -> None:
    """All checks are registered, and sound settings give no message."""
    every = registry.get_checks(include_deployment_checks=True)
    registered: set[object] = {check for check in every if "clerksync" in check.tags}
    assert registered == {
        checks.check_types,
        checks.check_names,
        checks.check_keys,
        checks.check_api_url,
        checks.check_database,
        endpoint_checks.check_webhook_secrets,
        endpoint_checks.check_webhook_url,
        schedule_checks.check_schedule,
        link_checks.check_link_rules,
        link_checks.check_user_fields,
        link_checks.check_user_model,
        audit_checks.check_audit_models,
        token_checks.check_jwt_key,
        token_checks.check_authorized_parties,
        token_checks.check_issuer,
        token_checks.check_any_party,
        middleware_checks.check_middleware_order,
        api_checks.check_api_permission,
        metrics_checks.check_metrics,
        erasure_checks.check_cascades,
        erasure_checks.check_user_on_delete,
        alert_checks.check_alert_urls,
        alert_checks.check_anybody_is_told,
    }
    assert run_checks(tags=["clerksync"]) == []


WRONG_TYPES = {
    "CLERK_SECRET_KEY": (7, "must be a string"),
    "CLERK_PUBLISHABLE_KEY": (None, "must be a string"),
    "CLERK_JWT_KEY": (b"", "must be a string"),
    "CLERK_WEBHOOK_SIGNING_SECRET": ([1], "must be a list or tuple of strings"),
    "CLERK_API_URL": (None, "must be a string"),
    "CLERKSYNC_API_TIMEOUT": ((3, 0), "must be two positive numbers of seconds: (connect, read)"),
    "CLERKSYNC_RATE_LIMIT": (0, "must be a positive number of requests per 10 seconds, or None"),
    "CLERKSYNC_RATE_SHARE": (1.5, "must be a number above 0 and at most 1"),
    "CLERKSYNC_WEB_RATE_SHARE": (True, "must be a number above 0 and at most 1"),
    "CLERKSYNC_STORE_PAYLOAD": (1, "must be True or False"),
    "CLERKSYNC_EXCLUDE_FIELDS": ("phone_numbers", "must be a list or tuple of strings"),
    "CLERKSYNC_MAX_DELETES": (
        -1,
        "must be a whole number, a callable that takes the number of active users, or None",
    ),
    "CLERKSYNC_OVERLAP": (-1, "must be a number of seconds, 0 or more"),
    "CLERKSYNC_MAX_STALENESS": (0, "must be a whole number above 0"),
    "CLERKSYNC_SCHEDULE": ({"full": 5}, "must be a dict of parts to cron expressions, or to None for off"),
    "CLERKSYNC_ALERT_EMAILS": ("no", "must be True or False"),
    "CLERKSYNC_ALERT_SECRET_URLS": (
        ["slack"],
        "must be a list or tuple of addresses of apprise, each like service://...",
    ),
    "CLERKSYNC_ALERT_EVENTS": (0, "must be a whole number above 0"),
    "CLERKSYNC_METRICS_TOKEN": (None, "must be a string"),
    "CLERKSYNC_METRICS_NETWORKS": (
        ["10.0.0.1/8"],
        "must be a list or tuple of networks such as 10.0.0.0/8 or ::1",
    ),
    "CLERKSYNC_WEBHOOK_MAX_BYTES": (0, "must be a whole number above 0"),
    "CLERKSYNC_EVENT_RETENTION_DAYS": ("30", "must be a whole number above 0"),
    "CLERKSYNC_AUTHORIZED_PARTIES": ("https://a.test", "must be a list or tuple of strings"),
    "CLERKSYNC_ALLOW_MISSING_AZP": (None, "must be True or False"),
    "CLERKSYNC_ISSUER": (False, "must be a string, a list or tuple of strings, or None"),
    "CLERKSYNC_AUDIENCE": (None, "must be a list or tuple of strings"),
    "CLERKSYNC_CLAIM_FIELDS": (["email"], "must be a dict of names of claims to names of fields"),
    "CLERKSYNC_REFRESH": ("later", "must be 'inline', 'task' or 'mark'"),
    "CLERKSYNC_REFRESH_AFTER": (-1, "must be a number of seconds, 0 or more, or None"),
    "CLERKSYNC_REFRESH_TIMEOUT": (0, "must be a number of seconds above 0"),
    "CLERKSYNC_EXEMPT_PATHS": ("/admin/", "must be a list or tuple of strings, or None for the admin's path"),
    "CLERKSYNC_SIGN_IN_URL": (None, "must be a string"),
    "CLERKSYNC_REAL_DOMAINS": ("example.com", "must be a list or tuple of strings"),
    "CLERKSYNC_ALLOW_TEST_USERS": ("no", "must be True or False"),
    "CLERKSYNC_PLACEHOLDER_RULES": (
        [None],
        "must be a list or tuple of callables or dotted paths of callables",
    ),
    "CLERKSYNC_AUDIT_MODELS": ([{"model": None}], "must be a list or tuple of dicts of strings"),
    "CLERKSYNC_LINK_USERS": (1, "must be True or False"),
    "CLERKSYNC_LINK_BY": ("external_id", "must be a list or tuple of strings"),
    "CLERKSYNC_USER_FIELDS": (
        {"email": ("email", "never")},
        'must be a dict of field names to a column, (column, "always" or "blank") or a callable',
    ),
    "CLERKSYNC_HISTORY": ("yes", "must be True or False"),
    "CLERKSYNC_HISTORY_DAYS": (0, "must be a whole number above 0"),
    "CLERKSYNC_ON_DELETE": ("drop", "must be 'keep', 'anonymize' or 'delete'"),
    "CLERKSYNC_ANONYMIZE_AFTER_DAYS": (None, "must be a whole number, 0 or more"),
    "CLERKSYNC_USER_ON_DELETE": (
        "anonymize",
        "must be 'deactivate', 'leave', a callable or the dotted path of one",
    ),
    "CLERKSYNC_API_PERMISSION": (None, "must be a string"),
    "CLERKSYNC_ADMIN_PHOTOS": ("false", "must be True or False"),
    "CLERKSYNC_ADMIN_MASK": (None, "must be True or False"),
}


@pytest.mark.parametrize("setting", list(Settings.declared()), ids=lambda setting: setting.name)
def test_types__wrong(setting: Any) -> None:
    """Each setting of a wrong type is an error of its own, and no other check fails over it."""
    value, problem = WRONG_TYPES[setting.name]
    with override_settings(**{setting.name: value}):
        found = run_checks(tags=["clerksync"])
    errors = [message for message in found if message.id == "clerksync.E001"]
    hint = "Correct it, or remove it for the default."
    assert errors == [Error(f"{setting.name} {problem}.", hint=hint, id="clerksync.E001")]


@override_settings(CLERKSYNC_REAL_DOMAIN=["harbour.test"])
def test_names__misspelt() -> None:
    """A setting that does not exist is an error that names the nearest one."""
    assert checks.check_names(None) == [
        Error(
            "There is no setting CLERKSYNC_REAL_DOMAIN.",
            hint="Did you mean CLERKSYNC_REAL_DOMAINS?",
            id="clerksync.E002",
        )
    ]


@override_settings(CLERKSYNC_XYLOPHONE="blue")
def test_names__unknown() -> None:
    """A name that is like none of ours is answered with all of ours."""
    (message,) = checks.check_names(None)
    assert message.msg == "There is no setting CLERKSYNC_XYLOPHONE."
    assert message.hint is not None
    assert message.hint.startswith("There are: CLERKSYNC_API_TIMEOUT, ")
    assert "CLERK_SECRET_KEY" not in message.hint


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("CLERK_WEBHOOK_SECRET", "CLERK_WEBHOOK_SIGNING_SECRET"),
        ("CLERK_WEBHOOK_SIGNING_KEY", "CLERK_WEBHOOK_SIGNING_SECRET"),
        ("CLERK_API_KEY", "CLERK_SECRET_KEY"),
        ("CLERK_PEM_PUBLIC_KEY", "CLERK_JWT_KEY"),
        ("NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", "CLERK_PUBLISHABLE_KEY"),
    ],
)
def test_names__near_miss(name: str, right: str) -> None:
    """Another package's name for a setting of Clerk is pointed at while the right one is unset."""
    warning = Warning(
        f"{name} is set, but {right} is not.", hint=f"clerksync reads {right}.", id="clerksync.W002"
    )
    with override_settings(**{name: "x", right: ""}):
        assert checks.check_names(None) == [warning]
    with override_settings(**{name: "x", right: "y"}):
        assert checks.check_names(None) == []


def test_names__settings_of_others() -> None:
    """Further names with Clerk's prefix belong to others."""
    with override_settings(CLERK_TELEMETRY_DISABLED=True, CLERK_FAPI="x"):
        assert checks.check_names(None) == []


@override_settings(CLERK_SECRET_KEY="")
def test_secret_key__missing() -> None:
    """Without a secret key there is a warning, since migrations do without."""
    warning = Warning(
        "CLERK_SECRET_KEY is not set, so nothing can be synced.", hint=DASHBOARD, id="clerksync.W001"
    )
    assert checks.check_keys(None) == [warning]


@override_settings(CLERK_SECRET_KEY=LIVE)
def test_secret_key__publishable() -> None:
    """The publishable key in the place of the secret one is called that."""
    error = Error("CLERK_SECRET_KEY holds a publishable key.", hint=DASHBOARD, id="clerksync.E003")
    assert checks.check_keys(None) == [error]


@pytest.mark.parametrize(
    "key", ["secret", "sk_test_", "'sk_test_abc'", "sk_test_a b", "sk_prod_abc", "whsec_abc"]
)
def test_secret_key__malformed(key: str) -> None:
    """What does not look like a secret key of Clerk is an error that does not show it."""
    with override_settings(CLERK_SECRET_KEY=key):
        found = checks.check_keys(None)
    hint = f"It starts with sk_test_ or sk_live_ and has no spaces or quotes. {DASHBOARD}"
    assert found == [Error("CLERK_SECRET_KEY is not a secret key of Clerk.", hint=hint, id="clerksync.E003")]


@pytest.mark.parametrize("key", ["sk_test_abc", "test_abc"])
def test_secret_key__of_today_and_before(key: str) -> None:
    """Keys without the newer prefix are still in use."""
    with override_settings(CLERK_SECRET_KEY=key):
        assert checks.check_keys(None) == []


def unpublishable(name: str) -> list[CheckMessage]:
    """What is said of a value that is no publishable key."""
    hint = "It starts with pk_test_ or pk_live_ and is copied whole from Clerk's dashboard, API keys."
    return [Error(f"CLERK_PUBLISHABLE_KEY holds {name}.", hint=hint, id="clerksync.E004")]


@pytest.mark.parametrize(
    "key",
    [
        "publishable",
        "pk_test_",
        "pk_test_Y2xlcmsuaGFyYm91ci50ZXN0",  # no $ at the end
        "pk_test_Y2xlcmsuaGFyYm91ci50ZXN0JCQ",  # two
        "pk_test_bG9jYWxob3N0JA",  # no dot in the host
        "pk_test_Y2xlcmsuaGFyYm91ci50ZXN0J",  # cut
        "pk_test_/////w",  # no text
        "pk_prod_Y2xlcmsuaGFyYm91ci50ZXN0JA",
    ],
)
def test_publishable_key__malformed(key: str) -> None:
    """The end of a publishable key names a host."""
    with override_settings(CLERK_PUBLISHABLE_KEY=key):
        assert checks.check_keys(None) == unpublishable("no publishable key of Clerk")


@override_settings(CLERK_PUBLISHABLE_KEY="sk_test_abc")
def test_publishable_key__secret() -> None:
    """A secret key in a place that is shown to the world is called that."""
    assert checks.check_keys(None) == unpublishable("a secret key")


@pytest.mark.parametrize(
    "key", ["", "pk_test_Y2xlcmsuaGFyYm91ci50ZXN0JA", "pk_test_Y2xlcmsuaGFyYm91ci50ZXN0JA=="]
)
def test_publishable_key__sound(key: str) -> None:
    """It is optional, and may come with padding or without."""
    with override_settings(CLERK_PUBLISHABLE_KEY=key):
        assert checks.check_keys(None) == []


@pytest.mark.parametrize("secret", ["sk_test_abc", "test_abc"])
def test_keys__of_different_kinds(secret: str) -> None:
    """Keys of a development and of a production instance do not belong together."""
    with override_settings(CLERK_SECRET_KEY=secret, CLERK_PUBLISHABLE_KEY=LIVE):
        found = checks.check_keys(None)
    assert found == [
        Error(
            "CLERK_SECRET_KEY is a test key and CLERK_PUBLISHABLE_KEY a live key.",
            hint="Take both from the same instance, development (test) or production (live).",
            id="clerksync.E005",
        )
    ]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.clerk.com",
        "ftp://api.clerk.com",
        "https://",
        "https://api.clerk.com:port",
        "https://user:password@api.clerk.com",
        "https://api.clerk.com?version=1",
        "https://api.clerk.com#users",
        "https://api clerk.com",
        "https://[::1",
    ],
)
def test_api_url__malformed(url: str) -> None:
    """The URL has a scheme and a host and nothing that a path cannot follow."""
    with override_settings(CLERK_API_URL=url):
        found = checks.check_api_url(None)
    assert found == [
        Error(
            "CLERK_API_URL is not the URL of an API.",
            hint="Use https:// and a host, without query and password, such as https://api.clerk.com.",
            id="clerksync.E006",
        )
    ]


@pytest.mark.parametrize(
    "url", ["http://api.clerk.com", "http://192.0.2.1:8080", "http://localhost.harbour.test"]
)
def test_api_url__in_the_clear(url: str) -> None:
    """The secret key leaves the machine encrypted only."""
    with override_settings(CLERK_API_URL=url):
        found = checks.check_api_url(None)
    assert found == [
        Error(
            "CLERK_API_URL would send the secret key over http.",
            hint="Use https; http is for a server on this machine.",
            id="clerksync.E007",
        )
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.clerk.com",
        "https://api.clerk.com/v1/",
        "https://proxy.harbour.test:8443/clerk",
        "http://localhost:8000",
        "http://fake.localhost",
        "http://127.0.0.2:1",
        "http://[::1]:8000",
    ],
)
def test_api_url__sound(url: str) -> None:
    """Https to anywhere and http to this machine are fine."""
    with override_settings(CLERK_API_URL=url):
        assert checks.check_api_url(None) == []


def test_database__another_vendor() -> None:
    """A database without the guarded upsert is refused with the reason."""
    with routed_to(ENGINE="django.db.backends.dummy"):
        found = checks.check_database(None)
    assert found == [
        Error(
            "The database 'further' is neither PostgreSQL nor SQLite.",
            hint="The mirror is written by INSERT ... ON CONFLICT ... DO UPDATE ... WHERE, which keeps late "
            "data from replacing newer data and which only these two have. Route clerksync to one of them.",
            id="clerksync.E008",
        )
    ]


@pytest.mark.parametrize("options", [{}, {"transaction_mode": "DEFERRED"}, {"transaction_mode": None}])
def test_database__sqlite_deferred(options: dict[str, Any]) -> None:
    """SQLite has to take the lock to write at the start of a transaction."""
    with routed_to(OPTIONS=options):
        found = checks.check_database(None)
    assert found == [
        Warning(
            "The SQLite database 'further' begins transactions without the lock to write.",
            hint='Set DATABASES["further"]["OPTIONS"]["transaction_mode"] = "IMMEDIATE"; otherwise two '
            'processes that write at once fail with "database is locked", whatever the timeout.',
            id="clerksync.W003",
        )
    ]


@pytest.mark.parametrize("mode", ["IMMEDIATE", "immediate", "EXCLUSIVE"])
def test_database__sqlite_immediate(mode: str) -> None:
    """Both modes that lock are fine, in any case."""
    with routed_to(OPTIONS={"transaction_mode": mode}):
        assert checks.check_database(None) == []


def test_ids__of_one_module() -> None:
    """No two modules give their messages the same id, which is what people silence."""
    modules: dict[str, set[str]] = {}
    for path in (BASE_DIR / "clerksync").rglob("*.py"):
        for found in re.findall(r"clerksync\.[EW]\d{3}", path.read_text(encoding="utf-8")):
            modules.setdefault(found, set()).add(path.name)
    assert len(modules) > 20
    assert {found: names for found, names in modules.items() if len(names) > 1} == {}
