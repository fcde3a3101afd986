"""The full sync against its floor and its peers (P1, P2), and when nothing has changed (P4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection

from tests.benchmarks import contest
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes
from tests.benchmarks.turns import Times, ratio, take_turns, tell
from tests.benchmarks.world import World, fake_clerk

#: By kind of database: typed columns alone, against bulk_create and against update_or_create.
_TARGETS = {"postgresql": (2.0, 4.0, 35.0), "sqlite": (1.5, 3.0, 12.0)}

_WAL_RUNS = 3


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures."""
    typed, bulk, one_by_one = _TARGETS[connection.vendor]
    with fake_clerk(sizes.users) as world:
        times = take_turns(_contestants(world), sizes.rounds)
        told = _Telling(times, sizes.users)
        yield told.result(
            "P1", "full sync, typed columns, against the floor", "typed", "floor", at_most=typed
        )
        yield told.result("P1", "the same against a floor with our indexes", "typed", "indexed")
        yield told.result("P2", "full sync, everything, against the floor", "ours", "floor", at_most=3)
        yield told.result("P2", "bulk_create of 1,000, against everything", "bulk", "ours", at_least=bulk)
        yield told.result(
            "P4", "nothing changed, against the floor of a comparing scan", "again", "scan", at_most=1.5
        )
        yield from _unchanged(world)
    with fake_clerk(sizes.peer_users) as world:
        slow = take_turns({"one by one": contest.update_or_create(world)}, sizes.rounds)
    # Its time grows with the users, so fewer will do; what ours takes whatever their number must not count more.
    share = sizes.users / sizes.peer_users
    slow = {name: [seconds * share for seconds in measured] for name, measured in slow.items()}
    title = f"update_or_create of {sizes.peer_users:,}, against everything, a user"
    told = _Telling({**times, **slow}, sizes.users)
    yield told.result("P2", title, "one by one", "ours", at_least=one_by_one)


def _contestants(world: World) -> contest.Contestants:
    return {
        "indexed": contest.floor(world, indexed=True),
        "floor": contest.floor(world),
        "typed": contest.ours(world, payload=False),
        "ours": contest.ours(world, payload=True),
        "scan": contest.floor_again(world),
        "again": contest.ours_again(world),
        "bulk": contest.bulk_create(world),
    }


def _unchanged(world: World) -> Iterator[Result]:
    """What a sync writes that finds nothing changed."""
    contest.ours(world, payload=True)()
    before, again = contest.written(), contest.ours_again(world)
    wals = [wal for _ in range(_WAL_RUNS) if (wal := _wal_of(again)) is not None]
    rows = len(before.symmetric_difference(contest.written()))
    yield Result(row="P4", what="rows written when nothing changed", measured=rows, at_most=0)
    if wals:
        # The server's own work of that time (autovacuum) counts as well, so the least is ours.
        title = "WAL written when nothing changed"
        yield Result(row="P4", what=title, measured=min(wals), at_most=0.1, unit=" MB")


def _wal_of(work: Callable[[], Any]) -> float | None:
    """In MB; None where the database does not tell."""
    before = contest.wal_bytes()
    work()
    after = contest.wal_bytes()
    return None if before is None or after is None else (after - before) / 1e6


class _Telling:
    """Makes results of turns."""

    def __init__(self, times: Times, users: int) -> None:
        self.times = times
        self.users = users

    def result(
        self,
        row: str,
        what: str,
        name: str,
        base: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> Result:
        return Result(
            row=row,
            what=what,
            measured=ratio(self.times, name, base),
            at_most=at_most,
            at_least=at_least,
            detail=tell(self.times, name, base, users=self.users),
        )
