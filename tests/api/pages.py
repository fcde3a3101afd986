"""Views of a project that uses our authentication and permissions, and our own."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.urls import include, path
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.permissions import SAFE_METHODS, AllowAny, BasePermission, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from clerksync.api.authentication import ClerkAuthentication
from clerksync.api.permissions import HasOrgPermission, HasOrgRole, IsClerkUser


class Who(APIView):
    """Tells who comes, whoever it is."""

    authentication_classes: tuple[Any, ...] = (ClerkAuthentication,)
    permission_classes: tuple[Any, ...] = (AllowAny,)

    def get(self, request: Any) -> Any:
        """Tell."""
        return Response(
            {
                "user": request.user.get_username(),
                "is_authenticated": request.user.is_authenticated,
                "kind": type(request.user).__name__,
                "session": request.auth and request.auth.session_id,
                "in_transaction": connection.in_atomic_block,
            }
        )

    post = get


class IsReading(BasePermission):
    """Whoever only reads."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Tell by the method."""
        return request.method in SAFE_METHODS


def view(*permissions: Any) -> Any:
    """The same for those with permissions."""
    return Who.as_view(permission_classes=permissions)


class Both(Who):
    """Django's sessions, and tokens of DRF, beside Clerk's."""

    authentication_classes = (ClerkAuthentication, SessionAuthentication)
    permission_classes = (IsAuthenticated,)


class Others(TokenAuthentication):
    """Another scheme, which lets nobody in."""

    def authenticate_credentials(self, key: str) -> Any:
        """Tell that it was its turn."""
        raise AssertionError(f"Token {key}")


class WithTokens(Who):
    """Another scheme beside Clerk's."""

    authentication_classes = (ClerkAuthentication, Others)


urlpatterns = [
    path("who/", Who.as_view()),
    path("in/", view(IsAuthenticated)),
    path("clerk/", view(IsClerkUser)),
    path("admins/", view(HasOrgRole("org:admin"))),
    path("notes/", view(HasOrgPermission("org:notes:read"))),
    path("either/", view(HasOrgRole("org:admin") | HasOrgPermission("org:notes:read"))),
    path("both/", view(IsClerkUser & HasOrgRole("org:admin"))),
    path("not/", view(IsClerkUser & ~HasOrgRole("org:admin"))),
    path("reading/", view(HasOrgRole("org:admin") | IsReading)),
    path("sessions/", Both.as_view()),
    path("tokens/", WithTokens.as_view()),
    path("api/", include("clerksync.api.urls")),
]
