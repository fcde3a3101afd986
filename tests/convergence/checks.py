"""What must hold after every step, and at the end."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from clerksync import mirror
from clerksync.models import ClerkUser, MirrorState, SyncRun, WebhookEvent
from tests.convergence.world import World
from tests.syncing import differences, table

#: Of the users, as ``syncing.table`` reads them: for the number of a run is another on each database.
Rows = dict[str, dict[str, Any]]


def watermarks(using: str) -> tuple[float, float]:
    """Up to when updates and deletes are said to be known, in ms."""
    state = MirrorState.objects.using(using).filter(pk=1).first()
    moments = (state.updates_as_of, state.deletes_as_of) if state else (None, None)
    return tuple(0.0 if moment is None else round(moment.timestamp() * 1000) for moment in moments)  # type: ignore[return-value]


def everything(using: str) -> tuple[Any, ...]:
    """Whatever both databases must hold alike (I15)."""
    return (
        table(using),
        watermarks(using),
        _values(WebhookEvent.objects.using(using), "svix_id", "state", "reason", "attempts", "handled"),
        _values(SyncRun.objects.using(using), "kind", "state", "counts", "skipped"),
    )


def difference(here: Any, there: Any, place: str = "") -> str:
    """Where two values first differ, and how; nothing if they are equal."""
    if here == there:
        return ""
    if isinstance(here, dict) and isinstance(there, dict) and here.keys() == there.keys():
        return " | ".join(filter(None, (difference(here[key], there[key], f"{place} {key}") for key in here)))
    if isinstance(here, list | tuple) and len(here) == len(there):
        pairs = enumerate(zip(here, there, strict=True))
        return next(filter(None, (difference(*pair, f"{place} {number}") for number, pair in pairs)))
    return f"{place}: {here!r} and {there!r}"


def check_rows(world: World, before: Rows, rows: Rows) -> None:
    """I3 and I4: a tombstone stays one, nobody is buried alive, and versions never fall.

    This Clerk creates no id anew and answers 404 only for who is gone, or too new to be known everywhere;
    so not even a read by id may revive anybody. A lower version can only be one that a replica showed.
    """
    for clerk_id, row in rows.items():
        if row["state"] == "deleted":
            assert clerk_id not in world.clerk, "I3: a user whom Clerk holds was buried"
            world.buried.add(clerk_id)
        assert row["state"] == "deleted" or clerk_id not in world.buried, "I3: a deleted user came back"
        if clerk_id in before and row["updated_ms"] < before[clerk_id]["updated_ms"]:
            assert clerk_id in world.lagged, "I4: a version has fallen"
    world.removed |= before.keys() - rows.keys()
    assert world.removed <= world.buried, "a row is gone"


def check_watermarks(world: World, rows: Rows, updates_ms: float, deletes_ms: float) -> None:
    """I12: what Clerk's lists showed by then is in the table, or its user is in doubt."""
    for clerk_id, versions in world.listed.items():
        known = max((version for at, version in versions if at <= updates_ms), default=None)
        if known is not None and clerk_id not in world.deleted:
            row = rows.get(clerk_id)
            assert row, "I12: a user whom Clerk listed is not there"
            assert row["updated_ms"] >= known or row["doubt_reason"], "I12: an update is not known"
    for clerk_id, at in world.deleted.items():
        row = rows.get(clerk_id)
        is_known = not row or row["state"] != "active" or row["doubt_reason"]
        assert is_known or at > deletes_ms, "I12: a delete is not known"


def check_end(world: World) -> None:
    """I1 and I2: the table of the acting side is what Clerk holds, row by row and column by column."""
    found = differences(world.clerk, mirror.database())
    assert found == {}, found
    for user in ClerkUser.objects.needs_refresh():
        # Rule 10: nobody knows how old a user is of whom only the id is known.
        assert user.state == "incomplete", user.doubt_reason
        assert user.pk not in world.clerk
    for user in ClerkUser.objects.active():
        assert user.payload == world.clerk.get(user.pk)


def _values(rows: QuerySet[Any], *names: str) -> list[tuple[Any, ...]]:
    return list(rows.order_by("pk").values_list(*names))
