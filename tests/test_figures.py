"""Figures of several processes, and the two profiles."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import figures, profiles


def test_sums__of_all_processes() -> None:
    with figures.collected():
        assert figures.sums() == {}
        figures.tell("points killed", 3)
        figures.tell("examples")
        subprocess.run(
            [sys.executable, "-c", "from tests import figures; figures.tell('points killed', 4)"], check=True
        )
        assert figures.sums() == {"examples": 1, "points killed": 7}


def test_tell__nobody_collects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(figures.FILE, raising=False)
    figures.tell("examples")


def test_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (profiles.NAME, profiles.SHARE):
        monkeypatch.delenv(name, raising=False)
    assert profiles.pick(short=1, long=2) == 1
    monkeypatch.setenv(profiles.NAME, "long")
    assert profiles.pick(short=1, long=2) == 2
    monkeypatch.setenv(profiles.SHARE, "0.5")
    assert profiles.pick(short=1, long=6) == 3
    assert profiles.pick(short=4.0, long=6.0) == 4
    assert profiles.pick(short=["one"], long=["one", "other"]) == ["one", "other"]
    monkeypatch.setenv(profiles.NAME, "medium")
    with pytest.raises(ValueError, match="must be one of: short, long"):
        profiles.is_long()


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "much", "nan"])
def test_share__no_part_of_a_night(text: str) -> None:
    with pytest.raises(ValueError, match="over 0 and up to 1"):
        profiles.part(text)
