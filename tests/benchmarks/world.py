"""What the benchmarks read from: a fake Clerk in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

#: So many requests a second are never reached: the throttle must not set the pace.
NO_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True)
class World:
    """Where the fake Clerk answers."""

    url: str
    secret_key: str
    control: IO[str]
    answers: IO[str]

    @property
    def access(self) -> dict[str, Any]:
        """What a ``ClerkClient`` is made with."""
        return {"secret_key": self.secret_key, "api_url": self.url}

    def change_every(self, nth: int) -> None:
        """Change each n-th user."""
        self.control.write(f"{nth}\n")
        self.control.flush()
        self.answers.readline()


@contextmanager
def fake_clerk(users: int, **options: float) -> Iterator[World]:
    """Serve so many users from another process; see ``served`` for the options."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "tests.benchmarks.served", f"--users={users}", *given]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        control, answers = _pipes(process)
        url, key = answers.readline().split()
        try:
            yield World(url, key, control, answers)
        finally:
            control.close()


def _pipes(process: subprocess.Popen[str]) -> tuple[Any, Any]:
    return process.stdin, process.stdout
