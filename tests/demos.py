"""Processes that run ``manage.py demo`` in a database of the test's own, on the loopback address alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project.defaults import BASE_DIR
from tests import batch
from tests.batch import Done

#: Nobody listens there; only the documentation may name it (RFC 5737).
NOWHERE = "http://192.0.2.1:9"

SETTINGS = ("--settings", "tests.demo_settings")


def command(*options: str, name: str = "demo") -> list[str]:
    """The command line; the options come before ours."""
    return [sys.executable, "-m", "tests.loopback", "manage.py", name, *options, *SETTINGS]


def environment(database: Path) -> dict[str, str]:
    """An environment that would lead the demo astray if it heeded it."""
    looks = {"COLUMNS": "110", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
    proxies = {"HTTP_PROXY": NOWHERE, "http_proxy": NOWHERE, "ALL_PROXY": NOWHERE}
    elsewhere = {"DATABASE_URL": "postgres://real/users", "CLERK_API_URL": NOWHERE}
    return {**os.environ, **proxies, **elsewhere, **looks, "CLERKSYNC_TEST_DEMO": str(database)}


def run(database: Path, *options: str, name: str = "demo") -> subprocess.CompletedProcess[str]:
    """Run the demo, or another command of it, to its end."""
    return subprocess.run(
        command(*options, name=name),
        cwd=BASE_DIR,
        env=environment(database),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


def run_all(database: Path, commands: list[list[str]]) -> list[Done]:
    """Run several commands of it in one process."""
    lines = [[*command, *SETTINGS] for command in commands]
    return batch.run_all(BASE_DIR / "manage.py", lines, environment(database))


def normalise(text: str) -> str:
    """The text without what differs from run to run: ports and times."""
    text = re.sub(r"(127\.0\.0\.1):\d+", r"\1:PORT", text)
    return re.sub(r"\d+\.\d s, \d+ users per second", "TIME", text)


@contextmanager
def site(database: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The demo with --serve, once it serves: the process, the site's address, the password."""
    process = subprocess.Popen(
        command("--serve"),
        cwd=BASE_DIR,
        env=environment(database),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    assert process.stdout is not None
    with process:
        try:
            text = ""
            while "password" not in text:
                line = process.stdout.readline()
                assert line, "the demo ended before it served"
                text += line
            yield process, re.findall(r"site is at (\S+),", text)[0], re.findall(r"password (\S+);", text)[0]
        finally:
            process.kill()
