"""Signing in and out at the demo's fake Clerk."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from clerksync.decorators import clerk_login_required
from project import demo_clerk


def renews_session(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Get a new token first where Clerk's script in the browser would have got one already."""

    @wraps(view)
    def renewing(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.clerk is None and demo_clerk.remembered(request):
            query = urlencode({"next": request.get_full_path()})
            return redirect(f"{reverse('renew')}?{query}")
        return view(request, *args, **kwargs)

    return renewing


@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in as a user of the fake Clerk."""
    clerk_id = request.POST.get("clerk_id", "")
    if not demo_clerk.may_sign_in(clerk_id):
        messages.error(request, "The fake Clerk does not let this user in: banned, locked or gone.")
        return redirect("first")
    response = redirect(_next(request.POST.get("next")))
    demo_clerk.sign_in(response, clerk_id)
    return response


@require_POST
def sign_up(request: HttpRequest) -> HttpResponse:
    """Make a user of whom only the fake Clerk knows, send no webhook, and sign in as that user."""
    user = demo_clerk.current().create_user()
    messages.success(
        request,
        "The fake Clerk has a new user, and has told nobody. "
        "The session token of this page was the first that the site heard of it.",
    )
    response = redirect("first")
    demo_clerk.sign_in(response, user["id"])
    return response


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session at the fake Clerk."""
    demo_clerk.current()
    response = redirect("first")
    demo_clerk.sign_out(response)
    return response


@require_GET
def renew(request: HttpRequest) -> HttpResponse:
    """Set a new token and go back; this is what Clerk's script does every 50 seconds."""
    clerk_id = demo_clerk.remembered(request)
    if clerk_id is None or not demo_clerk.may_sign_in(clerk_id):
        response = redirect("first")
        demo_clerk.sign_out(response)
        return response
    response = redirect(_next(request.GET.get("next")))
    demo_clerk.sign_in(response, clerk_id)
    return response


@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """Set a new token for a script, as ``getToken()`` does."""
    clerk_id = demo_clerk.remembered(request)
    if clerk_id is None or not demo_clerk.may_sign_in(clerk_id):
        raise Http404
    response = JsonResponse({"renewed": True})
    demo_clerk.sign_in(response, clerk_id)
    return response


def signed_in(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For users who are signed in, with a token that was renewed if need be."""
    return renews_session(clerk_login_required(view))


def _next(address: str | None) -> str:
    """Where to go on; nowhere but on this site."""
    if address and url_has_allowed_host_and_scheme(address, allowed_hosts=None):
        return address
    return reverse("first")
