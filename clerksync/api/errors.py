"""What the API answers instead of data; bodies are ``{"detail": ..., "code": ...}``."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, AuthenticationFailed

from clerksync.exceptions import TokenError

#: Every other reason is told to the log alone: it would help forgers only.
_NOT_ACCEPTED = "token_not_accepted"
INACTIVE = "user_inactive"

#: What is told to clients, by code.
DETAILS = MappingProxyType(
    {
        "expired": _("The session token has expired; get a new one."),
        "not_yet_valid": _("The session token is not valid yet; a clock is wrong."),
        "session_pending": _("The session has a task to complete first, such as choosing an organization."),
        _NOT_ACCEPTED: _("The session token is not accepted."),
        INACTIVE: _("This user may not sign in."),
    }
)


class NotSignedIn(AuthenticationFailed):
    """401: there is a token, and it does not let anybody in; ``code`` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(_body(DETAILS[code], code), code)


class Unavailable(APIException):
    """503: nobody can tell at present who that is; the same request may succeed later."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = _("Who you are cannot be verified at present.")
    #: Seconds; sent as Retry-After.
    wait = 10

    def __init__(self) -> None:
        super().__init__(_body(self.default_detail, self.default_code), self.default_code)


def code_of(error: TokenError) -> str:
    """What may be told of why a token is not accepted."""
    return error.reason if error.reason in DETAILS else _NOT_ACCEPTED


def _body(detail: Any, code: str) -> dict[str, Any]:
    return {"detail": detail, "code": code}
