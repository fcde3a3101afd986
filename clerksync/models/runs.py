"""Where the mirror stands, and what was run and is to be run."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class MirrorState(models.Model):
    """One row: whose users these are, what is known up to when, who is syncing.

    The leases, for full and for incremental work and for audits, are taken by ``leases.py``.
    """

    instance_id = models.CharField(_("Clerk instance"), max_length=64, default="", blank=True)
    environment = models.CharField(_("environment"), max_length=20, default="", blank=True)
    #: Which key was last seen to open the instance.
    key_fingerprint = models.CharField(_("fingerprint of the key"), max_length=16, default="", blank=True)
    #: Both in Clerk's clock, which ours was ahead of by ``skew_ms`` when one of them last moved.
    updates_as_of = models.DateTimeField(_("updates known up to"), null=True, blank=True)
    deletes_as_of = models.DateTimeField(_("deletes known up to"), null=True, blank=True)
    skew_ms = models.BigIntegerField(_("our clock is ahead of Clerk's by (ms)"), default=0)
    #: Rows by state, as a sync has counted them: counting a million takes too long for a probe.
    census = models.JSONField(_("rows by state"), default=dict, blank=True)
    census_at = models.DateTimeField(_("rows counted"), null=True, blank=True)
    #: When a key was refused because it is of another instance; null once the right one was seen again.
    mismatch_at = models.DateTimeField(_("key of another instance"), null=True, blank=True)
    #: Placeholders that the last audit has found, or left.
    placeholders = models.IntegerField(_("placeholders"), null=True, blank=True)
    audited_at = models.DateTimeField(_("last audit"), null=True, blank=True)

    full_holder = models.CharField(max_length=200, default="", blank=True)
    full_fence = models.BigIntegerField(default=0)
    full_expires_at = models.DateTimeField(null=True, blank=True)
    incremental_holder = models.CharField(max_length=200, default="", blank=True)
    incremental_fence = models.BigIntegerField(default=0)
    incremental_expires_at = models.DateTimeField(null=True, blank=True)
    audit_holder = models.CharField(max_length=200, default="", blank=True)
    audit_fence = models.BigIntegerField(default=0)
    audit_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("state of the mirror")
        verbose_name_plural = _("Clerk sync")  # what the admin's page of it is called
        constraints = [models.CheckConstraint(condition=Q(id=1), name="clerksync_state_one_row")]

    def __str__(self) -> str:
        return self.instance_id or "-"


class SyncRun(models.Model):
    """One run of a sync, with what it did and where it stands."""

    class Kind(models.TextChoices):
        """What was asked for."""

        FULL = "full", _("full")
        INCREMENTAL = "incremental", _("incremental")
        USERS = "users", _("single users")
        PENDING = "pending", _("users in doubt")
        #: Writes nothing; its counts are of what it found.
        AUDIT = "audit", _("audit")

    class State(models.TextChoices):
        """How the run stands or ended."""

        RUNNING = "running", _("running")
        COMPLETED = "completed", _("completed")
        #: Cut, and can be resumed.
        INTERRUPTED = "interrupted", _("interrupted")
        FAILED = "failed", _("failed")
        #: Everything was read and written, but deletes were refused.
        REFUSED = "refused", _("deletes refused")

    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.RUNNING)
    instance_id = models.CharField(_("Clerk instance"), max_length=64, default="", blank=True)
    options = models.JSONField(_("options"), default=dict)
    counts = models.JSONField(_("counts"), default=dict)
    skipped = models.JSONField(_("skipped users"), default=dict)
    checkpoint = models.JSONField(_("checkpoint"), default=dict)
    api_calls = models.IntegerField(_("API calls"), default=0)
    throttled = models.IntegerField(_("429 answers"), default=0)
    started_at = models.DateTimeField(_("started"))
    progressed_at = models.DateTimeField(_("last progress"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    #: When the walk began, in Clerk's clock: what its end says about deletes is true as of then.
    walk_started_ms = models.BigIntegerField(_("walk started (ms)"), null=True, blank=True)
    error = models.TextField(_("error"), default="", blank=True)

    class Meta:
        verbose_name = _("sync run")
        verbose_name_plural = _("sync runs")
        indexes = [models.Index(fields=["kind", "-started_at"], name="clerksync_run_kind_started")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}: {self.state}"


class ScheduledJob(models.Model):
    """When a part of the periodic work runs next, and how its last run ended; ``jobs.py`` writes it.

    A row each, shared by all copies of the scheduler; all times are of the database's clock.
    """

    class Outcome(models.TextChoices):
        """How the last run ended."""

        COMPLETED = "completed", _("completed")
        FAILED = "failed", _("failed")
        REFUSED = "refused", _("deletes refused")
        MISMATCH = "mismatch", _("key of another instance")
        #: Another sync was at work, started by hand.
        HELD = "held", _("another was at work")
        INTERRUPTED = "interrupted", _("interrupted")
        #: Whoever ran it was not heard of again.
        DIED = "died", _("the process ended")

    part = models.CharField(_("part"), max_length=20, primary_key=True)
    #: The cron expression and the time zone that ``next_at`` was made from.
    schedule = models.TextField(_("schedule"), default="")
    next_at = models.DateTimeField(_("next run"))
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.choices, default="", blank=True)
    message = models.TextField(_("message"), default="", blank=True)
    #: In a row, and since when.
    failures = models.IntegerField(_("failures"), default=0)
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True)
    holder = models.CharField(_("process"), max_length=200, default="", blank=True)
    fence = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField(_("claimed until"), null=True, blank=True)
    #: When a scheduler last looked; null if none stays on.
    seen_at = models.DateTimeField(_("scheduler last seen"), null=True, blank=True)

    class Meta:
        verbose_name = _("scheduled job")
        verbose_name_plural = _("scheduled jobs")

    def __str__(self) -> str:
        return self.part
