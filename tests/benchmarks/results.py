"""What a suite has measured, and the one table of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests import databases

#: How the table calls what ``databases`` calls so.
TITLES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
_HEAD = ("Row", "What", "Target", *(TITLES[kind] for kind in reversed(databases.KINDS)), "Verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One figure of one database.

    Args:
        row: Of the table of targets, P1 to P13, or the name of a suite that has none.
        what: Names the figure; the same for each database.
        measured: The figure, mostly a ratio of medians of one run.
        at_most: The target; 0 for what must not be.
        at_least: The target where more is better.
        unit: Behind the figure; nothing for a ratio or a number.
        detail: What the figure is made of, for whoever wants to know.
    """

    row: str
    what: str
    measured: float
    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""
    detail: str = ""
    database: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None if there is none."""
        if self.at_most is not None:
            return self.measured <= self.at_most
        return None if self.at_least is None else self.measured >= self.at_least

    @property
    def target(self) -> str:
        """The target for people."""
        if self.at_most == 0:
            return "0"
        if self.at_most is not None:
            return f"<= {_number(self.at_most)}{self.unit}"
        return "" if self.at_least is None else f">= {_number(self.at_least)}{self.unit}"

    @property
    def figure(self) -> str:
        """The figure for people."""
        return f"{_number(self.measured)}{self.unit}"


def table(results: Sequence[Result]) -> list[str]:
    """The lines of a Markdown table with one line for each figure, in the order of the rows."""
    groups: dict[tuple[str, str], dict[str, Result]] = {}
    for result in sorted(results, key=lambda one: _place(one.row)):
        groups.setdefault((result.row, result.what), {})[result.database] = result
    lines = [_line(row, what, found) for (row, what), found in groups.items()]
    widths = [max(map(len, column)) for column in zip(_HEAD, *lines, strict=True)]
    ruler = tuple("-" * width for width in widths)
    return [_framed(line, widths) for line in (_HEAD, ruler, *lines)]


def from_json(values: dict[str, Any]) -> Result:
    """What ``dataclasses.asdict`` made a dict of."""
    return Result(**values)


def _line(row: str, what: str, found: dict[str, Result]) -> tuple[str, ...]:
    shown = [found[kind] for kind in reversed(databases.KINDS) if kind in found]
    figures = (found[kind].figure if kind in found else "" for kind in reversed(databases.KINDS))
    targets = dict.fromkeys(one.target for one in shown)
    return row, what, ", ".join(targets), *figures, _verdict([one.is_met for one in shown])


def _verdict(met: Sequence[bool | None]) -> str:
    if None in met:
        return ""
    return "met" if all(met) else "missed"


def _framed(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _place(row: str) -> tuple[int, str]:
    """P9 comes before P10, and what has no number last."""
    return (int(row[1:]), "") if row[1:].isdecimal() else (100, row)


def _number(value: float) -> str:
    """Two digits where they tell something, no more."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
