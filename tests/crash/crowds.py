"""What the processes of a crowd do, all at the same time, each until its time is up or it is told to end."""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from django.core.management import CommandError, call_command
from django.test import Client

from clerksync.testing.deliveries import Delivery
from tests.crash.works import handle
from tests.deliveries import post

#: The last line of a file of deliveries.
END = "end"
#: How a command may end beside other work: done, something is left for the next time, another sync is at work.
_PEACEFUL = (0, 1, 3)


def browse(visits: Sequence[tuple[str, Mapping[str, str]]], seconds: float, seed: int) -> None:
    """Load these pages in random order; whatever happens they are served."""
    chance, end = random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < end:
        path, headers = chance.choice(visits)
        response = Client().get(path, headers=dict(headers))
        if response.status_code != 200:
            raise SystemExit(f"{path} was answered with {response.status_code}")


def deliver(deliveries: str, book: str) -> None:
    """Deliver what comes into the file, each message at once; all are to be answered with 200."""
    handle(book)
    for line in _lines(Path(deliveries)):
        body, headers = json.loads(line)
        response = post(Delivery(body.encode(), headers))
        if response.status_code != 200:
            raise SystemExit(f"{headers['svix-id']} was answered with {response.status_code}")


def manage(commands: Sequence[Sequence[str]], seconds: float) -> None:
    """Run these commands in turn; none of them may fail for the database."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for command in commands:
            output = io.StringIO()
            try:
                call_command(*command, stdout=output, stderr=output)
            except CommandError as error:
                _check(command, error.returncode, str(error))
            except SystemExit as error:
                _check(command, error.code, output.getvalue())


def _check(command: Sequence[str], status: object, said: str) -> None:
    if status not in _PEACEFUL or "database" in said:
        raise SystemExit(f"{' '.join(command)} ended with {status}: {said}")


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file that grows, up to the last one."""
    with path.open(encoding="utf-8") as file:
        line = ""
        while True:
            line += file.readline()
            if not line.endswith("\n"):
                time.sleep(0.01)
            elif line.strip() == END:
                return
            else:
                yield line
                line = ""
