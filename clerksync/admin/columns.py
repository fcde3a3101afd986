"""What is shown of a user, plain or masked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clerksync.admin import formats
from clerksync.conf import settings
from clerksync.linkreports import told
from clerksync.masking import mask
from clerksync.models import ClerkUser, MirrorState
from clerksync.placeholders import PlaceholderRules

#: The form in which Clerk's own code links to a user. It opens the instance that was last looked
#: at in the dashboard: a link to a given one needs an id of the application, which no answer of
#: Clerk's API holds. So the page names the instance beside the link.
DASHBOARD = "https://dashboard.clerk.com/last-active?path=users/{}"
HIDDEN = gettext_lazy("hidden")

Shown = str | SafeString


def columns_for(request: HttpRequest) -> Columns:
    """The columns as this viewer may see them."""
    return MASKED if is_masked(request) else PLAIN


def is_masked(request: HttpRequest) -> bool:
    """Whether personal data is masked: by the setting, for those who may only look."""
    return settings.ADMIN_MASK and not may_read_again(request)


def may_read_again(request: HttpRequest) -> bool:
    """Whether the viewer may cause users to be written."""
    return request.user.has_perm("clerksync.change_clerkuser")


def label(name: str) -> Any:
    """The name of a column for people, translated when it is shown."""
    field: Any = ClerkUser._meta.get_field(name)
    return field.verbose_name


def _personal(name: str) -> Callable[[Columns, ClerkUser], Shown]:
    """A column of text that may be masked."""

    def show(self: Columns, user: ClerkUser) -> Shown:
        return self.text(getattr(user, name))

    show.__name__ = name
    return admin.display(description=label(name))(show)


def _flag(name: str) -> Callable[[Columns, ClerkUser], Shown]:
    """Yes or no in words: a cross in red would be wrong for somebody who is not banned."""

    def show(self: Columns, user: ClerkUser) -> Shown:
        return _("Yes") if getattr(user, name) else _("No")

    show.__name__ = name
    return admin.display(description=label(name))(show)


def _time(name: str) -> Callable[[Columns, ClerkUser], Shown]:
    """A time on two lines, so that three of them find room in a list."""

    def show(self: Columns, user: ClerkUser) -> Shown:
        return formats.moment(getattr(user, name))

    show.__name__ = name
    return admin.display(description=label(name))(show)


def _metadata(name: str) -> Callable[[Columns, ClerkUser], Shown]:
    """A column of JSON that may be hidden."""

    def show(self: Columns, user: ClerkUser) -> Shown:
        if self.masked:
            return formats.mark(HIDDEN)
        return formats.json_block(getattr(user, name), label=label(name))

    show.__name__ = name
    return admin.display(description=label(name))(show)


class Columns:
    """The columns; there are two of these, so that Django can compare their methods."""

    def __init__(self, *, masked: bool) -> None:
        self.masked = masked

    def text(self, value: str | None) -> Shown:
        """A text, masked if need be."""
        return formats.text(mask(value) if self.masked and value else value)

    @admin.display(description=gettext_lazy("photo"))
    def photo(self, user: ClerkUser) -> Shown:
        """The picture if pictures are loaded from other hosts, else initials."""
        if self.masked:
            return formats.initials(())
        picture = formats.picture(user.image_url) if settings.ADMIN_PHOTOS else None
        names = (user.first_name, user.last_name)
        return picture or formats.initials(names if any(names) else (user.username or user.email,))

    @admin.display(description=gettext_lazy("name"))
    def name(self, user: ClerkUser) -> Shown:
        """The best there is to call a user by."""
        if not self.masked or user.display_name == user.clerk_id:
            return formats.text(user.display_name)
        words = [mask(word) for word in (user.first_name, user.last_name) if word]
        return formats.text(" ".join(words) or mask(user.display_name))

    @admin.display(description=gettext_lazy("e-mail address"))
    def email(self, user: ClerkUser) -> Shown:
        """The address with its mark."""
        return self._with_mark(user.email, is_verified=user.email_verified)

    @admin.display(description=gettext_lazy("phone number"))
    def phone(self, user: ClerkUser) -> Shown:
        """The number with its mark."""
        return self._with_mark(user.phone_number, is_verified=user.phone_verified)

    def _with_mark(self, value: str | None, *, is_verified: bool) -> Shown:
        if not value:
            return formats.EMPTY
        shown = formats.mark(_("✓ verified"), kind="good") if is_verified else formats.mark(_("not verified"))
        return format_html("{} {}", self.text(value), shown)

    @admin.display(description=gettext_lazy("state"))
    def state(self, user: ClerkUser) -> Shown:
        """The state, and what else keeps a user out."""
        return formats.marks(_states(user))

    @admin.display(description=gettext_lazy("placeholder data"))
    def placeholders(self, user: ClerkUser) -> Shown:
        """The columns that hold placeholder data, with the rules that say so."""
        found = PlaceholderRules.from_settings().find(
            clerk_id=user.clerk_id,
            email=user.email,
            first_name=user.first_name,
            last_name=user.last_name,
            username=user.username,
            phone_number=user.phone_number,
        )
        reasons = ((formats.mark(f"⚠ {label(one.field)}", kind="bad"), one.rule) for one in found)
        return format_html_join(" ", '{} <span class="quiet">{}</span>', reasons) or formats.EMPTY

    first_name = _personal("first_name")
    last_name = _personal("last_name")
    username = _personal("username")
    external_id = _personal("external_id")
    banned = _flag("banned")
    locked = _flag("locked")
    deprovisioned = _flag("deprovisioned")
    password_enabled = _flag("password_enabled")
    two_factor_enabled = _flag("two_factor_enabled")
    created_at = _time("created_at")
    last_sign_in_at = _time("last_sign_in_at")
    last_written = _time("last_written")
    public_metadata = _metadata("public_metadata")
    private_metadata = _metadata("private_metadata")
    unsafe_metadata = _metadata("unsafe_metadata")

    @admin.display(description=gettext_lazy("payload"))
    def payload(self, user: ClerkUser) -> Shown:
        """The user as Clerk sent it."""
        if user.payload_text is None:
            return formats.EMPTY
        if self.masked:
            return formats.mark(HIDDEN)
        return formats.json_text_block(user.payload_text, label=_("payload"))

    @admin.display(description=gettext_lazy("in Clerk's dashboard"))
    def dashboard(self, user: ClerkUser) -> Shown:
        """A link to the user, if it is known whose users these are."""
        mirror = MirrorState.objects.filter(pk=1).first()
        if mirror is None or not mirror.instance_id or user.state == ClerkUser.State.DELETED:
            return formats.EMPTY
        return format_html(
            '<a href="{}" target="_blank" rel="noopener noreferrer">{}</a> <span class="quiet">{}</span>',
            DASHBOARD.format(quote(user.clerk_id, safe="")),
            _("Open the user"),
            _("in the instance last used there; the user is of %(instance)s (%(environment)s)")
            % {"instance": mirror.instance_id, "environment": mirror.environment},
        )

    @admin.display(description=label("user"))
    def django_user(self, user: ClerkUser) -> Shown:
        """A link to the Django user, by the key alone: nothing of the other table is read."""
        if user.user_id is None:
            return formats.EMPTY
        model = get_user_model()._meta
        try:
            address = reverse(f"admin:{model.app_label}_{model.model_name}_change", args=[user.user_id])
        except NoReverseMatch:  # their admin does not show users
            return told(user.user_id)
        return format_html('<a href="{}">{}</a>', address, told(user.user_id))


def _states(user: ClerkUser) -> Iterator[tuple[object, str]]:
    """The marks of a user's state, with their kinds."""
    yield user.get_state_display(), "good" if user.is_active else ""
    for name in ("banned", "locked", "deprovisioned"):
        if getattr(user, name):
            yield label(name), "bad"
    if user.needs_refresh:
        yield _("needs refresh"), "bad"


PLAIN = Columns(masked=False)
MASKED = Columns(masked=True)
