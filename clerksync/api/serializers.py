"""What the API tells of users, field by field, and what it can be asked."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from clerksync.models import ClerkUser

#: What is told only to those who ask for it and may read it.
PRIVATE = "private_metadata"
_PROFILE = (
    "clerk_id", "email", "email_verified", "phone_number", "phone_verified", "username",
    "first_name", "last_name", "display_name", "image_url", "has_image", "external_id",
    "password_enabled", "two_factor_enabled",
    "created_at", "updated_at", "last_sign_in_at", "last_active_at", "legal_accepted_at",
    "public_metadata", "unsafe_metadata", "state",
)  # fmt: skip
_ACCOUNT = ("banned", "locked", "deprovisioned", "needs_refresh", "deleted_at")


class ProfileSerializer(serializers.ModelSerializer):
    """The caller, as the caller may see it.

    Further fields may come with further versions; those that are there keep their meaning.
    """

    display_name = serializers.CharField(read_only=True)

    class Meta:
        model = ClerkUser
        fields: tuple[str, ...] = (*_PROFILE, PRIVATE)
        read_only_fields: tuple[str, ...] = _PROFILE
        # Not always there, so not read-only, which the schema takes for always there.
        extra_kwargs = {PRIVATE: {"required": False, "help_text": _("Only with ?include=private_metadata.")}}

    def get_fields(self) -> dict[str, Any]:
        """Leave out what was not asked for."""
        fields: dict[str, Any] = super().get_fields()
        if self.context.get("include", PRIVATE) != PRIVATE:
            del fields[PRIVATE]
        return fields


class UserSerializer(ProfileSerializer):
    """A user, for those who may read all users."""

    needs_refresh = serializers.BooleanField(read_only=True)

    class Meta(ProfileSerializer.Meta):
        fields = (*_PROFILE, *_ACCOUNT, PRIVATE)
        read_only_fields = (*_PROFILE, *_ACCOUNT)


class ProfileQuery(serializers.Serializer):
    """What ``me/`` can be asked."""

    include = serializers.ChoiceField(
        [PRIVATE],
        required=False,
        help_text=_("Adds this field, for those with the permission clerksync.view_private_metadata."),
    )


class UserQuery(ProfileQuery):
    """What ``users/{clerk_id}/`` can be asked."""

    state = serializers.ChoiceField(
        [*ClerkUser.State.values, "all"],
        required=False,
        help_text=_("Without it: active and incomplete users, not deleted ones."),
    )


class UsersQuery(UserQuery):
    """What ``users/`` can be asked; each is served by an index."""

    search = serializers.CharField(
        required=False,
        max_length=200,
        help_text=_(
            "The beginning of the Clerk id, e-mail address, username, external id, first or last name."
        ),
    )
    email = serializers.CharField(required=False, help_text=_("The whole address."))
    username = serializers.CharField(required=False, help_text=_("The whole username."))
    external_id = serializers.CharField(required=False, help_text=_("The whole external id."))
    banned = serializers.BooleanField(required=False)
    email_verified = serializers.BooleanField(required=False)
    needs_refresh = serializers.BooleanField(
        required=False, help_text=_("Whether the row is suspected of not being what Clerk holds.")
    )
    created_after = serializers.DateTimeField(required=False, help_text=_("At this time or later."))
    created_before = serializers.DateTimeField(required=False, help_text=_("Earlier than this."))
    ordering = serializers.ChoiceField(
        ["-created_at", "created_at", "clerk_id", "-clerk_id"],
        required=False,
        help_text=_(
            "By default -created_at, the newest first. Users whose time of creation is not known come last."
        ),
    )
    cursor = serializers.CharField(required=False, help_text=_("Of another page, as its links give it."))
    page_size = serializers.IntegerField(
        required=False, min_value=1, max_value=200, help_text=_("By default 50.")
    )
