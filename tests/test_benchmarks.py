"""The benchmarks' own code, with sizes that take seconds; what they measure is judged by nobody here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from clerksync.fields import EPOCH
from clerksync.models import ClerkUser, SyncRun, WebhookEvent
from clerksync.throttle import WINDOW
from tests import databases
from tests.benchmarks import admin, answers, budget, filling, keeping, suites, turns
from tests.benchmarks.filling import Filling, clerk_id, email
from tests.benchmarks.results import Result, table


def test_table__one_line_for_a_figure() -> None:
    """Figures of both databases share a line, in the order of the rows; one missed target is a miss."""
    lines = table(
        [
            Result(row="P10", what="a page", measured=2.345, at_most=2, database="sqlite"),
            Result(row="P9", what="a webhook", measured=0.7, at_least=0.67, database="postgresql"),
            Result(row="P10", what="a page", measured=1.2, at_most=2, database="postgresql"),
            Result(row="audit", what="an audit", measured=1234.5, unit=" s", database="sqlite"),
            Result(row="P4", what="rows", measured=0, at_most=0, database="sqlite"),
        ]
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["Row", "What", "Target", "PostgreSQL", "SQLite", "Verdict"]
    assert cells[2:] == [
        ["P4", "rows", "0", "", "0", "met"],
        ["P9", "a webhook", ">= 0.67", "0.70", "", "met"],
        ["P10", "a page", "<= 2", "1.20", "2.35", "missed"],
        ["audit", "an audit", "", "", "1,234 s", ""],
    ]
    assert len({len(line) for line in lines}) == 1


def test_table__a_target_for_each_database() -> None:
    """Where the databases have other targets, both are told."""
    targets = {"postgresql": 2.0, "sqlite": 1.5}
    results = [
        Result(row="P1", what="a sync", measured=1.8, at_most=target, database=kind)
        for kind, target in targets.items()
    ]
    assert [cell.strip() for cell in table(results)[2].split("|")[3:-1]] == [
        "<= 2, <= 1.50",
        "1.80",
        "1.80",
        "missed",
    ]


def test_chosen__rows_and_names() -> None:
    """Suites are chosen by what they measure, or by name."""
    assert [suite.name for suite in suites.chosen("P9, audit")] == ["webhook", "audit"]
    assert suites.chosen(None) == list(suites.SUITES)
    with pytest.raises(ValueError, match="there is no P99"):
        suites.chosen("P99")


def test_suites__are_modules() -> None:
    """Each suite is a file beside the others."""
    for suite in suites.SUITES:
        assert Path(suites.__file__).with_name(f"{suite.name}.py").exists()


def test_take_turns__interleaved() -> None:
    """Nobody goes twice before the others have gone once."""
    order: list[str] = []

    def contestant(name: str, seconds: float) -> Callable[[], float]:
        def run() -> float:
            order.append(name)
            return seconds

        return run

    times = turns.take_turns({"a": contestant("a", 3.0), "b": contestant("b", 1.5)}, 2)
    assert order == ["a", "b", "a", "b"]
    assert turns.ratio(times, "a", "b") == 2


@pytest.mark.parametrize(("requests", "windows"), [(1, 0), (50, 0), (51, 1), (100, 1), (124, 2)])
def test_needed__by_places(requests: int, windows: int) -> None:
    """The 51st request goes when the first one's place comes back."""
    assert budget.needed(requests) == windows * WINDOW


@pytest.mark.django_db
def test_filling__as_told() -> None:
    """Rows come bit by bit, with the ids, addresses and times of their numbers."""
    wanted = Filling(users=200, events=100)
    wanted.add_users(1, 40)
    wanted.add_users(41, 200)
    wanted.add_events(1, 100)
    user = ClerkUser.objects.get(pk=clerk_id(77))
    assert (user.email, user.first_name, user.banned) == (email(77), "First27", False)
    assert user.created_at is not None
    assert round((user.created_at - EPOCH).total_seconds() * 1000) == user.created_ms
    assert (user.payload or {})["id"] == user.pk
    ids = list(ClerkUser.objects.order_by("created_ms").values_list("pk", flat=True))
    assert ids == [clerk_id(number) for number in range(1, 201)]
    assert ClerkUser.objects.deleted().count() == 10
    assert WebhookEvent.objects.filter(object_id=clerk_id(77)).count() == 1
    last = WebhookEvent.objects.latest("received_at")
    assert abs((last.received_at - wanted.now).total_seconds()) < 0.01


@pytest.mark.django_db
def test_keeping__filled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that were kept are read again, unless they are others or too old."""
    monkeypatch.setattr(databases, "directory", lambda: tmp_path)
    monkeypatch.setattr(filling, "settle", lambda: None)  # the test is in a transaction
    wanted = Filling(users=30, events=20)
    keeping.fill(wanted)
    keeping.fill(wanted)
    assert (ClerkUser.objects.count(), WebhookEvent.objects.count()) == (30, 20)
    later = wanted.now + keeping.MAX_AGE + timedelta(hours=1)
    for other in (Filling(users=31, events=20), Filling(users=30, events=20, now=later)):
        with pytest.raises(ValueError, match="delete it"):
            keeping.fill(other)


@pytest.mark.django_db
def test_admin__every_page_is_there() -> None:
    """Each address of the list answers, also from a table that is smaller than the list of pages thinks."""
    Filling(users=800, events=200).fill()
    asked = answers.questions(answers.staff())
    assert asked.keys() == {*answers.PAGES, "clerk_status"}
    for group in asked.values():
        for ask in group.values():
            ask()


@pytest.mark.django_db
def test_admin__two_figures_of_a_group() -> None:
    """The slowest page is told, and the one with the most queries more than before."""

    def slow() -> None:
        SyncRun.objects.first()
        time.sleep(0.05)

    group = {"quick": ClerkUser.objects.first, "slow": slow}
    slowest, queries = admin.results("a group", group, {"quick": 1, "slow": 0})
    assert (slowest.measured >= 0.05, slowest.is_met, queries.measured, queries.is_met) == (
        True,
        True,
        1,
        False,
    )
    assert queries.detail.startswith("slow")


def test_command__one_table(tmp_path: Path) -> None:
    """The command runs a suite in a process of its own, prints the table and writes the file."""
    file = tmp_path / "results.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--only=P5", "--database=sqlite", "--users=300"]
    done = subprocess.run([*command, f"--json={file}"], capture_output=True, text=True, check=True)
    assert "| P5  | requests when nothing changed, 300 users" in done.stdout
    told = json.loads(file.read_text())
    assert told["sizes"]["users"] == 300
    assert told["machine"]["sqlite"].startswith("SQLite 3")
    assert {result["row"] for result in told["results"]} == {"P5", "P6"}
