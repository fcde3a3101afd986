"""The tables: users, the state of the mirror, the runs of the syncs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length
from django.db.models.lookups import LessThan
from django.utils.translation import gettext_lazy as _

from clerksync.managers import ClerkUserQuerySet
from clerksync.salvage import load_object

_TEXT = "text_pattern_ops"


def _is_short(name: str) -> Q:
    """Not too long for PostgreSQL's B-tree, which takes 2,704 bytes; names have no limit."""
    return Q(**{f"{name}__isnull": True}) | Q(LessThan(Length(name), 256))


#: What the index of names holds; a query that says this, too, is served by it.
SHORT_NAMES = _is_short("first_name") & _is_short("last_name")


class ClerkUser(models.Model):
    """One user of Clerk; Clerk's columns are written by ``mirror.py`` and nobody else.

    Nothing is unique but the id: e-mail addresses and usernames move between users,
    and their moves arrive in any order.
    """

    class State(models.TextChoices):
        """What the row stands for."""

        ACTIVE = "active", _("active")
        DELETED = "deleted", _("deleted")
        #: Known by its id only.
        INCOMPLETE = "incomplete", _("incomplete")

    clerk_id = models.CharField(_("Clerk id"), max_length=255, primary_key=True)

    email = models.TextField(_("e-mail address"), null=True, blank=True)
    email_verified = models.BooleanField(_("e-mail verified"), default=False, db_default=False)
    phone_number = models.TextField(_("phone number"), null=True, blank=True)
    phone_verified = models.BooleanField(_("phone verified"), default=False, db_default=False)
    username = models.TextField(_("username"), null=True, blank=True)
    first_name = models.TextField(_("first name"), null=True, blank=True)
    last_name = models.TextField(_("last name"), null=True, blank=True)
    image_url = models.TextField(_("image URL"), null=True, blank=True)
    has_image = models.BooleanField(_("has an image"), default=False, db_default=False)
    external_id = models.TextField(_("external id"), null=True, blank=True)
    banned = models.BooleanField(_("banned"), default=False, db_default=False)
    locked = models.BooleanField(_("locked"), default=False, db_default=False)
    deprovisioned = models.BooleanField(_("deprovisioned"), default=False, db_default=False)
    password_enabled = models.BooleanField(_("has a password"), default=False, db_default=False)
    two_factor_enabled = models.BooleanField(_("uses two factors"), default=False, db_default=False)
    created_at = models.DateTimeField(_("created"), null=True, blank=True)
    updated_at = models.DateTimeField(_("updated"), null=True, blank=True)
    last_sign_in_at = models.DateTimeField(_("last sign-in"), null=True, blank=True)
    last_active_at = models.DateTimeField(_("last active"), null=True, blank=True)
    legal_accepted_at = models.DateTimeField(_("legal terms accepted"), null=True, blank=True)
    public_metadata = models.JSONField(_("public metadata"), default=dict, db_default={})
    private_metadata = models.JSONField(_("private metadata"), default=dict, db_default={})
    unsafe_metadata = models.JSONField(_("unsafe metadata"), default=dict, db_default={})

    # What the writer needs to decide; times in ms of Clerk's clock.
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.INCOMPLETE)
    updated_ms = models.BigIntegerField(_("version"), default=0)
    observed_ms = models.BigIntegerField(_("observed"), default=0)
    created_ms = models.BigIntegerField(_("created (ms)"), null=True, blank=True)
    digest = models.CharField(_("digest"), max_length=80, default="", db_default="", blank=True)
    doubt_reason = models.CharField(_("needs refresh because"), max_length=40, default="", blank=True)
    doubt_ms = models.BigIntegerField(_("in doubt since"), default=0)
    doubt_tries = models.IntegerField(_("reads that did not settle it"), default=0)
    retry_ms = models.BigIntegerField(_("read again from"), default=0)
    regressed_ms = models.BigIntegerField(_("an older version was read"), null=True, blank=True)
    revision = models.BigIntegerField(_("revision"), default=0)
    #: By the clock of the process that read; not the writer's, which keeps Clerk's.
    checked_at = models.DateTimeField(_("read for a session"), null=True, blank=True)

    # What is told to people.
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True)
    deleted_by = models.CharField(_("delete known by"), max_length=10, default="", db_default="", blank=True)
    source = models.CharField(_("source"), max_length=10, default="", db_default="", blank=True)
    provenance = models.CharField(_("run or event"), max_length=64, default="", db_default="", blank=True)
    problems = models.TextField(_("what was left out"), default="", db_default="", blank=True)
    first_seen = models.DateTimeField(_("first seen"))
    last_written = models.DateTimeField(_("last written"))

    # The Django user, of whom Clerk knows nothing: written by ``linking.py`` and nobody else.
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("Django user"),
        on_delete=models.SET_NULL,
        related_name="clerk_user",
        null=True,
        blank=True,
    )
    #: The revision that the Django user was last brought up to.
    user_revision = models.BigIntegerField(_("revision of the Django user"), default=0, db_default=0)
    #: Whether it was us who set the Django user's ``is_active`` to False.
    user_deactivated = models.BooleanField(_("Django user deactivated"), default=False, db_default=False)

    #: The user's JSON as Clerk sent it, as text: four times cheaper to write than jsonb. The last
    #: column, since SQLite reads through it to those behind, which costs 100 us a row.
    payload_text = models.TextField(_("payload"), null=True, blank=True)

    objects = ClerkUserQuerySet.as_manager()

    # What Django and Django REST framework ask of request.user; where users are linked that is the Django user.
    is_anonymous = False
    is_authenticated = True
    #: Clerk gives no rights in Django.
    is_staff = False
    is_superuser = False

    class Meta:
        verbose_name = _("Clerk user")
        verbose_name_plural = _("Clerk users")
        permissions = [("view_private_metadata", _("Can read private metadata through the API"))]
        indexes = [
            # The operator classes let PostgreSQL look up beginnings as well; SQLite does so without.
            models.Index(fields=["email"], opclasses=[_TEXT], name="clerksync_user_email"),
            models.Index(fields=["username"], opclasses=[_TEXT], name="clerksync_user_username"),
            models.Index(fields=["external_id"], opclasses=[_TEXT], name="clerksync_user_external_id"),
            models.Index(
                fields=["first_name", "last_name"],
                opclasses=[_TEXT, _TEXT],
                condition=SHORT_NAMES,
                name="clerksync_user_names",
            ),
            # The order of lists, with what they are filtered by: no row is read that does not fit.
            models.Index(
                fields=["created_ms", "state", "banned", "email_verified"], name="clerksync_user_created"
            ),
            models.Index(fields=["created_ms"], condition=Q(email=None), name="clerksync_user_no_email"),
            models.Index(fields=["retry_ms"], condition=~Q(doubt_reason=""), name="clerksync_user_doubt"),
        ]

    def __str__(self) -> str:
        return self.clerk_id

    def get_username(self) -> str:
        """Return the Clerk id, the one name that stays."""
        return self.clerk_id

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Tell that there is no right in Django."""
        return False

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        """Tell whether none are asked for."""
        return not list(perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        """Tell that there is no right in Django."""
        return False

    @property
    def payload(self) -> dict[str, Any] | None:
        """The user as Clerk sent it; None if payloads are not stored."""
        if self.payload_text is None:
            return None
        return load_object(self.payload_text.encode())

    @property
    def is_active(self) -> bool:
        """Whether the user may sign in at Clerk."""
        return self.state == self.State.ACTIVE and not self.banned and not self.deprovisioned

    @property
    def is_shut_out(self) -> bool:
        """Whether Clerk keeps the user out; one who is known by the id only is not."""
        return self.state == self.State.DELETED or self.banned or self.deprovisioned

    @property
    def needs_refresh(self) -> bool:
        """Whether the row is suspected of not being what Clerk holds."""
        return self.doubt_reason != ""

    @property
    def full_name(self) -> str:
        """First and last name, as far as they are known."""
        return " ".join(part for part in (self.first_name, self.last_name) if part)

    @property
    def display_name(self) -> str:
        """The best there is to show: the name, the username, the e-mail address, the id."""
        return self.full_name or self.username or self.email or self.clerk_id

    @property
    def primary_email(self) -> dict[str, Any] | None:
        """Clerk's object of the primary e-mail address, from the payload."""
        return self._primary("email_addresses", "primary_email_address_id")

    @property
    def primary_phone(self) -> dict[str, Any] | None:
        """Clerk's object of the primary phone number, from the payload."""
        return self._primary("phone_numbers", "primary_phone_number_id")

    @property
    def primary_web3_wallet(self) -> dict[str, Any] | None:
        """Clerk's object of the primary web3 wallet, from the payload."""
        return self._primary("web3_wallets", "primary_web3_wallet_id")

    def _primary(self, items: str, key: str) -> dict[str, Any] | None:
        payload = self.payload or {}
        wanted = payload.get(key)
        found: dict[str, Any] | None = next(
            (item for item in payload.get(items) or () if wanted and item.get("id") == wanted), None
        )
        return found


