"""Tells every request who is there, by Clerk's session token; works under WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseBase

from clerksync.deferral import deferral
from clerksync.sessions import read_session, recall_session, vary
from clerksync.visits import Visit

_GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class ClerkMiddleware:
    """Sets ``request.clerk``, ``request.clerk_user`` and ``request.clerk_state``.

    ``request.clerk`` holds the claims of the session token, or None. ``request.clerk_user`` is
    the ClerkUser, read when it is first used (``await request.aclerk_user()`` in async views);
    nobody for visitors, and for users whom Clerk has deleted. Before the view the user is
    captured: read from Clerk if the table does not know them, or not freshly.

    With ``CLERKSYNC_LINK_USERS`` the token also decides ``request.user`` and
    ``request.auser``, except below ``CLERKSYNC_EXEMPT_PATHS``; so it stands after
    AuthenticationMiddleware.

    Every response varies on what tokens travel in: a page of one user's is not to be given to
    another by a cache.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: _GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve one request."""
        if self.is_async:
            return self._serve_async(request)
        visit = Visit(request, read_session(request))
        if visit.needs_capture:
            visit.capture(defer=deferral())
        return vary(cast("HttpResponseBase", self.get_response(request)))

    async def _serve_async(self, request: HttpRequest) -> HttpResponseBase:
        """The same; nothing that may take longer than a signature runs in the event loop."""
        session = recall_session(request)
        visit = Visit(request, session or await sync_to_async(read_session)(request))
        if visit.needs_capture:
            await sync_to_async(partial(visit.capture, defer=deferral()))()
        return vary(await cast("Awaitable[HttpResponseBase]", self.get_response(request)))
