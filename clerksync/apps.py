"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ClerkSyncConfig(AppConfig):
    """Registers the checks."""

    name = "clerksync"
    label = "clerksync"
    verbose_name = _("Clerk")
    default_auto_field = "django.db.models.BigAutoField"
