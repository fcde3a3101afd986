"""The databases that the tests run on, chosen by the environment.

``CLERKSYNC_TEST_DATABASE``: ``sqlite`` (the default) or ``postgresql``. The alias ``other`` is
always SQLite, so that on PostgreSQL a test can compare the two.

All files of one run lie in one directory, named here and made by ``running()``. Whoever starts first
(``python -m tests``, or pytest itself) makes it; xdist's workers and the processes that tests
start find its name in the environment and share it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tests import postgresql

KINDS = ("sqlite", "postgresql")
KIND = "CLERKSYNC_TEST_DATABASE"
DIRECTORY = "CLERKSYNC_TEST_DIRECTORY"
#: Set for processes that tests start: the database that the test itself works on.
NAME = "CLERKSYNC_TEST_NAME_{alias}"


def kind() -> str:
    """The kind of the default database."""
    chosen = os.environ.get(KIND, KINDS[0])
    if chosen not in KINDS:
        raise ValueError(f"{KIND} is {chosen!r}, but must be one of: {', '.join(KINDS)}")
    return chosen


def directory() -> Path:
    """The directory of this run, the same in all its processes; it may not exist yet."""
    name = os.environ.setdefault(DIRECTORY, f"{tempfile.gettempdir()}/clerksync-{uuid.uuid4().hex[:10]}")
    return Path(name)


@contextmanager
def running(*, keep: bool = False) -> Iterator[None]:
    """Hold the run's directory and server; nothing happens if an outer process holds them.

    With ``keep`` the directory is nobody else's, may be there already, and stays.
    """
    path = directory()
    if path.exists() and not keep:
        yield
        return
    path.mkdir(parents=keep, exist_ok=keep)
    try:
        with postgresql.running(path / "pg", keep=keep) if kind() == "postgresql" else nullcontext():
            yield
    finally:
        if not keep:
            shutil.rmtree(path, ignore_errors=True)
        del os.environ[DIRECTORY]


def configuration() -> dict[str, dict[str, Any]]:
    """Django's DATABASES."""
    default = _postgresql("default") if kind() == "postgresql" else _sqlite("default")
    return {"default": default, "other": _sqlite("other")}


def _sqlite(alias: str) -> dict[str, Any]:
    """A file and not memory, so that threads and processes share it."""
    name = os.environ.get(NAME.format(alias=alias), str(directory() / f"{alias}.sqlite3"))
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
        },
        "TEST": {"NAME": name},
    }


def _postgresql(alias: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get(NAME.format(alias=alias), "postgres"),
        "HOST": str(directory() / "pg"),
        "USER": "postgres",
        "TEST": {"NAME": "test_clerksync"},
    }
