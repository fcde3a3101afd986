"""Plays an example again that has failed: ``python -m tests.convergence MACHINE:BLOB``, as the failure said."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests import databases
from tests.convergence.playing import REPLAY

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """Run the tests of the machines on this example alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.convergence", description=__doc__.splitlines()[0])
    parser.add_argument("example", metavar="MACHINE:BLOB", help="what the failing test said")
    chosen = parser.parse_args().example
    environment = {databases.KIND: "postgresql", **os.environ, REPLAY: chosen}
    command = (sys.executable, "-m", "pytest", "-p", "no:randomly", "tests/convergence/test_machines.py")
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