class MirrorState(models.Model):
    """One row: whose users these are, what is known up to when, who is syncing.

    The two leases, for full and for incremental work, are taken by ``leases.py``.
    """

    instance_id = models.CharField(_("Clerk instance"), max_length=64, default="", blank=True)
    environment = models.CharField(_("environment"), max_length=20, default="", blank=True)
    #: Which key was last seen to open the instance.
    key_fingerprint = models.CharField(_("fingerprint of the key"), max_length=16, default="", blank=True)
    #: Both in Clerk's clock, which ours was ahead of by ``skew_ms`` when one of them last moved.
    updates_as_of = models.DateTimeField(_("updates known up to"), null=True, blank=True)
    deletes_as_of = models.DateTimeField(_("deletes known up to"), null=True, blank=True)
    skew_ms = models.BigIntegerField(_("our clock is ahead of Clerk's by (ms)"), default=0)
    #: Rows by state at the end of the last full sync: counting a million takes too long for a probe.
    census = models.JSONField(_("rows by state"), default=dict, blank=True)

    full_holder = models.CharField(max_length=200, default="", blank=True)
    full_fence = models.BigIntegerField(default=0)
    full_expires_at = models.DateTimeField(null=True, blank=True)
    incremental_holder = models.CharField(max_length=200, default="", blank=True)
    incremental_fence = models.BigIntegerField(default=0)
    incremental_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("state of the mirror")
        verbose_name_plural = _("state of the mirror")
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
            # Most are applied, and need no entry to be found.
            models.Index(
                fields=["state", "-received_at"], condition=~Q(state="applied"), name="clerksync_event_state"
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
