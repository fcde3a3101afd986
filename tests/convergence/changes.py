"""Changes at Clerk, to be made on both twins alike."""

from __future__ import annotations

from typing import Any

from clerksync.testing.deliveries import data_of
from tests.convergence.twins import SmallPages
from tests.convergence.world import Change, Happened, Json, Kind


def create(**values: Any) -> Change:
    """A new user; the same e-mail address as somebody else's is allowed."""
    return lambda clerk: _updated(clerk, clerk.create_user(**values), event="user.created")


def update(clerk_id: str, **changes: Any) -> Change:
    """A change that moves the version."""
    return lambda clerk: _updated(clerk, clerk.update_user(clerk_id, **changes), event="user.updated")


def update_silently(clerk_id: str, **changes: Any) -> Change:
    """A change that leaves the version where it is, and that no event tells."""

    def act(clerk: SmallPages) -> Happened:
        clerk.update_user(clerk_id, silent=True, **changes)
        return Happened(Kind.SILENT, clerk_id, clerk.clock.now_ms())

    return act


def sign_in(clerk_id: str) -> Change:
    """A new session: volatile fields change, the version does not."""

    def act(clerk: SmallPages) -> Happened:
        now_ms = clerk.clock.now_ms()
        user = clerk.update_user(clerk_id, silent=True, last_sign_in_at=now_ms)
        data = data_of("session.created", user, now_ms=now_ms)
        return Happened(Kind.SILENT, clerk_id, now_ms, 0, "session.created", data)

    return act


def delete(clerk_id: str) -> Change:
    """The end of a user."""

    def act(clerk: SmallPages) -> Happened:
        gone = clerk.delete_user(clerk_id)
        return Happened(Kind.DELETE, clerk_id, clerk.clock.now_ms(), 0, "user.deleted", gone)

    return act


#: By name, what can befall a user who is there.
OF_A_USER = {
    "rename A": lambda clerk_id: update(clerk_id, first_name="A"),
    "rename B": lambda clerk_id: update(clerk_id, first_name="B"),
    "move": lambda clerk_id: update(clerk_id, email="shared@harbour-works.io"),
    "ban": lambda clerk_id: update(clerk_id, banned=True),
    "unban": lambda clerk_id: update(clerk_id, banned=False),
    "rename silently": lambda clerk_id: update_silently(clerk_id, last_name="Silent"),
    "rename silently back": lambda clerk_id: update_silently(clerk_id, last_name="Loud"),
    "sign in": sign_in,
    "delete": delete,
}


def _updated(clerk: SmallPages, user: Json, *, event: str) -> Happened:
    return Happened(Kind.UPDATE, user["id"], clerk.clock.now_ms(), user["updated_at"], event, user)
