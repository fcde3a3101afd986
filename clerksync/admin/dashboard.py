"""The page "Clerk sync": is the mirror right now, and what has been going on."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from clerksync import status, webhooks
from clerksync.admin import curves, formats, overview
from clerksync.admin.launching import buttons_for, press
from clerksync.admin.links import Links
from clerksync.admin.readonly import ReadOnlyAdmin
from clerksync.admin.runs import standing
from clerksync.models import ClerkUser, MirrorState, ScheduledJob, SyncRun
from clerksync.status import Figures


@admin.register(MirrorState)
class DashboardAdmin(ReadOnlyAdmin):
    """In place of a list of the one row there is; who may view the state of the mirror sees it.

    Registered like any other model, it is in the index of every site that has it, and asks nothing
    of the site's class.
    """

    # Each part reads what it needs; none must fail for another that has.
    @method_decorator(transaction.non_atomic_requests)
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        figures = status.measure()
        context = {
            **self.admin_site.each_context(request),
            "title": self.opts.verbose_name_plural,
            "opts": self.opts,
            "media": self.media,
            "standing": standing(figures.status),
            "buttons": buttons_for(request),
            "instance": figures.status.instance_id,
            "environment": figures.status.environment,
            "read_at": formats.moment(figures.status.read_at),
            **self._told(figures, request),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "clerksync/admin/dashboard.html", context)

    @method_decorator([transaction.non_atomic_requests, require_POST])
    def press_view(self, request: HttpRequest, work: str) -> HttpResponse:
        """Do what a button says, and come back."""
        button = next((button for button in buttons_for(request) if button.work == work), None)
        if button is None or not self.has_view_permission(request):
            raise PermissionDenied
        press(request, button)
        return redirect(reverse(f"admin:{self._name('changelist')}", current_app=self.admin_site.name))

    def get_urls(self) -> list[URLPattern]:
        """The page alone: the row has none of its own."""
        return [
            path("", self.admin_site.admin_view(self.changelist_view), name=self._name("changelist")),
            path("<str:work>/", self.admin_site.admin_view(self.press_view), name=self._name("press")),
        ]

    def _name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def _told(self, figures: Figures, request: HttpRequest) -> dict[str, Any]:
        found, links = figures.status, Links(self.admin_site, request)
        if not found.is_known or not figures.hours:
            return {}  # the state says what is the matter, and nothing else can be read
        return {
            "figures": figures,
            "times": list(overview.times(found)),
            "assumption": overview.assumption(),
            "waiting": list(overview.waiting(found, links)),
            "deliveries": list(overview.deliveries(figures, links)),
            "budget": list(overview.budget(figures)),
            "users": overview.users(found, links),
            "rejected": overview.rejected(figures, links),
            "runs": overview.runs(links),
            "jobs": overview.jobs(found),
            "users_as_of": formats.moment(found.users_as_of),
            "all_users": links.of(ClerkUser),
            "all_runs": links.of(SyncRun),
            "all_jobs": links.of(ScheduledJob),
            "event_charts": [curves.events_by_hour(figures, links), curves.events_by_day(figures, links)],
            "other_charts": [curves.changes_by_day(figures), curves.requests_by_hour(figures)],
            "endpoint": _endpoint(request),
            "has_secret": bool(webhooks.configured_secrets()),
        }


def _endpoint(request: HttpRequest) -> str:
    """Where webhooks arrive; "" if no address leads there."""
    try:
        return request.build_absolute_uri(reverse("clerksync:webhook"))
    except NoReverseMatch:
        return ""
