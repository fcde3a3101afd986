"""Plays the machines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.convergence.applying import Applying
from tests.convergence.forgetting import Forgetful
from tests.convergence.machine import Whole
from tests.convergence.playing import Budget, play
from tests.convergence.twins import open_twins
from tests.profiles import pick

HOUR = 3600.0

BY_RULE = Budget(
    pick(short=200, long=10**9), steps=pick(short=40, long=60), seconds=pick(short=75.0, long=HOUR)
)
FORGETTING = Budget(
    pick(short=30, long=10**9), steps=pick(short=40, long=60), seconds=pick(short=12.0, long=HOUR / 2)
)
AS_A_WHOLE = Budget(
    pick(short=60, long=10**9), steps=pick(short=30, long=60), seconds=pick(short=90.0, long=3 * HOUR)
)

pytestmark = pytest.mark.timeout(0)  # a budget ends them


@pytest.fixture
def whole() -> Iterator[type[Whole]]:
    """The whole machine, at its fake Clerk."""
    with open_twins() as Whole.twins:
        yield Whole


@pytest.mark.django_db(databases="__all__")
def test_apply_rule() -> None:
    """The writer alone, on observations in any order: many examples."""
    play(Applying, BY_RULE)


@pytest.mark.django_db(databases="__all__")
def test_apply_rule__with_users_who_are_let_go_of() -> None:
    """Nothing brings the erased back, and everything else ends as Clerk has it."""
    play(Forgetful, FORGETTING)


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_whole(whole: type[Whole]) -> None:
    """Everything that exists, through its real entrances."""
    play(whole, AS_A_WHOLE)
