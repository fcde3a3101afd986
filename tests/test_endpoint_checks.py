"""System checks of the webhook."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Error, Warning

from clerksync.endpoint_checks import check_webhook_secrets, check_webhook_url
from tests.deliveries import WEBHOOK_SECRET

WHERE = "Copy it from the endpoint in Clerk's dashboard (Configure, Webhooks); it begins with whsec_."


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("sk_test_abc", "does not start with whsec_"),
        ("whsec_", "ends after whsec_"),
        ("whsec_!!", "is not base64 after whsec_"),
    ],
)
def test_secrets__malformed(secret: str, problem: str, settings: Any) -> None:
    """Named by its number, never by its value."""
    settings.CLERK_WEBHOOK_SIGNING_SECRET = [WEBHOOK_SECRET, secret]
    message = f"CLERK_WEBHOOK_SIGNING_SECRET {problem} (secret 2 of 2)."
    assert check_webhook_secrets(None) == [Error(message, hint=WHERE, id="clerksync.E009")]


@pytest.mark.parametrize("secret", ["", WEBHOOK_SECRET, WEBHOOK_SECRET.rstrip("="), [WEBHOOK_SECRET] * 2, 5])
def test_secrets__sound(secret: Any, settings: Any) -> None:
    """None, one, one without padding, several; a wrong type is another check's."""
    settings.CLERK_WEBHOOK_SIGNING_SECRET = secret
    assert check_webhook_secrets(None) == []


def test_url__without_a_secret(settings: Any) -> None:
    """Whoever includes the URLs wants webhooks."""
    settings.ROOT_URLCONF = "project.urls"
    settings.CLERK_WEBHOOK_SIGNING_SECRET = ""
    assert check_webhook_url(None) == [
        Warning(
            "The URLs include clerksync.urls, but CLERK_WEBHOOK_SIGNING_SECRET is not set, so every "
            "webhook is answered with 503.",
            hint=WHERE,
            id="clerksync.W004",
        )
    ]


def test_url__with_a_secret_or_without_our_urls(settings: Any) -> None:
    """Nothing to say."""
    settings.ROOT_URLCONF = "project.urls"
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET
    assert check_webhook_url(None) == []
    settings.CLERK_WEBHOOK_SIGNING_SECRET = ""
    settings.ROOT_URLCONF = "tests.no_urls"
    assert check_webhook_url(None) == []
