"""Webhook events, and deliveries that were rejected."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from clerksync.salvage import load_object


class WebhookEvent(models.Model):
    """One signed event, recorded together with its effect."""

    class State(models.TextChoices):
        """What became of the event."""

        APPLIED = "applied", _("applied")
        #: Something newer was known already.
        SUPERSEDED = "superseded", _("superseded")
        IGNORED = "ignored", _("ignored")
        #: Cannot be applied as things are; kept for a replay.
        PARKED = "parked", _("parked")
        #: A handler of the project failed; the mirror is up to date.
        FAILED = "failed", _("handler failed")

    svix_id = models.CharField(_("Svix id"), max_length=255)
    type = models.CharField(_("type"), max_length=100)
    object_id = models.CharField(_("object id"), max_length=255, default="", blank=True)
    #: The user whom an event of something else mentions, if any: of a session, of a membership.
    user_id = models.CharField(_("user"), max_length=255, default="", db_default="", blank=True)
    instance_id = models.CharField(_("Clerk instance"), max_length=64, default="", blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices)
    reason = models.TextField(_("reason"), default="", blank=True)
    attempts = models.IntegerField(_("deliveries"), default=1)
    handled = models.BooleanField(_("handlers done"), default=True)
    secret = models.CharField(_("secret"), max_length=8, default="", blank=True)
    occurred_at = models.DateTimeField(_("occurred"), null=True, blank=True)
    sent_at = models.DateTimeField(_("sent"))
    received_at = models.DateTimeField(_("received"))
    finished_at = models.DateTimeField(_("finished"))
    payload_text = models.TextField(_("payload"), null=True, blank=True)

    class Meta:
        verbose_name = _("webhook event")
        verbose_name_plural = _("webhook events")
        indexes = [
            models.Index(fields=["-received_at"], name="clerksync_event_received"),
            models.Index(fields=["object_id", "-received_at"], name="clerksync_event_object"),
            models.Index(fields=["user_id"], condition=~Q(user_id=""), name="clerksync_event_user"),
            # Most are applied, and need no entry to be found.
            models.Index(
                fields=["state", "-received_at"],
                condition=~Q(state="applied") | Q(handled=False),
                name="clerksync_event_state",
            ),
        ]
        # A unique field would get a second index on PostgreSQL, for beginnings.
        constraints = [models.UniqueConstraint(fields=["svix_id"], name="clerksync_event_svix_id")]

    def __str__(self) -> str:
        return f"{self.type} {self.svix_id}"

    @property
    def payload(self) -> dict[str, Any] | None:
        """The event as it was signed, without what is never stored; None if nothing was kept."""
        if self.payload_text is None:
            return None
        return load_object(self.payload_text.encode())


class RejectedDeliveries(models.Model):
    """How many deliveries were rejected in one hour for one reason; nothing else of them is kept."""

    hour = models.DateTimeField(_("hour"))
    reason = models.CharField(_("reason"), max_length=20)
    count = models.BigIntegerField(_("count"), default=0)
    last_at = models.DateTimeField(_("last"))

    class Meta:
        verbose_name = _("rejected deliveries")
        verbose_name_plural = _("rejected deliveries")
        constraints = [
            models.UniqueConstraint(fields=["hour", "reason"], name="clerksync_rejected_hour_reason")
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.reason}: {self.count}"
