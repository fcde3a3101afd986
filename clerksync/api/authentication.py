"""Clerk's session tokens for Django REST framework."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication

from clerksync.api.errors import INACTIVE, NotSignedIn, Unavailable, code_of
from clerksync.claims import Claims
from clerksync.conf import settings
from clerksync.deferral import deferral
from clerksync.exceptions import TokenError
from clerksync.sessions import bearer_token, read_session
from clerksync.visits import Visit, django_user_of


class ClerkAuthentication(BaseAuthentication):
    """Lets users in by the session token in the Authorization header, else by Clerk's cookies.

    ``request.auth`` is the Claims. ``request.user`` is the ClerkUser; with
    ``CLERKSYNC_LINK_USERS`` it is the linked Django user, and an AnonymousUser (so 403 where
    somebody is needed) if the session is genuine and nobody is linked.

    - A Bearer token that is not accepted is answered with 401 and a code. A cookie that is
      not accepted makes a visitor: other authenticators come next, and the reason is in
      WWW-Authenticate if the answer is a 401.
    - With cookies, unsafe methods need Django's CSRF token (403 without).
    - An Authorization header with another scheme is left to other authenticators, and then
      cookies do not count.
    - Banned, deprovisioned and deleted users, and linked users who are not active, get 401.
    - While Clerk's keys or the table cannot be read the answer is 503, never 401.

    Let it stand first among the authenticators: the first one decides between 401 and 403.

    A user who is not known, or no longer fresh, is read from Clerk, unless ClerkMiddleware has
    seen to it. Views that run in a transaction (``ATOMIC_REQUESTS``) would hold it open
    meanwhile; with the middleware that happens before, outside of it.
    """

    realm = "api"

    def authenticate(self, request: Any) -> tuple[Any, Claims] | None:
        """Return the user and the claims; None if there is no token."""
        http: HttpRequest = request._request
        bearer = bearer_token(http)
        if bearer is None and http.META.get("HTTP_AUTHORIZATION"):
            return None
        visit = _visit(http)
        claims = visit.session.claims
        if claims is None:
            _refuse(visit, is_bearer=bearer is not None)
            return None
        if bearer is None:
            # A browser sends cookies along with whatever another site has it send.
            SessionAuthentication().enforce_csrf(request)
        if not visit.is_captured and visit.needs_capture:
            visit.capture(defer=deferral())
        return _user(visit), claims

    def authenticate_header(self, request: Any) -> str:
        """Return what goes with a 401."""
        problem = _problem(request._request)
        reason = f', error="invalid_token", error_description="{problem}"' if problem else ""
        return f'Bearer realm="{self.realm}"{reason}'


def _visit(http: HttpRequest) -> Visit:
    visit = getattr(http, "clerk_visit", None)
    return visit if isinstance(visit, Visit) else Visit(http, read_session(http))


def _refuse(visit: Visit, *, is_bearer: bool) -> None:
    problem = visit.session.problem
    if problem is None:
        return
    if not isinstance(problem, TokenError):
        raise Unavailable
    if is_bearer:
        raise NotSignedIn(code_of(problem))


def _user(visit: Visit) -> Any:
    row = visit.row()
    if row is None:
        raise Unavailable
    if not visit.is_welcome():
        raise NotSignedIn(INACTIVE)
    if not settings.LINK_USERS:
        return row
    try:
        user = django_user_of(row)
    except (DatabaseError, InterfaceError) as error:
        raise Unavailable from error
    if user is None:
        return AnonymousUser()
    if not user.is_active:
        raise NotSignedIn(INACTIVE)
    return user


def _problem(http: HttpRequest) -> str | None:
    visit = getattr(http, "clerk_visit", None)
    if not isinstance(visit, Visit):
        return None
    if visit.session.claims is not None:
        return INACTIVE
    return code_of(visit.session.problem) if isinstance(visit.session.problem, TokenError) else None
