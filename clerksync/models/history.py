"""The change history of users; ``history.py`` writes it."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class ClerkUserChange(models.Model):
    """One applied change of one user: what it changed, when, and what caused it."""

    clerk_id = models.CharField(_("Clerk id"), max_length=255)
    #: Of the row, after the change.
    revision = models.BigIntegerField(_("revision"))
    outcome = models.CharField(_("outcome"), max_length=10)
    source = models.CharField(_("source"), max_length=10, default="", blank=True)
    provenance = models.CharField(_("run or event"), max_length=64, default="", blank=True)
    #: In ms of Clerk's clock: when it was changed there, and the version that the row had before.
    at_ms = models.BigIntegerField(_("changed at Clerk (ms)"))
    before_ms = models.BigIntegerField(_("version before"), default=0)
    written_at = models.DateTimeField(_("written"))
    #: Names of columns to their old and new values, as JSON; times in ms.
    fields_text = models.TextField(_("changed columns"), default="{}")

    class Meta:
        verbose_name = _("change of a user")
        verbose_name_plural = _("changes of users")
        indexes = [
            models.Index(fields=["clerk_id", "-revision"], name="clerksync_change_user"),
            models.Index(fields=["written_at"], name="clerksync_change_written"),
        ]

    def __str__(self) -> str:
        return f"{self.clerk_id} {self.revision}: {self.outcome}"

    @property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """The columns that changed, with their old and new values; times in ms, metadata as JSON text."""
        return {name: (old, new) for name, (old, new) in json.loads(self.fields_text).items()}
