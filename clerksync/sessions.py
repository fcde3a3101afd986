"""The session of a request: where its token travels, and what it says."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import NamedTuple, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers

from clerksync import quiet, tokens
from clerksync.claims import Claims
from clerksync.conf import settings
from clerksync.exceptions import ClerkError, TokenError
from clerksync.logs import Log, told
from clerksync.publishable_key import cookie_suffix

logger = logging.getLogger(__name__)

COOKIE = "__session"
_SCHEME = "Bearer "

_Response = TypeVar("_Response", bound=HttpResponseBase)


class State(StrEnum):
    """How a request stands with Clerk."""

    SIGNED_IN = "signed-in"
    #: There was a session a moment ago: tokens live for 60 s, and Clerk's script fetches the next.
    EXPIRED = "expired"
    SIGNED_OUT = "signed-out"


class Session(NamedTuple):
    """What the tokens of a request say: the claims of the one that holds, if there is one.

    ``problem`` is why none holds; anything but a TokenError means that nobody could tell,
    since Clerk's keys could not be had.
    """

    state: State
    claims: Claims | None = None
    problem: TokenError | ClerkError | ImproperlyConfigured | None = None


SIGNED_OUT = Session(State.SIGNED_OUT)


def read_session(request: HttpRequest) -> Session:
    """Verify what the request carries; may ask Clerk for its keys, and so take a moment."""
    return verify(find_tokens(request))


def recall_session(request: HttpRequest) -> Session | None:
    """The session if it can be told at once: there is no token, or one that was verified before."""
    found = find_tokens(request)
    if not found:
        return SIGNED_OUT
    claims = tokens.recall(found[0])
    return None if claims is None else Session(State.SIGNED_IN, claims)


def find_tokens(request: HttpRequest) -> list[str]:
    """The tokens to try, in order: the Bearer token alone if there is one, else those of the cookies."""
    bearer = bearer_token(request)
    return cookie_tokens(request) if bearer is None else [bearer]


def bearer_token(request: HttpRequest) -> str | None:
    """The token of the Authorization header; None if there is none, or one of another scheme."""
    header = request.META.get("HTTP_AUTHORIZATION", "")
    return header[len(_SCHEME) :].strip() if header.startswith(_SCHEME) else None


def cookie_tokens(request: HttpRequest) -> list[str]:
    """The tokens of Clerk's cookies; the one that is named after our publishable key comes first.

    Several Clerk applications on one host (on localhost, for instance) share ``__session``.
    """
    names = [COOKIE]
    if settings.CLERK_PUBLISHABLE_KEY:
        names.insert(0, f"{COOKIE}_{cookie_suffix(settings.CLERK_PUBLISHABLE_KEY)}")
    found = (request.COOKIES.get(name) for name in names)
    return list(dict.fromkeys(token for token in found if token))


def verify(candidates: list[str]) -> Session:
    """The session of the first token that holds."""
    worst = SIGNED_OUT
    for token in candidates:
        try:
            return Session(State.SIGNED_IN, tokens.verify(token))
        except TokenError as error:
            logger.debug(
                "A session token was not accepted: %s",
                error,
                extra=told(Log.TOKEN_REJECTED, reason=error.reason),
            )
            if worst.state is not State.EXPIRED:
                state = State.EXPIRED if error.reason == "expired" else State.SIGNED_OUT
                worst = Session(state, None, error)
        except (ClerkError, ImproperlyConfigured) as error:
            quiet.warn(logger, Log.KEYS_UNREADABLE, "A session token could not be verified: %s", error)
            worst = Session(worst.state, None, error)
    return worst


def vary(response: _Response) -> _Response:
    """Tell caches that the response depends on who asks."""
    patch_vary_headers(response, ("Cookie", "Authorization"))
    return response
