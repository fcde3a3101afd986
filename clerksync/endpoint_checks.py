"""System checks of the webhook: the secrets, and the URL that needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning

from clerksync import webhooks
from clerksync.conf import Settings, settings

_WHERE = "Copy it from the endpoint in Clerk's dashboard (Configure, Webhooks); it begins with whsec_."


def check_webhook_secrets(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Each signing secret can be used; a malformed one would let every delivery fail."""
    if _has_wrong_type():
        return []
    problems = [webhooks.problem_of(secret) for secret in webhooks.configured_secrets()]
    return [
        Error(
            f"CLERK_WEBHOOK_SIGNING_SECRET {problem} (secret {number} of {len(problems)}).",
            hint=_WHERE,
            id="clerksync.E009",
        )
        for number, problem in enumerate(problems, start=1)
        if problem
    ]


def check_webhook_url(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A webhook without a secret accepts nothing: a warning, since a site may start without."""
    if _has_wrong_type() or webhooks.view_path() is None or webhooks.configured_secrets():
        return []
    return [
        Warning(
            "The URLs include clerksync.urls, but CLERK_WEBHOOK_SIGNING_SECRET is not set, so every "
            "webhook is answered with 503.",
            hint=_WHERE,
            id="clerksync.W004",
        )
    ]


def _has_wrong_type() -> bool:
    """Whether ``check_types`` has something to say."""
    return Settings.CLERK_WEBHOOK_SIGNING_SECRET.problem(settings.CLERK_WEBHOOK_SIGNING_SECRET) is not None
