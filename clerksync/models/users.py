"""The table of users."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length
from django.db.models.lookups import LessThan
from django.utils.translation import gettext_lazy as _

from clerksync.fields import WATCHED
from clerksync.managers import ClerkUserQuerySet
from clerksync.models.past import rebuild
from clerksync.records import BLANK
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
    #: Of a row that a list has written; see ``seals.py``.
    seal = models.CharField(_("seal"), max_length=32, default="", db_default="", blank=True)
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
        permissions = [
            ("view_private_metadata", _("Can read private metadata through the API")),
            ("anonymize_clerkuser", _("Can anonymize Clerk user")),
            ("export_clerkuser", _("Can export Clerk users")),
        ]
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
            models.Index(fields=["deleted_at"], condition=Q(state="deleted"), name="clerksync_user_deleted"),
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

    def as_of(self, moment: datetime) -> ClerkUser:
        """Rebuild the user of an earlier time from the change history; the result is not to be saved.

        Without payload, and without what has no history: sign-in, activity, lock.

        Args:
            moment: By Clerk's clock; in the current time zone if it names none.

        Raises:
            PastUnknown: The user was not there yet, or the history does not go back so far.
        """
        return rebuild(self, moment)

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
    def is_anonymized(self) -> bool:
        """Whether this is the row of a deleted user of whom nothing is kept but the id."""
        is_empty = not any(getattr(self, name) for name in WATCHED)
        return self.state == self.State.DELETED and self.digest in BLANK and is_empty

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
        wanted, held = payload.get(key), payload.get(items)
        # As Clerk sent it, so anything may stand where a list of objects should.
        objects = [item for item in held if isinstance(item, dict)] if isinstance(held, list) else []
        return next((item for item in objects if wanted and item.get("id") == wanted), None)
