"""Observations for tests, made from the fake Clerk's users as the real sources make them."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from clerksync.payloads import Kind, Observation, Parser, Source

T0 = 1_767_225_600_000


def user_json(clerk_id: str = "user_a", **changes: Any) -> dict[str, Any]:
    """A small user with everything that a full observation needs."""
    return {
        "id": clerk_id,
        "created_at": T0 - 3_600_000,
        "updated_at": T0,
        "primary_email_address_id": "idn_1",
        "email_addresses": [
            {"id": "idn_1", "email_address": "ada@harbour-works.io", "verification": {"status": "verified"}}
        ],
        "first_name": "Ada",
        "last_name": "Marsh",
        "has_image": False,
        "banned": False,
        "locked": False,
        **changes,
    }


def observe(
    user: dict[str, Any], *, source: Source = Source.LIST, s: int | None = None, parser: Parser | None = None
) -> Observation:
    """What a source says of this user at ``s`` (default: when the user was last updated)."""
    body = json.dumps(user).encode()
    return (parser or Parser()).parse_user(body, source=source, observed_ms=s)


def seen(
    u: int, s: int, *, clerk_id: str = "user_a", source: Source = Source.WEBHOOK, **changes: Any
) -> Observation:
    """A full observation with version ``u`` and snapshot ``s``, in ms after T0."""
    return observe(user_json(clerk_id, updated_at=T0 + u, **changes), source=source, s=T0 + s)


def gone(s: int, *, clerk_id: str = "user_a") -> Observation:
    """``user.deleted``."""
    return Observation(clerk_id=clerk_id, source=Source.WEBHOOK, kind=Kind.DELETED, observed_ms=T0 + s)


def absent(s: int, *, clerk_id: str = "user_a") -> Observation:
    """A 404."""
    return Observation(clerk_id=clerk_id, source=Source.GET, kind=Kind.ABSENT, observed_ms=T0 + s)


def missed(s: int, *, clerk_id: str = "user_a") -> Observation:
    """A list without the user."""
    return Observation(clerk_id=clerk_id, source=Source.LIST, kind=Kind.MISSED, observed_ms=T0 + s)


def partial(observation: Observation) -> Observation:
    """The same, but read in part only."""
    return msgspec.structs.replace(observation, full=False)
