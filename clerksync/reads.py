"""Reads one user by id: what Clerk answers, as an observation."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from clerksync.client import ClerkClient
from clerksync.exceptions import (
    ClerkRejected,
    FilterIgnored,
    InvalidResponse,
    KeyRejected,
    NotFound,
    PayloadError,
)
from clerksync.payloads import Kind, Observation, Parser, Source
from clerksync.records import Row


class Reader:
    """Reads users one by one.

    Args:
        client: Clerk.
        parser: Under which settings users are read.
        provenance: The id of the run, or what else asks.
    """

    def __init__(self, client: ClerkClient, parser: Parser, *, provenance: str) -> None:
        self.client = client
        self.parser = parser
        self.provenance = provenance

    def read(self, clerk_id: str, *, observed_ms: int | None = None) -> Observation:
        """Read a user; one who is not there is an observation too.

        Args:
            clerk_id: Whom.
            observed_ms: The time to note for a 404, in ms of Clerk's clock; None for that of the request.

        Raises:
            ClerkUnavailable: No answer.
            KeyRejected: The secret key is wrong.
            FilterIgnored: The answer is about another user.
        """
        asked_ms = self.client.now_ms()
        try:
            page = self.client.get_user(clerk_id)
        except KeyRejected:
            raise
        except NotFound as error:
            # Before its first answer a client knows no clock but ours, which may be hours off.
            told_ms = asked_ms if error.observed_ms is None else error.observed_ms
            return Observation(
                clerk_id=clerk_id,
                source=Source.GET,
                kind=Kind.ABSENT,
                observed_ms=told_ms if observed_ms is None else observed_ms,
                provenance=self.provenance,
            )
        except ClerkRejected as error:
            # One user whom Clerk does not give out must not keep the others waiting.
            return self.unreadable(clerk_id, f"Clerk refuses to show the user: status {error.status}")
        except InvalidResponse as error:
            return self.unreadable(clerk_id, f"Clerk's answer is no user: {error}")
        try:
            observation = self.parser.parse_user(
                page.body, source=Source.GET, observed_ms=page.observed_ms, provenance=self.provenance
            )
        except PayloadError as error:
            return self.unreadable(clerk_id, error.reason)
        if observation.clerk_id != clerk_id:
            raise FilterIgnored(f"Clerk was asked for {clerk_id} and answered {observation.clerk_id}")
        return observation

    def unreadable(self, clerk_id: str, reason: str) -> Observation:
        """A user of whom nothing but the id is known, and why."""
        return Observation(
            clerk_id=clerk_id,
            source=Source.GET,
            full=False,
            observed_ms=self.client.now_ms(),
            problems=(reason,),
            provenance=self.provenance,
        )


def later_than(rows: Mapping[str, Row], observation: Observation) -> Observation:
    """The observation with a time after the row's and its doubt's, which it has.

    The row was read before the request was sent, and Clerk's ``Date`` has whole seconds only.
    """
    row = rows.get(observation.clerk_id)
    if row is None:
        return observation
    later = max(observation.observed_ms, max(row.observed_ms, row.doubt_ms) + 1)
    return msgspec.structs.replace(observation, observed_ms=later)
