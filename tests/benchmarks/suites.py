"""The suites: each is a module whose ``measure`` yields figures, and runs in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass

from tests import databases

_BOTH = databases.KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured.

    Args:
        users: Whom a full sync reads.
        peer_users: The same for peers that take a millisecond and more for each.
        growth: So many users one after the other, to see how time and memory grow.
        budget_users: The same under a limit of 100 requests in 10 s.
        distant_users: The same where each answer takes 150 ms.
        large_users: The table that pages and answers are made from.
        events: That it has beside the users.
        rounds: Of each contestant of a sync; a median is taken.
        turns: The same where a turn takes milliseconds.
        requests: To each webhook in each round.
    """

    users: int = 100_000
    peer_users: int = 2_000
    growth: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    budget_users: int = 1_300
    distant_users: int = 100_000
    large_users: int = 1_000_000
    events: int = 5_000_000
    rounds: int = 3
    turns: int = 40
    requests: int = 400


#: Minutes rather than an hour; ratios of so little work are too high or too low by a tenth and more.
QUICK = Sizes(
    users=10_000,
    peer_users=500,
    growth=(1_000, 10_000),
    budget_users=600,
    distant_users=20_000,
    large_users=50_000,
    events=100_000,
    rounds=3,
    turns=15,
    requests=100,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One process for each database.

    Args:
        name: The module.
        rows: What it measures, in the names of the table of targets.
        kinds: The databases that make a difference.
        settings: Django's.
        keeps: Whether it fills tables for minutes that a later run can read again.
    """

    name: str
    rows: tuple[str, ...]
    kinds: tuple[str, ...] = _BOTH
    keeps: bool = False
    settings: str = "tests.settings"

    @property
    def module(self) -> str:
        """Where it is imported from."""
        return f"{__package__}.{self.name}"


SUITES = (
    Suite(name="sync", rows=("P1", "P2", "P4")),
    Suite(name="growth", rows=("P3",)),
    Suite(name="incremental", rows=("P5", "P6")),
    Suite(name="distant", rows=("P7",)),
    Suite(name="budget", rows=("P8",), kinds=("sqlite",)),
    Suite(
        name="webhook",
        rows=("P9",),
        kinds=("postgresql",),
        settings="tests.benchmarks.webhook_settings",
    ),
    Suite(name="pages", rows=("P10",)),
    Suite(name="tokens", rows=("P11",), kinds=("sqlite",)),
    Suite(name="admin", rows=("P12",), keeps=True),
    Suite(name="startup", rows=("P13",), kinds=("sqlite",)),
    Suite(name="audit", rows=("audit",)),
    Suite(name="history", rows=("history",)),
)


def chosen(only: str | None) -> list[Suite]:
    """The suites that measure one of these rows, of all if none is named.

    Raises:
        ValueError: There is no such row.
    """
    if not only:
        return list(SUITES)
    wanted = {name.strip() for name in only.split(",")}
    known = {name for suite in SUITES for name in (suite.name, *suite.rows)}
    if unknown := wanted - known:
        raise ValueError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return [suite for suite in SUITES if wanted.intersection((suite.name, *suite.rows))]
