"""The action "Anonymize", and the button of the same name: a page that asks, then what was done."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from clerksync import subjects
from clerksync.admin.readonly import ReadOnlyAdmin
from clerksync.client import ClerkClient
from clerksync.exceptions import ClerkSyncError
from clerksync.models import ClerkUser
from clerksync.subjects import Receipt

#: Clerk is asked for each of them.
MAX_USERS = 20


class AnonymizingAdmin(ReadOnlyAdmin):
    """Adds the action and the button's page; ``clerksync.anonymize_clerkuser`` is needed."""

    def get_urls(self) -> list[URLPattern]:
        """The addresses, with the one of the button."""
        view = self.admin_site.admin_view(self.anonymize_view)
        own = path("<path:object_id>/anonymize/", view, name="clerksync_clerkuser_anonymize")
        return [own, *super().get_urls()]

    def has_anonymize_permission(self, request: HttpRequest) -> bool:
        """Whether the viewer may let go of users."""
        return request.user.has_perm("clerksync.anonymize_clerkuser")

    @admin.action(permissions=["anonymize"], description=gettext_lazy("Anonymize for good"))
    def anonymize_users(self, request: HttpRequest, queryset: QuerySet[ClerkUser]) -> HttpResponse | None:
        """Ask, and anonymize the chosen users, a few at most."""
        ids = list(queryset.values_list("pk", flat=True)[: MAX_USERS + 1])
        if len(ids) > MAX_USERS:
            told = _("Nothing was done: at most %(limit)d users can be anonymized at once.")
            messages.error(request, told % {"limit": MAX_USERS})
            return None
        if request.POST.get("confirmed") != "yes":
            return self._ask(request, ids, action="anonymize_users")
        self._anonymize(request, ids)
        return None

    # No transaction is held open while Clerk is asked, even if ATOMIC_REQUESTS is set.
    @method_decorator([transaction.non_atomic_requests, require_http_methods(["GET", "POST"])])
    def anonymize_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask about one user, or do it."""
        if not self.has_anonymize_permission(request):
            raise PermissionDenied
        user = self.get_object(request, unquote(object_id))
        if user is None:
            raise Http404
        if request.method != "POST":
            return self._ask(request, [user.pk])
        self._anonymize(request, [user.pk])
        return redirect(
            reverse("admin:clerksync_clerkuser_change", args=[object_id], current_app=self.admin_site.name)
        )

    def _ask(self, request: HttpRequest, ids: Sequence[str], *, action: str = "") -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Anonymize for good?"),
            "opts": self.model._meta,
            "ids": ids,
            "action": action,
        }
        return TemplateResponse(request, "clerksync/admin/anonymize.html", context)

    def _anonymize(self, request: HttpRequest, ids: Sequence[str]) -> None:
        try:
            with ClerkClient(purpose="web") as client:
                shown = subjects.shown_by_clerk(client, ids)
        except (ClerkSyncError, ImproperlyConfigured) as error:
            messages.error(request, _("Nothing was done: %(error)s") % {"error": error})
            return
        for clerk_id in shown:
            told = _("%(user)s was left alone, for Clerk still has the user: delete them there first.")
            messages.error(request, told % {"user": clerk_id})
        events = subjects.find_events([clerk_id for clerk_id in ids if clerk_id not in shown])
        receipts = [self._let_go(request, clerk_id, found) for clerk_id, found in events.items()]
        done = [receipt for receipt in receipts if receipt is not None]
        if done:
            told = ngettext("%(count)d user was anonymized.", "%(count)d users were anonymized.", len(done))
            messages.success(request, told % {"count": len(done)})
        for note in dict.fromkeys(note for receipt in done for note in receipt.notes):
            messages.info(request, note)

    def _let_go(self, request: HttpRequest, clerk_id: str, events: Sequence[int]) -> Receipt | None:
        try:
            receipt = subjects.let_go(clerk_id, in_clerk=False, events=events, scrub="later")
        except ClerkSyncError as error:
            messages.error(request, str(error))
            return None
        self.log_change(request, ClerkUser.objects.get(pk=clerk_id), _("Anonymized for good."))
        return receipt
