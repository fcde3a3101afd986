"""Counts that outlive what was counted: events and runs are pruned, and too many to be counted anew."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class HourlyCount(models.Model):
    """How many there were of something in an hour; ``counts.py`` writes it and says what there is."""

    hour = models.DateTimeField(_("hour"))
    name = models.CharField(_("name"), max_length=20)
    kind = models.CharField(_("kind"), max_length=60, default="", blank=True)
    outcome = models.CharField(_("outcome"), max_length=20, default="", blank=True)
    value = models.BigIntegerField(_("count"))

    class Meta:
        verbose_name = _("hourly count")
        verbose_name_plural = _("hourly counts")
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "name", "kind", "outcome"], name="clerksync_hourly_count_key"
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.name} {self.kind} {self.outcome}: {self.value}"


class TotalCount(models.Model):
    """How many there were since the installation: never falls, and is never pruned."""

    name = models.CharField(_("name"), max_length=20)
    kind = models.CharField(_("kind"), max_length=60, default="", blank=True)
    outcome = models.CharField(_("outcome"), max_length=20, default="", blank=True)
    value = models.BigIntegerField(_("count"))

    class Meta:
        verbose_name = _("total")
        verbose_name_plural = _("totals")
        constraints = [
            models.UniqueConstraint(fields=["name", "kind", "outcome"], name="clerksync_total_count_key")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.kind} {self.outcome}: {self.value}"


class CountedEvents(models.Model):
    """One row: how far the events have been counted, by their numbers.

    Those up to ``counted_id`` are in the counts. Those up to ``seen_id`` were there at ``seen_at``: once
    that is a while ago, every transaction that began before has ended, and they can be counted.
    """

    counted_id = models.BigIntegerField(default=0)
    seen_id = models.BigIntegerField(default=0)
    seen_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("counted events")
        verbose_name_plural = _("counted events")
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="clerksync_counted_one_row")]

    def __str__(self) -> str:
        return str(self.counted_id)
