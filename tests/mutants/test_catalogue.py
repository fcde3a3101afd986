"""All mutants can still be built in, and the table in the README is about them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants import readme
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, mutant

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("one", MUTANTS, ids=lambda one: one.name)
def test_mutant__fits(one: Mutant) -> None:
    """Its old texts are there, once each: who changes them changes the mutant as well. Its tests exist."""
    assert one.problems(ROOT) == []
    assert [test for test in one.tests if not (ROOT / test).exists()] == []


def test_mutant__does_not_fit(tmp_path: Path) -> None:
    """A text that is not there, or twice, is a problem that says so."""
    (tmp_path / "clerksync").mkdir()
    (tmp_path / "clerksync" / "twice.py").write_text("a = 1\na = 1\n")
    assert mutant("twofold", "twice.py", "a = 1", "a = 2").problems(tmp_path) == [
        "twofold: in clerksync/twice.py this is 2 times, not once:\na = 1"
    ]


def test_mutants__have_names_of_their_own() -> None:
    """No two are the same."""
    assert [name for name, count in Counter(one.name for one in MUTANTS).items() if count > 1] == []
    assert len({one.edits for one in MUTANTS}) == len(MUTANTS)


def test_readme__names_mutants_that_exist() -> None:
    """And tests that exist; ``python -m tests.mutants --write`` brings the table up to date."""
    told = readme.read()
    assert list(told) == [one.name for one in MUTANTS if one.name in told]
    assert [test for test in told.values() if not (ROOT / test.partition("::")[0]).exists()] == []
