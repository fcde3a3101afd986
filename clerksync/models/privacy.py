"""Users who are to stay forgotten, once their rows are gone."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ForgottenUser(models.Model):
    """A tombstone without its user: ``forgotten.py`` makes it when the row is removed, and reads it.

    Whoever knows an id can ask for it; no id, and nothing of a person, can be read from here.
    """

    digest = models.CharField(_("digest of the id"), max_length=32, primary_key=True)
    #: Version and time of the tombstone, in ms of Clerk's clock.
    updated_ms = models.BigIntegerField(_("version"), default=0)
    observed_ms = models.BigIntegerField(_("observed"), default=0)
    #: Anonymized by somebody: stays forgotten even if Clerk shows the user.
    erased = models.BooleanField(_("for good"), default=False)
    since = models.DateTimeField(_("since"))

    class Meta:
        verbose_name = _("forgotten user")
        verbose_name_plural = _("forgotten users")

    def __str__(self) -> str:
        return self.digest
