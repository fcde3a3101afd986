"""Tells drf-spectacular what it cannot see; loaded where that is installed as an app."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiViewExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers

from clerksync.api.views import AGE_HEADER
from clerksync.sessions import COOKIE

_ERROR = inline_serializer(
    "ClerkError", {"detail": serializers.CharField(), "code": serializers.CharField(required=False)}
)
_REFUSALS = {
    400: OpenApiResponse(OpenApiTypes.OBJECT, "A parameter is wrong; the body has the reasons by its name."),
    401: OpenApiResponse(_ERROR, "Nobody is signed in; the code says why."),
    403: OpenApiResponse(_ERROR, "Who is signed in may not do this."),
    404: OpenApiResponse(_ERROR, "There is no such user."),
    503: OpenApiResponse(_ERROR, "It cannot be verified at present who this is; see Retry-After."),
}


class ClerkScheme(OpenApiAuthenticationExtension):
    """The two ways of a session token: the header or the cookie."""

    target_class = "clerksync.api.authentication.ClerkAuthentication"
    name = ["ClerkToken", "ClerkCookie"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        """Either will do."""
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """What they are."""
        return [
            {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A session token of Clerk, as getToken() returns it.",
            },
            {
                "type": "apiKey",
                "in": "cookie",
                "name": COOKIE,
                "description": "Clerk's cookie, on its own host; unsafe methods need Django's CSRF token.",
            },
        ]


class _ViewExtension(OpenApiViewExtension):
    match_subclasses = True
    statuses: tuple[int, ...] = (400, 401, 403, 503)

    def view_replacement(self) -> Any:
        """The view with its parameters and its refusals."""
        view = self.target
        answers: dict[Any, Any] = {200: self.success(view)}
        answers |= {status: _REFUSALS[status] for status in self.statuses}
        parameters = [view.query_class, *self.parameters()]
        decorate = extend_schema(parameters=parameters, responses=answers)
        return type(view.__name__, (view,), {"get": decorate(view.get), "__doc__": view.__doc__})

    def success(self, view: Any) -> Any:
        """What the answer is."""
        return view.serializer_class

    def parameters(self) -> list[OpenApiParameter]:
        """Further parameters."""
        return []


class MeExtension(_ViewExtension):
    """``me/``."""

    target_class = "clerksync.api.views.Me"

    def parameters(self) -> list[OpenApiParameter]:
        """The header of the answer."""
        text = "Seconds since the profile was known to be right; only where that is longer than it should be."
        return [OpenApiParameter(AGE_HEADER, int, OpenApiParameter.HEADER, description=text, response=[200])]


class UserListExtension(_ViewExtension):
    """``users/``."""

    target_class = "clerksync.api.views.UserList"

    def success(self, view: Any) -> Any:
        """A page."""
        return view.serializer_class(many=True)


class UserDetailExtension(_ViewExtension):
    """``users/{clerk_id}/``."""

    target_class = "clerksync.api.views.UserDetail"
    statuses = (400, 401, 403, 404, 503)
