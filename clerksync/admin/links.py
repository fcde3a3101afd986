"""Addresses of the lists in the admin, for who may see them."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode


class Links:
    """The lists of one site, as one viewer may see them; "" where there is none to be seen."""

    def __init__(self, site: AdminSite, request: HttpRequest) -> None:
        self.site = site
        self.request = request
        self._seen: dict[type[Model], bool] = {}

    def of(self, model: type[Model], **filters: str) -> str:
        """The list of a model, filtered: ``of(WebhookEvent, state__exact="failed")``."""
        if not self._may_see(model):
            return ""
        address = self._reverse(model, "changelist")
        return f"{address}?{urlencode(filters)}" if filters else address

    def to(self, row: Model) -> str:
        """The page of a row."""
        return self._reverse(type(row), "change", row.pk) if self._may_see(type(row)) else ""

    def _may_see(self, model: type[Model]) -> bool:
        if model not in self._seen:
            # A project may have taken a list out of its site.
            self._seen[model] = self.site.is_registered(model) and self.site.get_model_admin(
                model
            ).has_view_permission(self.request)
        return self._seen[model]

    def _reverse(self, model: type[Model], page: str, *args: Any) -> str:
        opts = model._meta
        name = f"admin:{opts.app_label}_{opts.model_name}_{page}"
        return reverse(name, args=args, current_app=self.site.name)
