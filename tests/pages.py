"""Pages that show what the middleware tells them, and guarded ones."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views import View
from django.views.decorators.cache import cache_page

from clerksync.decorators import ClerkLoginRequiredMixin, clerk_login_required


def plain(request: Any) -> HttpResponse:
    """What the token says; asks for no user."""
    return JsonResponse({"id": request.clerk and request.clerk.user_id, "state": request.clerk_state})


def user(request: Any) -> HttpResponse:
    """The row."""
    found = request.clerk_user
    return JsonResponse({"name": found.display_name if found else None, "is_none": found is None})


def django_user(request: Any) -> HttpResponse:
    """Django's user."""
    return JsonResponse({"user": request.user.get_username(), "in": request.user.is_authenticated})


async def plain_async(request: Any) -> HttpResponse:
    """What the token says."""
    return plain(request)


async def user_async(request: Any) -> HttpResponse:
    """The row and Django's user."""
    found = await request.aclerk_user()
    known = await request.auser()
    return JsonResponse({"name": found.display_name if found else None, "user": known.get_username()})


@clerk_login_required
def guarded(request: HttpRequest) -> HttpResponse:
    """For those who are signed in."""
    return HttpResponse("welcome")


@cache_page(60)
@clerk_login_required
def cached(request: Any) -> HttpResponse:
    """For those who are signed in, and kept by Django's cache."""
    return JsonResponse({"id": request.clerk.user_id})


@clerk_login_required
async def guarded_async(request: HttpRequest) -> HttpResponse:
    """The same."""
    return HttpResponse("welcome")


@clerk_login_required(role="org:admin")
def for_admins(request: HttpRequest) -> HttpResponse:
    """For those with a role."""
    return HttpResponse("welcome")


class Guarded(ClerkLoginRequiredMixin, View):
    """A class-based view for those who are signed in."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Answer."""
        return HttpResponse("welcome")


class GuardedAsync(ClerkLoginRequiredMixin, View):
    """An asynchronous one, for those with a permission."""

    clerk_permission = "org:notes:read"

    async def get(self, request: HttpRequest) -> HttpResponse:
        """Answer."""
        return HttpResponse("welcome")


urlpatterns = [
    path("plain/", plain),
    path("user/", user),
    path("django-user/", django_user),
    path("plain-async/", plain_async),
    path("user-async/", user_async),
    path("guarded/", guarded),
    path("cached/", cached),
    path("guarded-async/", guarded_async),
    path("guarded-class/", Guarded.as_view()),
    path("guarded-class-async/", GuardedAsync.as_view()),
    path("for-admins/", for_admins),
    path("admin/who/", django_user),
    path("admin/", admin.site.urls),
    path("clerk/", include("clerksync.urls")),
]
