"""The test command: ``python -m tests`` runs everything that has to pass.

``python -m tests --fast`` runs pytest on SQLite alone. What follows ``--`` goes to pytest.
``python -m tests --long`` tries everything far more often, for hours (``tests/profiles.py``); with
``--share 0.1`` for a tenth of them, though never less often than without, and benchmarks are quick then.
``python -m tests --matrix`` runs tox: the lowest and the newest versions of Python and of what we depend
on. What follows ``--`` goes to tox.
All steps are run whatever fails; the exit status is 1 if any did.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import databases, figures, profiles
from tests.processes import PRODUCTION, forget_keys, keep_compiled

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CONVERGENCE = "tests/convergence"
CRASH = "tests/crash"
#: Measuring takes as long again, so only those tests are measured that reach what no others reach. These are
#: of other kinds, start processes, or try at length what many others pass through: without them coverage
#: is a percent less.
UNMEASURED = (
    "tests/admin/test_filters.py",
    "tests/admin/test_paging.py",
    "tests/api/test_authentication.py",
    "tests/api/test_me.py",
    "tests/api/test_schemathesis.py",
    "tests/browser",
    "tests/hostile",
    "tests/metrics/test_collector.py",
    "tests/project/test_demo.py",
    "tests/project/test_send_clerk_event.py",
    "tests/test_alarm_causes.py",
    "tests/test_audit.py",
    "tests/test_benchmarks.py",
    "tests/test_client.py",
    "tests/test_custom_users.py",
    "tests/test_databases.py",
    "tests/test_drain.py",
    "tests/test_drift.py",
    "tests/test_head.py",
    "tests/test_incremental.py",
    "tests/test_misses.py",
    "tests/test_page_servers.py",
    "tests/test_paging.py",
    "tests/test_payloads.py",
    "tests/test_readme.py",
    "tests/test_repairs.py",
    "tests/test_scheduler_processes.py",
    "tests/test_servers.py",
    "tests/test_status.py",
    "tests/test_sweep.py",
    "tests/test_sync.py",
    "tests/test_sync_poison.py",
    "tests/test_tasks.py",
    "tests/test_tokens.py",
    "tests/test_transport.py",
    "tests/test_undo.py",
    "tests/test_watermarks.py",
    "tests/test_webhooks.py",
    "tests/test_wheel.py",
    "tests/testing/test_contract.py",
)
#: What depends on Clerk's side, on time or on the browser, and hardly on the database, and takes minutes.
ONCE = (
    "tests/api/test_authentication.py",
    "tests/api/test_schemathesis.py",
    "tests/browser",
    "tests/doctor/test_examination.py",
    "tests/hostile/test_answers.py",
    "tests/hostile/test_contradictions.py",
    "tests/hostile/test_deliveries.py",
    "tests/hostile/test_generated.py",
    "tests/hostile/test_injection.py",
    "tests/project",
    "tests/test_alarm_causes.py",
    "tests/test_benchmarks.py",
    "tests/test_drift.py",
    "tests/test_misses.py",
    "tests/test_readme.py",
    "tests/test_watermarks.py",
)
PLAIN = (sys.executable, "-m", "pytest")
#: One more than there are processors, since tests wait for processes; more than four wait for the database.
#: Some tests take a minute: who has nothing left takes over what waits behind them.
WORKERS = ("-n", str(min(4, (os.cpu_count() or 1) + 1)), "--dist", "worksteal")
PARALLEL = (*PLAIN, *WORKERS)
MEASURED = (sys.executable, "-m", "coverage", "run", "--parallel-mode", "-m", "pytest", *WORKERS)


@dataclass(frozen=True, slots=True)
class Step:
    """One command, run with this Python's own tools."""

    title: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def passes(self) -> bool:
        """Run it, its output going straight through."""
        print(f"\n=== {self.title} ===", flush=True)
        done = subprocess.run(self.command, cwd=ROOT, env=os.environ | self.environment, check=False)
        return done.returncode == 0


