"""The pages of ``manage.py demo --serve``."""

from __future__ import annotations

from typing import Any

import requests
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from clerksync.models import ClerkUser
from project import demo_clerk
from project.defaults import HAS_API
from project.demo_names import NameForm
from project.demo_sessions import renews_session, signed_in

#: What the profile shows, by the names of the columns.
_SHOWN = (
    "clerk_id", "email", "email_verified", "phone_number", "username", "first_name", "last_name",
    "external_id", "state", "created_at", "updated_at", "last_sign_in_at",
)  # fmt: skip


@renews_session
def first_page(request: HttpRequest) -> HttpResponse:
    """Who you are, and all users of the table, the newest first."""
    users = ClerkUser.objects.defer("payload_text").order_by("-created_at", "pk")
    return _page(request, "home", users=users)


@signed_in
def profile(request: Any) -> HttpResponse:
    """Your own row; a script of the page asks the API for it once more."""
    user = request.clerk_user
    labels = {field.name: field.verbose_name for field in ClerkUser._meta.fields}
    rows = [(name, labels[name], getattr(user, name)) for name in _SHOWN]
    return _page(request, "profile", rows=rows, api_url=reverse("clerksync_api:me") if HAS_API else None)


@signed_in
def rename(request: Any) -> HttpResponse:
    """Change your name in the fake Clerk, and see it arrive here."""
    clerk_id = request.clerk.user_id
    form = NameForm(request.POST or None, initial=_names(clerk_id))
    if request.method == "POST" and form.is_valid():
        return _rename(request, clerk_id, form.cleaned_data)
    here = request.clerk_user
    there = demo_clerk.full_name(demo_clerk.current().get(clerk_id))
    return _page(request, "rename", form=form, there=there, here=here, how=_how(here))


def _rename(request: HttpRequest, clerk_id: str, names: dict[str, Any]) -> HttpResponse:
    """Change the name there, have the webhook sent if that is wanted, and come back with a new token."""
    by_webhook = names.pop("how") == "webhook"
    demo_clerk.current().update_user(clerk_id, **names)
    if by_webhook:
        try:
            demo_clerk.send_webhook(request, clerk_id)
        except requests.RequestException as error:
            messages.error(request, _("The webhook was not accepted: %s") % error)
    response = redirect("rename")
    demo_clerk.sign_in(response, clerk_id)
    return response


def _names(clerk_id: str) -> dict[str, str]:
    user = demo_clerk.current().get(clerk_id)
    return {name: user.get(name) or "" for name in ("first_name", "last_name")}


def _how(user: ClerkUser) -> str:
    """How the table came to know what it knows."""
    match user.source:
        case "webhook":
            return _("by a webhook")
        case "get" if user.provenance == "session":
            return _("by a read from Clerk, when you opened a page")
        case _:
            return _("by a sync")


def _page(request: HttpRequest, name: str, **context: Any) -> HttpResponse:
    return render(request, f"demo/{name}.html", {"page": name, "has_api": HAS_API, **context})
