"""The caller's profile, and all users for those who may read them; nothing is written but what a read from Clerk brings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.db.models import QuerySet
from django.http import Http404
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.response import Response

from clerksync import pagereads
from clerksync.api.authentication import ClerkAuthentication
from clerksync.api.errors import Unavailable
from clerksync.api.pagination import UserPagination
from clerksync.api.permissions import IsClerkUser
from clerksync.api.queries import narrow, read_query
from clerksync.api.serializers import (
    PRIVATE,
    ProfileQuery,
    ProfileSerializer,
    UserQuery,
    UserSerializer,
    UsersQuery,
)
from clerksync.conf import settings
from clerksync.freshness import known_age
from clerksync.models import ClerkUser
from clerksync.records import INCOMPLETE

#: Seconds since what is told was known to be right; sent where that is longer than it should be.
AGE_HEADER = "Clerk-Data-Age"
MAY_READ_PRIVATE = f"clerksync.view_{PRIVATE}"


class UserView(GenericAPIView):
    """What the views have in common; ``query_class`` declares what they can be asked."""

    query_class: ClassVar[type] = ProfileQuery
    filter_backends = ()
    pagination_class: ClassVar[type | None] = None

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """The view, outside of ATOMIC_REQUESTS' transactions: none is held open while Clerk is asked."""
        view = super().as_view(**initkwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    @cached_property
    def asked(self) -> Mapping[str, Any]:
        """The parameters, as ``query_class`` reads them."""
        asked = read_query(self.query_class, self.request.query_params)
        # Not every model of users has permissions.
        has_permission = getattr(self.request.user, "has_perm", lambda name: False)
        if "include" in asked and not has_permission(MAY_READ_PRIVATE):
            raise PermissionDenied(_("You may not read private metadata."))
        return asked

    def get_serializer_context(self) -> dict[str, Any]:
        """Tell the serializer what to include."""
        context: dict[str, Any] = super().get_serializer_context()
        # A schema is of no request of anybody's, and tells of everything.
        if getattr(self, "swagger_fake_view", False):
            return context
        return {**context, "include": self.asked.get("include")}

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Let nobody keep personal data."""
        response = super().finalize_response(request, response, *args, **kwargs)
        patch_cache_control(response, no_store=True, private=True)
        patch_vary_headers(response, ("Authorization", "Cookie"))
        return response


class Me(UserView):
    """The caller, read from Clerk before answering if the table does not know them, or not well."""

    authentication_classes = (ClerkAuthentication,)
    permission_classes = (IsClerkUser,)
    serializer_class = ProfileSerializer

    def get(self, request: Any) -> Any:
        """Your own profile.

        A profile that is missing, incomplete, older than it should be or made of placeholders is
        read from Clerk first. If that is not possible the answer is what is known, and the
        header Clerk-Data-Age says for how many seconds nobody has known better.
        """
        context = self.get_serializer_context()  # may refuse, before Clerk is asked
        row = request.clerk_visit.captured_row()
        if row is None:
            raise Unavailable
        response = Response(self.get_serializer_class()(row, context=context).data)
        age = _age(row)
        if age is not None:
            response[AGE_HEADER] = str(age)
        return response


class AnyUser(UserView):
    """Users as ``CLERKSYNC_API_PERMISSION`` allows; also for Django's own sessions, as the admin has them."""

    authentication_classes = (ClerkAuthentication, SessionAuthentication)
    serializer_class = UserSerializer
    lookup_field = "clerk_id"

    def get_permissions(self) -> list[Any]:
        """The permission that the setting names; at first use, so that it may stand in any module."""
        try:
            return [import_string(settings.API_PERMISSION)()]
        except ImportError as error:
            raise ImproperlyConfigured(
                f"CLERKSYNC_API_PERMISSION: {settings.API_PERMISSION!r} leads nowhere."
            ) from error

    def get_queryset(self) -> QuerySet[ClerkUser]:
        """The users who fit, without what is not told."""
        unwanted = ["payload_text", *([] if self.asked.get("include") else [PRIVATE])]
        return narrow(ClerkUser.objects.defer(*unwanted), self.asked)


class UserList(AnyUser, ListAPIView):
    """All users, in pages."""

    query_class = UsersQuery
    pagination_class = UserPagination


class UserDetail(AnyUser, RetrieveAPIView):
    """One user."""

    query_class = UserQuery

    def get_object(self) -> ClerkUser:
        """The user of the id, which may be anything that fits into a URL."""
        if "\0" in self.kwargs[self.lookup_field]:
            raise Http404  # PostgreSQL takes no such text
        user: ClerkUser = super().get_object()
        return user


def _age(row: ClerkUser) -> int | None:
    """Seconds, if they are more than they should be."""
    age = known_age(
        row, now=datetime.now(UTC), now_ms=pagereads.now_ms(), scanned_at=getattr(row, "scanned_at", None)
    )
    seconds, limit = int(age.total_seconds()), settings.REFRESH_AFTER
    is_late = limit is not None and seconds > limit
    return seconds if is_late or row.needs_refresh or row.state == INCOMPLETE else None
