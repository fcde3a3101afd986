"""One suite in this process, as the command starts it: ``python -m tests.benchmarks.process NAME SIZES RESULTS [keep]``."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import django
import msgspec
from django.core.management import call_command
from django.db import connection

from tests import databases
from tests.benchmarks import machine
from tests.benchmarks.suites import SUITES, Sizes


def main(name: str, sizes: str, results: str, *options: str) -> None:
    """Measure, and add each figure to the file as soon as there is one; the first line tells the database."""
    suite = next(suite for suite in SUITES if suite.name == name)
    with databases.running(keep="keep" in options), Path(results).open("a") as file:
        django.setup()
        file.write(json.dumps(machine.database()) + "\n")
        _prepare()
        # What it imports at its top needs the set-up.
        module = importlib.import_module(suite.module)
        for result in module.measure(msgspec.json.decode(sizes, type=Sizes)):
            file.write(json.dumps(asdict(replace(result, database=databases.kind()))) + "\n")
            file.flush()


def _prepare() -> None:
    """Tables, and a PostgreSQL that keeps what it commits, as the tests' own does not."""
    call_command("migrate", verbosity=0)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                cursor.execute(f"ALTER SYSTEM SET {name} = on")
            cursor.execute("SELECT pg_reload_conf()")


if __name__ == "__main__":
    main(*sys.argv[1:])
