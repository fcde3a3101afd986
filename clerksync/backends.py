"""The authentication backend: a session token of Clerk's instead of a password."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from clerksync import linking, tokens
from clerksync.capture import capture
from clerksync.exceptions import ClerkUnavailable, TokenError
from clerksync.logs import Log, told
from clerksync.models import ClerkUser

logger = logging.getLogger(__name__)


class ClerkBackend(BaseBackend):
    """Makes ``authenticate(request, clerk_token="...")`` answer the linked Django user.

    Stands beside ``ModelBackend``, which knows about permissions. Needs CLERKSYNC_LINK_USERS.
    """

    def authenticate(self, request: HttpRequest | None, clerk_token: str | None = None, **kwargs: Any) -> Any:
        """The Django user of the token's owner, whom the table may not know yet, if both may sign in."""
        if clerk_token is None:
            return None
        try:
            claims = tokens.verify(clerk_token)
        except TokenError as error:
            logger.debug(
                "a token was not accepted: %s",
                error.reason,
                extra=told(Log.TOKEN_REJECTED, reason=error.reason),
            )
            return None
        except ClerkUnavailable:
            logger.warning(
                "a token was not accepted, for Clerk's keys could not be read",
                extra=told(Log.KEYS_UNREADABLE),
            )
            return None
        row = capture(claims)
        user = None if row is None or row.is_shut_out else linking.user_for(row)
        return user if user is not None and user.is_active else None

    def get_user(self, user_id: Any) -> Any:
        """The Django user of a session, while active and not shut out of Clerk."""
        users: Any = get_user_model()._default_manager.select_related("clerk_user")
        user = users.defer("clerk_user__payload_text").filter(pk=user_id).first()
        row: ClerkUser | None = getattr(user, "clerk_user", None)
        if user is None or not user.is_active or (row is not None and row.is_shut_out):
            return None
        return user
