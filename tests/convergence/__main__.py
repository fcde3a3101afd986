"""Plays an example again that has failed: ``python -m tests.convergence MACHINE:EXAMPLE``, as the failure said."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests import databases
from tests.convergence.playing import REPLAY

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = "tests/convergence/test_machines.py"
#: By machine.
TESTS = {
    "Applying": "test_apply_rule",
    "Forgetful": "test_apply_rule__with_users_who_are_let_go_of",
    "Whole": "test_whole",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the machine's test on this example alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.convergence", description=__doc__.splitlines()[0])
    parser.add_argument("example", metavar="MACHINE:EXAMPLE", help="what the failing test said")
    example: str = parser.parse_args(arguments).example
    machine = example.partition(":")[0]
    if machine not in TESTS:
        parser.error(f"there is no machine {machine!r}, but: {', '.join(TESTS)}")
    environment = {databases.KIND: "postgresql", **os.environ, REPLAY: example}
    command = (sys.executable, "-m", "pytest", "-p", "no:randomly", f"{FILE}::{TESTS[machine]}")
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
