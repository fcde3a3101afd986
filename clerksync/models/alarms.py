"""Alarms: what was told, and when it was looked for."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Alarm(models.Model):
    """A cause for alarm, now or once: a row for each reason of the status; ``alarms.py`` writes it."""

    class Mail(models.TextChoices):
        """What is still to be mailed."""

        NONE = "", _("nothing")
        RAISED = "raised", _("that it began")
        RESOLVED = "resolved", _("that it is over")

    code = models.CharField(_("reason"), max_length=40, primary_key=True)
    text = models.TextField(_("text"))
    since = models.DateTimeField(_("since"))
    last_seen = models.DateTimeField(_("last seen"))
    resolved_at = models.DateTimeField(_("over"), null=True, blank=True)
    #: When its beginning was told to receivers, and to people.
    announced_at = models.DateTimeField(_("announced"), null=True, blank=True)
    notified_at = models.DateTimeField(_("last mail"), null=True, blank=True)
    mail = models.CharField(_("to be mailed"), max_length=10, choices=Mail.choices, default="", blank=True)
    mail_after = models.DateTimeField(_("to be mailed from"), null=True, blank=True)

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")

    def __str__(self) -> str:
        return self.code


class AlarmWatch(models.Model):
    """One row: when those who are asked often have last looked for causes of alarm."""

    looked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("watch of the alarms")
        verbose_name_plural = _("watch of the alarms")

    def __str__(self) -> str:
        return str(self.looked_at)