def main() -> int:
    """Run the steps and sum up."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="pytest on SQLite alone")
    parser.add_argument("--long", action="store_true", help="everything, far more often: takes hours")
    parser.add_argument("--share", type=_share, default=1.0, help="with --long: of the night (0.1)")
    parser.add_argument("--matrix", action="store_true", help="the lowest and the newest versions, by tox")
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="for pytest or tox, after --")
    options = parser.parse_args()
    forget_keys()
    keep_compiled()
    if options.fast:
        return _summary([_timed(_pytest("sqlite", *options.arguments))])
    if options.matrix:
        return _summary([_timed(_tox(*options.arguments))])
    if options.long:
        os.environ.update({profiles.NAME: "long", profiles.SHARE: str(options.share)})
    with _measured() as coverage, figures.collected():
        trials = [*_trials(*options.arguments), *(_fuzzing() if options.long else ())]
        steps = [*_static(), *_suites(*options.arguments), *trials, *coverage]
        return _summary([_timed(step) for step in steps])


def _share(text: str) -> float:
    try:
        return profiles.part(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _static() -> list[Step]:
    manage = (sys.executable, "manage.py")
    return [
        Step("Format", (_tool("ruff"), "format", "--check")),
        Step("Lint", (_tool("ruff"), "check")),
        Step("Types", (_tool("mypy"),)),
        Step("Imports", (_tool("lint-imports"),)),
        Step("Migrations", (*manage, "makemigrations", "--check", "--dry-run"), PRODUCTION),
        Step("Deployment", (*manage, "check", "--deploy", "--fail-level", "WARNING"), PRODUCTION),
    ]


def _suites(*arguments: str) -> list[Step]:
    rest = _without(CONVERGENCE, CRASH)
    first, *others = databases.KINDS
    once = () if profiles.is_long() else ONCE
    return [
        # Measuring doubles the time, and a second database reaches few more lines.
        _pytest(first, *rest, *_without(*UNMEASURED), *arguments, runner=MEASURED),
        _pytest(first, *UNMEASURED, *arguments, runner=PARALLEL, title="Further tests"),
        *(
            _pytest(kind, "--database-only", *rest, *_without(*once), *arguments, runner=PARALLEL)
            for kind in others
        ),
    ]


def _without(*paths: str) -> list[str]:
    return [f"--ignore={path}" for path in paths]


def _trials(*arguments: str) -> list[Step]:
    """What tries things at random, in a profile; convergence compares the two kinds of databases itself."""
    steps = [
        _pytest("postgresql", CONVERGENCE, *arguments, runner=PARALLEL, title="Convergence"),
        *(_pytest(kind, CRASH, *arguments, runner=PARALLEL, title="Crashes") for kind in databases.KINDS),
    ]
    if profiles.is_long():
        steps.append(Step("Mutants", (sys.executable, "-m", "tests.mutants")))
        quick = ("--quick",) if profiles.share() < 1 else ()
        steps.append(Step("Benchmarks", (sys.executable, "-m", "tests.benchmarks", *quick)))
    return steps


def _fuzzing() -> list[Step]:
    """Only for a whole night: the longer, the more."""
    seconds = str(1800 * profiles.share())
    return [Step("Fuzzing", (sys.executable, "-m", "tests.fuzz", "--seconds", seconds))]


def _pytest(kind: str, *arguments: str, runner: tuple[str, ...] = PLAIN, title: str = "Tests") -> Step:
    return Step(f"{title} on {kind}", (*runner, *arguments), {databases.KIND: kind})


def _tox(*arguments: str) -> Step:
    """Show tox the Pythons that pyenv has installed, for it sees those alone that are switched on."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    pythons = sorted(str(path) for path in pyenv.glob("versions/3.1?.*/bin/python"))
    discover = ("--discover", *pythons) if pythons else ()
    return Step("Matrix", (_tool("tox"), "run", *discover, *arguments))


@contextmanager
def _measured() -> Iterator[list[Step]]:
    """Keep the data of all processes in a directory of this run; yields the steps that read it."""
    with tempfile.TemporaryDirectory(prefix="coverage-") as directory:
        os.environ["COVERAGE_FILE"] = f"{directory}/data"
        coverage = (sys.executable, "-m", "coverage")
        yield [
            Step("Combine coverage", (*coverage, "combine", "--quiet", directory)),
            Step("Coverage", (*coverage, "report")),
        ]


def _timed(step: Step) -> tuple[Step, bool, float]:
    start = time.monotonic()
    return step, step.passes(), time.monotonic() - start


def _summary(results: list[tuple[Step, bool, float]]) -> int:
    print("\n=== Summary ===")
    for step, passed, seconds in results:
        print(f"{'ok    ' if passed else 'FAILED'} {step.title} ({seconds:.0f} s)")
    for name, value in figures.sums().items() if figures.FILE in os.environ else ():
        print(f"{name}: {value:,.10g}")
    return 0 if all(passed for _, passed, _ in results) else 1


def _tool(name: str) -> str:
    return str(BIN / name)


if __name__ == "__main__":
    sys.exit(main())
