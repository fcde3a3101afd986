"""Every error that clerksync raises.

::

    ClerkSyncError
    |-- PayloadError             a user, an event or an answer that cannot be understood
    |-- WebhookError             a delivery that is not accepted; carries the status to answer
    |-- TokenError               a session token that is not accepted; carries the reason
    |-- PastUnknown              what a user was at a time that no history goes back to
    |-- ClerkError               Clerk did not give what was asked for
    |   |-- ClerkUnavailable     no answer, 5xx or 429, after all retries
    |   |   `-- BudgetSpent      not asked: the rate limit leaves no room in time
    |   |-- ClerkRejected        any other 4xx; carries status, code and trace id
    |   |   |-- KeyRejected      401: the secret key is wrong
    |   |   `-- NotFound         404
    |   `-- InvalidResponse      an answer that is not what the API documents
    |       `-- FilterIgnored    users came back that were not asked for
    `-- SyncError                a sync that could not do its work
        |-- SyncIncomplete       not every page was read and written
        |-- SyncInterrupted      stopped by an operator, can be resumed
        |-- LeaseHeld            another sync is at work
        |-- LeaseLost            another sync has taken over
        |-- DeletesRefused       the breaker: too many deletes at once
        |-- InstanceMismatch     the key opens another Clerk instance
        |-- StillInClerk         somebody is to be anonymized whom Clerk still has
        `-- NotAnonymized        the project's own code failed for a Django user

Configuration errors are Django's ``ImproperlyConfigured``, on purpose outside
this tree: no handler for run-time trouble may hide them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

#: Why a session token is not accepted. ``expired`` and ``session_pending`` are of genuine tokens of
#: users who may soon have a better one; the others are mistakes or forgeries.
TokenReason = Literal[
    "expired",
    "session_pending",
    "not_yet_valid",
    "malformed",
    "machine_token",
    "template_token",
    "category",
    "algorithm",
    "unknown_key",
    "signature",
    "missing_claim",
    "subject",
    "issuer",
    "azp",
    "audience",
]


class ClerkSyncError(Exception):
    """Base of all run-time errors; ``exit_status`` is what a command ends with."""

    exit_status: ClassVar[int] = 1


class PayloadError(ClerkSyncError):
    """JSON that cannot be turned into an observation."""

    def __init__(self, reason: str, *, clerk_id: str | None = None) -> None:
        super().__init__(f"{clerk_id}: {reason}" if clerk_id else reason)
        self.reason = reason
        self.clerk_id = clerk_id


class WebhookError(ClerkSyncError):
    """A delivery that is not accepted; ``reason`` is a word for the log and the counter."""

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(f"webhook not accepted: {reason}")
        self.reason = reason
        self.status = status


class TokenError(ClerkSyncError):
    """A session token that is not accepted; ``reason`` is a word, the message may say more."""

    def __init__(self, reason: TokenReason, detail: str = "") -> None:
        super().__init__(f"session token not accepted: {reason}{detail and f' ({detail})'}")
        self.reason = reason


class PastUnknown(ClerkSyncError):
    """What a user was at some time is not known: there was none, or the history does not go back so far."""


class ClerkError(ClerkSyncError):
    """Clerk did not give what was asked for."""


class ClerkUnavailable(ClerkError):
    """No answer, or only 5xx and 429, until the deadline."""


class BudgetSpent(ClerkUnavailable):
    """Clerk was not asked: our share of the rate limit, or a pause that Clerk asked for, leaves no room in time."""


class ClerkRejected(ClerkError):
    """Clerk refused the request; trying again would not help.

    ``observed_ms`` is when the request started, in ms of Clerk's clock; None if Clerk did not tell its time.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        trace_id: str = "",
        observed_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.trace_id = trace_id
        self.observed_ms = observed_ms


class KeyRejected(ClerkRejected):
    """The secret key is not accepted."""

    exit_status = 2


class NotFound(ClerkRejected):
    """There is no such object (or no longer)."""


class InvalidResponse(ClerkError):
    """An answer that is not what the API documents: HTML, truncated, wrong shape."""


class FilterIgnored(InvalidResponse):
    """Users came back that were not asked for, or the control user did not."""


class SyncError(ClerkSyncError):
    """A sync that could not do its work."""


class SyncIncomplete(SyncError):
    """Not every page was read and written; the run decides no delete."""


class SyncInterrupted(SyncError):
    """Stopped by an operator after a complete page."""

    exit_status = 130


class LeaseHeld(SyncError):
    """Another sync is at work."""

    exit_status = 3


class LeaseLost(SyncError):
    """This process was away for so long that another sync has taken over."""

    exit_status = 3


class DeletesRefused(SyncError):
    """More users are gone than the breaker lets a sync delete."""

    exit_status = 4

    def __init__(self, message: str, *, wanted: int, allowed: int) -> None:
        super().__init__(message)
        self.wanted = wanted
        self.allowed = allowed


class InstanceMismatch(SyncError):
    """The secret key opens another Clerk instance than the table holds."""

    exit_status = 4


class StillInClerk(SyncError):
    """Somebody is to be anonymized whom Clerk still has."""

    exit_status = 4


class NotAnonymized(SyncError):
    """The project's own code failed to anonymize a Django user."""
