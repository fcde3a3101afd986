"""All benchmarks, and one table of them: ``python -m tests.benchmarks``.

Every figure of a suite was measured in one run, the contestants taking turns; ratios are of medians. Each suite
runs in a process of its own for each database, one after the other, so nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec

from tests import databases
from tests.benchmarks import machine
from tests.benchmarks.results import Result, from_json, table
from tests.benchmarks.suites import QUICK, Sizes, Suite, chosen
from tests.processes import forget_keys, keep_compiled

_OUT = sys.stdout.write


@dataclass(slots=True)
class Findings:
    """What came of the suites so far."""

    results: list[Result] = field(default_factory=list)
    #: By kind of database.
    versions: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table; the status is 1 if a suite broke, and no matter what was measured."""
    options = _options(arguments)
    forget_keys()
    keep_compiled()
    told = machine.describe()
    found = Findings()
    for suite in options.suites:
        for kind in suite.kinds:
            if options.database in (None, kind):
                _run(suite, kind, options.sizes, found, keep=options.keep if suite.keeps else None)
    _OUT("\n" + machine.in_words(told, found.versions) + "\n\n")
    _OUT("\n".join(table(found.results)) + "\n")
    if found.broken:
        _OUT(f"\nBroken: {', '.join(found.broken)}\n")
    if options.json:
        sizes, results = asdict(options.sizes), [asdict(result) for result in found.results]
        document = {"machine": told | found.versions, "sizes": sizes, "results": results}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if found.broken else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", metavar="ROWS", help="of these rows or suites, for instance P9,P12 or sync")
    add("--database", choices=databases.KINDS, help="on this one alone")
    add("--quick", action="store_true", help="with small sizes, in minutes")
    add("--users", type=int, metavar="N", help="that a full sync reads")
    add("--large-users", type=int, metavar="N", help="in the table that pages are made from")
    add("--events", type=int, metavar="N", help="beside them")
    add("--rounds", type=int, metavar="N", help="of each contestant of a sync")
    add("--keep", type=Path, metavar="DIR", help="keep the tables of P12 there, and use those that are there")
    add("--json", type=Path, metavar="FILE", help="write everything that was measured there")
    options = parser.parse_args(arguments)
    try:
        options.suites = chosen(options.only)
    except ValueError as error:
        parser.error(f"--only: {error}")
    names = ("users", "large_users", "events", "rounds")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    options.sizes = replace(QUICK if options.quick else Sizes(), **given)
    return options


def _run(suite: Suite, kind: str, sizes: Sizes, found: Findings, *, keep: Path | None) -> None:
    """Run one suite on one database, and keep what it has measured, also if it then breaks."""
    _OUT(f"{suite.name} on {kind} ...\n")
    sys.stdout.flush()
    started = time.monotonic()
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": suite.settings, databases.KIND: kind}
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
        file = Path(directory) / "results"
        encoded = msgspec.json.encode(sizes).decode()
        command = [sys.executable, "-m", "tests.benchmarks.process", suite.name, encoded, str(file)]
        if keep:
            environment[databases.DIRECTORY] = str(keep.absolute() / f"{suite.name}-{kind}")
            command.append("keep")
        done = subprocess.run(command, env=environment, check=False)
        lines = file.read_text().splitlines() if file.exists() else []
    if lines:
        found.versions[kind] = json.loads(lines[0])["database"]
    for line in lines[1:]:
        result = from_json(json.loads(line))
        found.results.append(result)
        _OUT(f"  {result.row} {result.what}: {result.figure}  {result.detail}\n")
    if done.returncode:
        found.broken.append(f"{suite.name} on {kind}")
    _OUT(f"  ({time.monotonic() - started:.0f} s)\n")


if __name__ == "__main__":
    sys.exit(main())
