"""Several commands of a project in one process, for each start of Django takes seconds.

``python -m tests.batch manage.py`` reads a list of lists of arguments, runs one after the other up to the
first that fails, and prints how they ended, all as JSON. It may talk to this machine alone.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from project.defaults import BASE_DIR
from tests.loopback import refuse_other_hosts


class Done(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


def run_all(script: Path, commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> list[Done]:
    """Run them, and tell of those that were run."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.batch", str(script)],
        cwd=BASE_DIR,
        env=environment,
        input=json.dumps(commands),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
        timeout=300,
    )
    return [Done(*values) for values in json.loads(done.stdout)]


def _run(script: str, arguments: list[str]) -> Done:
    """Run the script as Python would, to its exit."""
    sys.argv = [script, *arguments]
    status = 0
    with _caught(1) as out, _caught(2) as err:
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)  # noqa: T201  # as Python does
        sys.stdout.flush()
        sys.stderr.flush()
        return Done(status, _text(out), _text(err))


@contextmanager
def _caught(descriptor: int) -> Iterator[int]:
    """Lead it to a file for a while: what a log's handler writes that has kept the stream is in it, too."""
    kept = os.dup(descriptor)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), descriptor)
        try:
            yield file.fileno()
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)


def _text(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()


def _main(script: str) -> None:
    sys.addaudithook(refuse_other_hosts)
    sys.path[0] = str(Path(script).resolve().parent)
    done: list[Done] = []
    for arguments in json.load(sys.stdin):
        done.append(_run(script, arguments))
        if done[-1].status:
            break
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    _main(sys.argv[1])
