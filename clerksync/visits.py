"""One request of somebody with a Clerk session: who that is, here."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, InterfaceError, router
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject

from clerksync import known, linking, mirror, quiet
from clerksync.capture import Defer, capture, is_settled
from clerksync.conf import settings
from clerksync.logs import Log
from clerksync.models import ClerkUser
from clerksync.records import DELETED, INCOMPLETE
from clerksync.sessions import Session
from clerksync.times import aware

logger = logging.getLogger(__name__)


class Visit:
    """Who comes with a request, read when it is first asked for.

    Args:
        request: Gets ``clerk``, ``clerk_state``, ``clerk_user`` and, where users are linked, ``user``.
        session: What its tokens say.
    """

    def __init__(self, request: HttpRequest, session: Session) -> None:
        self.request = request
        self.session = session
        #: Whether ``capture`` was called for this request.
        self.is_captured = False
        self._row: ClerkUser | None = None
        self._is_read = False
        self._began_at = datetime.now(UTC)
        self._is_put_off = False
        given: Any = request
        given.clerk_visit = self
        given.clerk = session.claims
        given.clerk_state = session.state
        given.clerk_user = None if session.claims is None else SimpleLazyObject(self.user)
        given.aclerk_user = self.auser
        if session.claims is not None and settings.LINK_USERS and not _is_exempt(request.path):
            given.user = SimpleLazyObject(self.linked_user)
            given.auser = sync_to_async(self.linked_user)

    @property
    def needs_capture(self) -> bool:
        """Whether the table may not know the user, or not freshly."""
        return self.session.claims is not None and not is_settled(self.session.claims)

    def capture(self, *, defer: Defer | None = None, thorough: bool = False) -> None:
        """Read the user from Clerk if that is needed."""
        if self.session.claims is not None:
            self._row = capture(
                self.session.claims,
                defer=defer and self._noting(defer),
                thorough=thorough,
                claimed=self._is_put_off,
            )
            self._is_read = self.is_captured = True
            if self._row is None or self._row.state == DELETED:
                # Here, and not in a lazy object: ``request.clerk_user is None`` is to be true.
                self.request.clerk_user = None  # type: ignore[attr-defined]

    def captured_row(self) -> ClerkUser | None:
        """The row after Clerk was asked at once, if anything speaks for it; asks once in a request.

        It has the time of the last completed scan as ``scanned_at``.
        """
        checked_at = self._row.checked_at if self.is_captured and self._row is not None else None
        was_tried = checked_at is not None and aware(checked_at) >= self._began_at
        if self._is_put_off or not was_tried:
            self.capture(thorough=True)
        return self._row

    def _noting(self, defer: Defer) -> Defer:
        """Let us know that the read was put off."""

        def put_off(clerk_id: str, at_ms: int) -> None:
            self._is_put_off = True
            defer(clerk_id, at_ms)

        return put_off

    def row(self) -> ClerkUser | None:
        """The row of the user, whatever its state; None if there is none, or no database."""
        if not self._is_read and self.session.claims is not None:
            try:
                self._row = _load(self.session.claims.user_id)
            except (DatabaseError, InterfaceError) as error:
                quiet.warn(logger, Log.PAGE_WITHOUT_TABLE, "The table of users cannot be read: %s", error)
            self._is_read = True
        return self._row

    def user(self) -> ClerkUser | None:
        """The user, unless Clerk has deleted them."""
        row = self.row()
        return None if row is None or row.state == DELETED else row

    async def auser(self) -> ClerkUser | None:
        """The same for async views."""
        return self.user() if self._is_read else await sync_to_async(self.user)()

    def is_welcome(self) -> bool:
        """Whether there is a session, of somebody who is not known to be banned or gone."""
        row = self.row()
        return self.session.claims is not None and (
            row is None or row.is_active or (row.state == INCOMPLETE and not row.banned)
        )

    def linked_user(self) -> Any:
        """The Django user; an AnonymousUser if there is none, or one who is not active or shut out of Clerk."""
        row = self.row()
        try:
            # Of the row, too: not every model has is_active, and it may not have been written yet.
            user = None if row is None or row.is_shut_out else django_user_of(row)
        except (DatabaseError, InterfaceError) as error:
            quiet.warn(logger, Log.PAGE_WITHOUT_TABLE, "The Django user cannot be read: %s", error)
            user = None
        return AnonymousUser() if user is None or not user.is_active else user


def django_user_of(row: ClerkUser) -> Any:
    """The Django user of a row, or None; who has none is searched for once in a while, not for every page.

    Raises:
        django.db.Error: The database failed.
    """
    if row.user_id is None and known.is_undecided(row.pk, revision=row.revision):
        return None
    user = linking.user_for(row)
    if user is None:
        known.note_undecided(row.pk, revision=row.revision)
    return user


def _load(clerk_id: str) -> ClerkUser | None:
    # A replica may not have heard yet of a user who has just been captured.
    for alias in dict.fromkeys((router.db_for_read(ClerkUser), mirror.database())):
        users = ClerkUser.objects.using(alias).defer("payload_text")
        if settings.LINK_USERS:
            users = users.select_related("user")
        if (row := users.filter(pk=clerk_id).first()) is not None:
            return row
    return None


def _is_exempt(path: str) -> bool:
    """Whether Django's own session decides who the user is; by default below the admin's path."""
    paths = settings.EXEMPT_PATHS
    if paths is None:
        try:
            paths = (reverse("admin:index"),)
        except NoReverseMatch:
            return False
    return path.startswith(tuple(paths))
