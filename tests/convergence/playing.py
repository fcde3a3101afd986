"""Plays a machine for as long as the profile says, and names the one command that plays a failure again."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, __version__, reproduce_failure, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

#: ``MACHINE:EXAMPLE``, as the command that is printed sets it.
REPLAY = "CLERKSYNC_TEST_REPLAY"
_BLOB = re.compile(r"@reproduce_failure\('[^']*', b'([^']*)'\)")
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)  # explaining takes minutes


@dataclass(frozen=True, slots=True)
class Budget:
    """Examples of so many steps are tried, in rounds, until there were so many or so many seconds are over."""

    examples: int
    steps: int
    seconds: float
    round: int = 5


def play(machine: type[RuleBasedStateMachine], budget: Budget) -> None:
    """Try examples; or play the one that the environment names."""
    example = os.environ.get(REPLAY)
    if example:
        again = type(machine.__name__, (machine,), {})
        _run(reproduce_failure(__version__, example.partition(":")[2].encode())(again), budget, examples=1)
        return
    end, left = time.monotonic() + budget.seconds, budget.examples
    while left > 0 and time.monotonic() < end:
        try:
            _run(machine, budget, examples=min(left, budget.round))
        except Exception as error:
            _name_command(error, machine.__name__)
            raise
        left -= budget.round


def _run(machine: type[RuleBasedStateMachine], budget: Budget, *, examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=budget.steps,
            deadline=None,  # machines that test are busy
            suppress_health_check=list(HealthCheck),
            phases=_PHASES,
            print_blob=True,
            report_multiple_bugs=False,
        ),
    )


def _name_command(error: BaseException, name: str) -> None:
    """Hypothesis tells the example's blob, and to write it into the source; a command is less trouble."""
    for note in getattr(error, "__notes__", []):
        if found := _BLOB.search(note):
            error.add_note(f"To play it again: python -m tests.convergence {name}:{found[1]}")
