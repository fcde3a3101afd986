"""Alarms: what is wrong, who was told of it, and when it was looked for."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Alarm(models.Model):
    """A cause for alarm, now or once: a row for each reason of the status; ``alarms.py`` writes it."""

    code = models.CharField(_("reason"), max_length=40, primary_key=True)
    text = models.TextField(_("text"))
    since = models.DateTimeField(_("since"))
    last_seen = models.DateTimeField(_("last seen"))
    resolved_at = models.DateTimeField(_("over"), null=True, blank=True)
    #: From when on it is to be told; what the next run usually mends has to last for a while.
    announced_at = models.DateTimeField(_("announced"), null=True, blank=True)
    #: Through any channel but the signals.
    notified_at = models.DateTimeField(_("last told"), null=True, blank=True)

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")

    def __str__(self) -> str:
        return self.code


class AlarmNotice(models.Model):
    """What a channel has told of an alarm, and is to tell next; ``notices.py`` writes it."""

    class News(models.TextChoices):
        """What there is to tell."""

        NONE = "", _("nothing")
        RAISED = "raised", _("that it began")
        REPEATED = "repeated", _("that it goes on")
        RESOLVED = "resolved", _("that it is over")

    alarm = models.ForeignKey(
        Alarm, verbose_name=_("alarm"), on_delete=models.CASCADE, related_name="notices"
    )
    #: "signal", "email", or "push:" and the beginning of a hash of the address, which is a secret.
    channel = models.CharField(_("channel"), max_length=40)
    #: Which beginning of the alarm this is about.
    since = models.DateTimeField(_("since"))
    news = models.CharField(_("to be told"), max_length=10, choices=News.choices, default="", blank=True)
    due_at = models.DateTimeField(_("to be told from"), null=True, blank=True)
    told = models.CharField(_("told"), max_length=10, choices=News.choices, default="", blank=True)
    told_at = models.DateTimeField(_("last told"), null=True, blank=True)

    class Meta:
        verbose_name = _("alarm's notice")
        verbose_name_plural = _("alarms' notices")
        constraints = [
            models.UniqueConstraint(fields=["alarm", "channel"], name="clerksync_notice_alarm_channel")
        ]

    def __str__(self) -> str:
        return f"{self.alarm_id} {self.channel}: {self.news or self.told}"


class AlarmWatch(models.Model):
    """One row: when those who are asked often have last looked for causes of alarm."""

    looked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("watch of the alarms")
        verbose_name_plural = _("watch of the alarms")

    def __str__(self) -> str:
        return str(self.looked_at)
