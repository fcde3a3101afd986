"""Builds each mutant into a copy of the product and runs the tests that should notice: ``python -m tests.mutants``.

The working tree stays as it is. A mutant that no test notices is a failure, and so is one that can no longer
be built in.
"""

from __future__ import annotations

import argparse
import compileall
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from queue import SimpleQueue

from tests import databases, figures
from tests.mutants import readme
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parent.parent.parent
#: One that waits for ever is noticed, too.
SECONDS = 600
_FAILED = re.compile(r"^FAILED ([^\s\[]+)", re.MULTILINE)
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "dist", "build")
#: Of an outer run, which must not be taken for those of a mutant's.
_FORGOTTEN = (databases.DIRECTORY, databases.KIND, figures.FILE)


@dataclass(frozen=True, slots=True)
class Result:
    """How a mutant fared: the test that noticed it, or why there is none."""

    mutant: Mutant
    killer: str
    problem: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="so many side by side")
    parser.add_argument("--write", action="store_true", help="put the table into tests/README.md")
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="only mutants with one of these in their name"
    )
    options = parser.parse_args(arguments)
    chosen = [one for one in MUTANTS if not options.words or any(word in one.name for word in options.words)]
    if problems := [problem for one in chosen for problem in one.problems(ROOT)]:
        print("\n".join(problems), file=sys.stderr)
        return 1
    results = []
    with _copies(options.jobs) as copies, ThreadPoolExecutor(options.jobs) as workers:
        for result in workers.map(lambda one: _try(one, copies), chosen):
            print(
                f"{result.killer or result.problem:<90} {result.seconds:4.0f} s  {result.mutant.name}",
                flush=True,
            )
            results.append(result)
    killed = [result for result in results if result.killer]
    print(f"{len(killed)} of {len(results)} mutants killed")
    figures.tell("mutants", len(results))
    figures.tell("mutants killed", len(killed))
    if options.write:
        readme.write({result.mutant.name: result.killer for result in killed})
    return 0 if len(killed) == len(results) else 1


@contextmanager
def _copies(number: int) -> Iterator[SimpleQueue[Path]]:
    """So many copies of the tree."""
    free: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        for name in range(number):
            tree = shutil.copytree(ROOT, Path(directory) / str(name), ignore=_LEFT_OUT)
            # The usual compiled files tell old from new by whole seconds.
            by_content = PycInvalidationMode.CHECKED_HASH
            compileall.compile_dir(tree / "clerksync", quiet=1, invalidation_mode=by_content)
            free.put(tree)
        yield free


def _try(mutant: Mutant, copies: SimpleQueue[Path]) -> Result:
    tree, start = copies.get(), time.monotonic()
    try:
        mutant.apply(tree)
        killer, problem = _run(tree, mutant.tests)
        return Result(mutant, killer, problem, time.monotonic() - start)
    finally:
        mutant.take_out(tree, original=ROOT)
        copies.put(tree)


def _run(tree: Path, tests: Sequence[str]) -> tuple[str, str]:
    """The first test that fails, and else what went wrong."""
    environment = {name: value for name, value in os.environ.items() if name not in _FORGOTTEN}
    plain = ("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=no")
    command = (sys.executable, "-m", "pytest", *plain, *tests)
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{tests[0]} (hangs)", ""
    found = _FAILED.search(done.stdout)
    if done.returncode == 1 and found:
        return found[1], ""
    return "", "SURVIVED" if done.returncode == 0 else f"BROKEN: {(done.stdout + done.stderr)[-2000:]}"


if __name__ == "__main__":
    sys.exit(main())
