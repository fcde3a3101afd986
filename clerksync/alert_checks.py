"""System checks of the alarms."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning

from clerksync.conf import Settings, settings


def check_alert_urls(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What addresses need is installed; they are secrets, and none is shown."""
    if (
        Settings.ALERT_SECRET_URLS.problem(settings.ALERT_SECRET_URLS)
        or not settings.ALERT_SECRET_URLS
        or find_spec("apprise")
    ):
        return []
    return [
        Error(
            "CLERKSYNC_ALERT_SECRET_URLS has addresses, but apprise is not installed.",
            hint="pip install 'clerksync[alerts]'",
            id="clerksync.E051",
        )
    ]


def check_anybody_is_told(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Somebody hears of alarms; a site may rely on a monitor instead, so it is a warning."""
    if settings.ALERT_SECRET_URLS or (settings.ALERT_EMAILS and django_settings.ADMINS):
        return []
    return [
        Warning(
            "No alarm of clerksync reaches anybody: neither ADMINS nor CLERKSYNC_ALERT_SECRET_URLS names somebody.",
            hint="Set one of them, or, if a monitor asks clerksync:health or the metrics, silence this check.",
            id="clerksync.W052",
        )
    ]
