"""What the benchmarks run in: a fake Clerk in a process of its own, and the tests' database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

_SERVER = """
import sys
from clerksync.testing import FakeClerk, RealClock, serve
clerk = FakeClerk(clock=RealClock(), rate_limit={limit})
clerk.create_users({users})
with serve(clerk) as served:
    print(served.url, clerk.secret_key, flush=True)
    for line in sys.stdin:
        every = int(line)
        for number, user in enumerate(clerk.users()):
            if number % every == 0:
                clerk.update_user(user["id"], first_name=f"Name {{number}}")
        print("changed", flush=True)
"""


@dataclass(frozen=True, slots=True)
class World:
    """Where the fake Clerk answers."""

    url: str
    secret_key: str
    control: IO[str]
    answers: IO[str]

    def change_every(self, nth: int) -> None:
        """Change each n-th user."""
        self.control.write(f"{nth}\n")
        self.control.flush()
        self.answers.readline()


@contextmanager
def fake_clerk(users: int, *, limit: tuple[int, int] | None = None) -> Iterator[World]:
    """Serve so many users from another process."""
    command = [sys.executable, "-c", _SERVER.format(users=users, limit=limit)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        control, answers = _pipes(process)
        url, key = answers.readline().split()
        try:
            yield World(url, key, control, answers)
        finally:
            control.close()


def _pipes(process: subprocess.Popen[str]) -> tuple[Any, Any]:
    return process.stdin, process.stdout
