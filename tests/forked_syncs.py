"""Syncs, schedulers and other work in processes of their own, which can be stopped and killed: ``python -m tests.forked_syncs``.

Reads one JSON object a line. ``{"start": {...}}`` forks a process and is answered with its id at once,
``{"wait": id}`` with its exit status (negative for a signal). This process opens no connection and has no
threads, so that each child starts afresh, with Django loaded.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import django

from tests import failpoints


def main() -> None:
    """Do as told until the input ends."""
    django.setup()
    _load()
    for line in sys.stdin:
        match json.loads(line):
            case {"start": order}:
                answer = _fork(order)
            case {"wait": child}:
                answer = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def _load() -> None:
    """Import what the children need, once; after setup."""
    # What verifies webhooks takes 0.7 s.
    from svix import webhooks  # noqa: F401, PLC0415

    from clerksync.management.commands import run_clerk_scheduler, sync_clerk_users  # noqa: F401, PLC0415
    from tests.crash import crowds, works  # noqa: F401, PLC0415


def _fork(order: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, sys.stdout.fileno())
        os.dup2(output, sys.stderr.fileno())
        _run(order)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
        sys.stderr.write(end.code if isinstance(end.code, str) else "")
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(order: dict[str, Any]) -> None:
    from django.core.management import execute_from_command_line  # noqa: PLC0415  # after setup
    from django.db import connection, connections  # noqa: PLC0415
    from django.test import override_settings  # noqa: PLC0415

    from clerksync import client, jobs, leases, schedule, scheduler  # noqa: PLC0415
    from clerksync.management import reports  # noqa: PLC0415

    os.environ.update(order["environment"])
    failpoints.arm()
    leases.DURATION = jobs.LEASE = timedelta(seconds=order["lease"])
    scheduler.POLL, scheduler.BEAT, schedule.FIRST_RETRY = 0.1, 0.2, timedelta(seconds=0.5)
    if order["deadline"] is not None:
        client._DEADLINES["sync"] = order["deadline"]
    connections.settings["default"].update(order["database"])
    reports.INTERVAL = 0.0
    with override_settings(**order["settings"]), connection.execute_wrapper(_Killer(order["kill_at"])):
        if order["apply"] is not None:
            _apply(*order["apply"])
        elif order["work"] is not None:
            path, arguments = order["work"]
            module, _, function = path.partition(":")
            getattr(import_module(module), function)(**arguments)
        else:
            execute_from_command_line(["manage.py", order["command"], *order["arguments"]])


class _Killer:
    """Ends the process before the statement with this number."""

    def __init__(self, number: int | None) -> None:
        self.left = number

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001  # Django's
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left = None if self.left is None else self.left - 1
        return execute(sql, params, many, context)


def _apply(worker: int, rounds: int) -> None:
    """Write pages of the same users over and over, each time in another order and with newer versions."""
    import random  # noqa: PLC0415

    from clerksync import mirror  # noqa: PLC0415
    from clerksync.client import ClerkClient  # noqa: PLC0415
    from clerksync.payloads import Parser, Source  # noqa: PLC0415

    chance = random.Random(worker)
    with ClerkClient() as client:
        page = client.list_users(limit=500)
    users = json.loads(page.body)
    for number in range(rounds):
        chosen = chance.sample(users, k=len(users) * 3 // 4) if number < rounds - 1 else users
        newer = [{**user, "updated_at": user["updated_at"] + number * 10 + worker} for user in chosen]
        body = json.dumps(newer).encode()
        mirror.apply(Parser().parse_page(body, source=Source.LIST, observed_ms=page.observed_ms))


@dataclass(frozen=True)
class Forks:
    """The other end: starts syncs and waits for them."""

    process: subprocess.Popen[str]
    output: Path

    def start(
        self,
        *arguments: str,
        settings: dict[str, Any],
        lease: float = 60,
        kill_at: int | None = None,
        fail_at: str = "",
        work: tuple[str, dict[str, Any]] | None = None,
        apply: tuple[int, int] | None = None,
        command: str = "sync_clerk_users",
        deadline: float | None = None,
        database: dict[str, Any] | None = None,
    ) -> int:
        """Start a sync, another command, or a function; returns its process id.

        Args:
            arguments: Of the command.
            settings: Those that are another than in this process.
            lease: Seconds for which leases and claims hold.
            kill_at: Kill it before the statement with this number.
            fail_at: Kill it at a fail point.
            work: The function, as ``module:name``, and its arguments.
            apply: Write pages that overlap: the number of the worker, and how many.
            command: Which.
            deadline: Seconds for all tries of a request.
            database: Changes of the default database's settings.
        """
        order = {
            "arguments": arguments,
            "settings": settings,
            "lease": lease,
            "kill_at": kill_at,
            "environment": {failpoints.NAME: fail_at},
            "work": work,
            "apply": apply,
            "command": command,
            "deadline": deadline,
            "database": database or {},
            "output": str(self.output),
        }
        return self._ask({"start": order})

    def wait(self, child: int) -> int:
        """Wait for its end and return its exit status."""
        return self._ask({"wait": child})

    def said(self) -> str:
        """All that the children have written so far."""
        return self.output.read_text() if self.output.exists() else ""

    def _ask(self, question: dict[str, Any]) -> int:
        stdin, stdout = _pipe(self.process.stdin), _pipe(self.process.stdout)
        stdin.write(f"{json.dumps(question)}\n")
        stdin.flush()
        return int(stdout.readline())


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextmanager
def forking(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Have a process at hand that forks syncs."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.forked_syncs"],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield process
        _pipe(process.stdin).close()


if __name__ == "__main__":
    main()
