"""A failure names one command, which plays the same example again."""

from __future__ import annotations

import re

import pytest
from hypothesis import strategies as st
from hypothesis.errors import DidNotReproduce
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.convergence.__main__ import TESTS, main
from tests.convergence.playing import REPLAY, Budget, play

BUDGET = Budget(examples=200, steps=10, seconds=60)


class Faulty(RuleBasedStateMachine):
    """Fails once two steps have come to more than ten."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = 0
        self.last = 0

    @rule(number=st.integers(0, 100))
    def add(self, number: int) -> None:
        self.sum, self.last = self.sum + number, number
        assert self.sum <= 10 or self.sum == self.last


class Sound(Faulty):
    """The same after it was mended."""

    @rule(number=st.integers(0, 100))
    def add(self, number: int) -> None:
        self.last = number


def test_play__failure_names_a_command() -> None:
    """It ends with the example."""
    assert re.fullmatch(r"Faulty:[\w+/=]+", _failing_example())


def test_play__again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example fails alone and at once, as it did."""
    monkeypatch.setenv(REPLAY, _failing_example())
    with pytest.raises(AssertionError):
        play(Faulty, Budget(examples=0, steps=10, seconds=0))


def test_play__again_after_it_was_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no longer fails is told."""
    monkeypatch.setenv(REPLAY, _failing_example())
    with pytest.raises(DidNotReproduce):
        play(Sound, BUDGET)


def test_command__unknown_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """An example of no machine is refused, not passed over."""
    with pytest.raises(SystemExit):
        main(["Unknown:AAAA"])
    assert "Applying, Forgetful, Whole" in capsys.readouterr().err
    assert sorted(TESTS) == ["Applying", "Forgetful", "Whole"]


def _failing_example() -> str:
    with pytest.raises(AssertionError) as caught:
        play(Faulty, BUDGET)
    note = next(note for note in caught.value.__notes__ if "python -m tests.convergence" in note)
    return note.split()[-1]
