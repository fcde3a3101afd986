"""The system check of the tables that are audited beside the mirror."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from clerksync import foreign
from clerksync.conf import Settings, settings


def check_audit_models(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Each entry of AUDIT_MODELS names a model and fields of text that it has."""
    if Settings.AUDIT_MODELS.problem(settings.AUDIT_MODELS):
        return []
    messages: list[CheckMessage] = []
    for number, entry in enumerate(settings.AUDIT_MODELS):
        try:
            foreign.parse(entry)
        except ImproperlyConfigured as error:
            hint = 'An entry is like {"model": "app.Profile", "clerk_id_field": "clerk_id", "email_field": "email"}.'
            messages.append(
                Error(f"CLERKSYNC_AUDIT_MODELS[{number}]: {error}.", hint=hint, id="clerksync.E030")
            )
    return messages
