"""The users."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from clerksync import searching
from clerksync.admin import filters
from clerksync.admin.anonymizing import AnonymizingAdmin
from clerksync.admin.columns import columns_for, is_masked, may_read_again
from clerksync.admin.exporting import ExportingAdmin
from clerksync.admin.reading import MAX_USERS, read_again
from clerksync.admin.timeline import entries
from clerksync.conf import settings
from clerksync.models import ClerkUser

#: What the list shows; metadata and payload are kilobytes a user.
_LISTED = (
    "email", "email_verified", "phone_number", "username", "first_name", "last_name", "image_url",
    "state", "banned", "locked", "deprovisioned", "doubt_reason",
    "created_at", "last_sign_in_at", "last_written",
)  # fmt: skip


class UserList(ChangeList):
    """The list of users, without their payloads."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.search_help_text = searching.help_text(exact=is_masked(request))

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[ClerkUser]:
        """Only the columns of the list."""
        users = super().get_queryset(request, *args, **kwargs).only(*_LISTED)
        if self.query or filters.names_users(self.params):
            # The same order, but not by the index: the few that were found are sorted. PostgreSQL may
            # else walk over all users in the order of the index until it has met a page of them.
            return users.order_by((F("created_ms") + 0).desc(), "-pk")
        return users


@admin.register(ClerkUser)
class ClerkUserAdmin(ExportingAdmin, AnonymizingAdmin):
    """Shows users; who may change them may have them read again from Clerk."""

    actions = ["read_users_again", "anonymize_users"]
    change_form_template = "clerksync/admin/user.html"
    change_list_template = "clerksync/admin/users.html"
    filter_names = frozenset(
        {"state__exact", "banned__exact", "email_verified__exact"}
        | {"has_email", "needs_refresh", "placeholder", "created"}
    )
    list_filter = [
        "state",
        "banned",
        "email_verified",
        filters.HasEmail,
        filters.Placeholder,
        filters.NeedsRefresh,
        filters.Created,
    ]
    #: Both from one index. Other columns cannot be sorted by: the database would sort the whole table.
    ordering = ["-created_ms", "-pk"]
    sortable_by = ()
    search_fields = searching.FIELDS

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The columns, masked if need be."""
        shown = columns_for(request)
        return [
            shown.photo, shown.name, shown.email, shown.state, shown.placeholders,
            shown.last_sign_in_at, shown.last_written, shown.created_at,
        ]  # fmt: skip

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> list[Any]:
        """The name leads to the user."""
        return [columns_for(request).name]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything that is known of a user; what is long is collapsed."""
        shown = columns_for(request)
        return [
            (None, {"fields": [
                "clerk_id", shown.photo, shown.name, shown.state, shown.placeholders, shown.dashboard,
                shown.django_user,
            ]}),
            (gettext_lazy("Identity"), {"fields": [
                shown.email, shown.phone, shown.username, shown.first_name, shown.last_name, shown.external_id,
            ]}),
            (gettext_lazy("Account"), {"fields": [
                shown.banned, shown.locked, shown.deprovisioned, shown.password_enabled, shown.two_factor_enabled,
                "created_at", "updated_at", "last_sign_in_at", "last_active_at", "legal_accepted_at",
            ]}),
            (gettext_lazy("Mirror"), {"fields": [
                "first_seen", "last_written", "source", "provenance", "problems", "doubt_reason",
                "deleted_at", "deleted_by",
            ]}),
            (gettext_lazy("Metadata"), {"classes": ["collapse"], "fields": [
                shown.public_metadata, shown.private_metadata, shown.unsafe_metadata,
            ]}),
            (gettext_lazy("Payload"), {"classes": ["collapse"], "fields": [shown.payload]}),
            (gettext_lazy("Bookkeeping"), {"classes": ["collapse"], "fields": [
                "updated_ms", "observed_ms", "created_ms", "digest", "seal", "doubt_ms", "doubt_tries", "retry_ms",
                "regressed_ms", "revision",
            ]}),
        ]  # fmt: skip

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """The list without payloads."""
        return UserList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ClerkUser], search_term: str
    ) -> tuple[QuerySet[ClerkUser], bool]:
        """Search by index."""
        return searching.search(queryset, search_term, exact=is_masked(request)), False

    def has_read_again_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return may_read_again(request)

    @admin.action(permissions=["read_again"], description=gettext_lazy("Read again from Clerk"))
    def read_users_again(self, request: HttpRequest, queryset: QuerySet[ClerkUser]) -> None:
        """Read the chosen users again, a page of them at most."""
        ids = list(queryset.values_list("pk", flat=True)[: MAX_USERS + 1])
        if len(ids) > MAX_USERS:
            messages.error(
                request,
                _(
                    "Nothing was read: at most %(limit)d users can be read at once. For all users run: %(command)s"
                )
                % {"limit": MAX_USERS, "command": "manage.py sync_clerk_users"},
            )
            return
        read_again(request, ids)

    # No transaction is held open while Clerk is asked, even if ATOMIC_REQUESTS is set.
    @method_decorator(transaction.non_atomic_requests)
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list and run the actions."""
        context = {**(extra_context or {}), "may_export": self.has_export_permission(request)}
        return super().changelist_view(request, context)

    @method_decorator([transaction.non_atomic_requests, require_POST])
    def read_again_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Read one user again, from the user's own page."""
        if not self.has_read_again_permission(request):
            raise PermissionDenied
        user = self.get_object(request, unquote(object_id))
        if user is None:
            raise Http404
        read_again(request, [user.pk])
        return redirect(
            reverse("admin:clerksync_clerkuser_change", args=[object_id], current_app=self.admin_site.name)
        )

    def get_urls(self) -> list[URLPattern]:
        """The addresses, with the one that reads a user again."""
        view = self.admin_site.admin_view(self.read_again_view)
        own = path("<path:object_id>/read-again/", view, name="clerksync_clerkuser_read_again")
        return [own, *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Say whether the buttons are shown."""
        context["may_read_again"] = self.has_read_again_permission(request)
        context["may_anonymize"] = self.has_anonymize_permission(request)
        if settings.HISTORY and (user := kwargs.get("obj")) is not None:
            context["timeline"] = entries(user.pk, masked=is_masked(request))
        return super().render_change_form(request, context, *args, **kwargs)
