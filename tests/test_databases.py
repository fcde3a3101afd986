"""The room that the tests run in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import requests
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from pytest_socket import SocketConnectBlockedError

from clerksync.conf import settings
from clerksync.testing import FakeClerk
from tests import databases
from tests.processes import environment, forget_keys, keep_compiled
from tests.routers import use_database

pytestmark = pytest.mark.each_database

_COUNT = """
import django; django.setup()
from django.contrib.auth.models import User
print(User.objects.count())
"""


def test_kind__matches_connection() -> None:
    """The default alias is of the kind that the environment names."""
    assert connection.vendor == databases.kind()


def test_other__is_sqlite() -> None:
    """The second alias is SQLite whatever the first is."""
    assert connections["other"].vendor == "sqlite"


@pytest.mark.django_db(databases=["default", "other"])
def test_use_database__moves_the_models() -> None:
    """Inside the block rows go to the other database."""
    users = get_user_model()._default_manager
    with use_database("other"):
        users.create(username="ada")
        assert users.count() == 1
    assert users.count() == 0
    assert users.using("other").count() == 1


@pytest.mark.django_db(transaction=True)
def test_environment__shares_the_database() -> None:
    """A process that a test starts sees the rows of the test."""
    get_user_model()._default_manager.create(username="ada")
    done = subprocess.run(
        [sys.executable, "-c", _COUNT], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


@pytest.mark.django_db(transaction=True, databases=["other"])
def test_sqlite__is_shared_and_immediate() -> None:
    """SQLite takes the write lock at the start of a transaction and keeps a journal beside the file."""
    with use_database("other"), transaction.atomic(using="other"), connections["other"].cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)
        assert connections["other"].transaction_mode == "IMMEDIATE"  # type: ignore[attr-defined]


def test_network__only_loopback() -> None:
    """A connection to any other machine fails."""
    with (
        socket.socket() as client,
        pytest.warns(match="tried to use"),
        pytest.raises(SocketConnectBlockedError),
    ):
        client.connect(("192.0.2.1", 80))


def test_clerk_server__opens_with_the_settings(clerk_server: FakeClerk) -> None:
    """The fake Clerk is where the settings say, and their key opens it."""
    headers = {"Authorization": f"Bearer {settings.CLERK_SECRET_KEY}"}
    answer = requests.get(f"{settings.CLERK_API_URL}/v1/users", headers=headers, timeout=5)
    assert (answer.status_code, answer.json()) == (200, [])
    assert len(clerk_server.requests) == 1


def test_forget_keys__all_but_those_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own keys never reach a test."""
    monkeypatch.setenv("CLERK_SECRET_KEY", "sk_live_of_the_developer")
    monkeypatch.setenv("CLERKSYNC_MAX_DELETES", "1")
    monkeypatch.setenv("CLERKSYNC_TEST_DATABASE", "sqlite")
    forget_keys()
    left = [name for name in os.environ if name.startswith(("CLERK_", "CLERKSYNC_"))]
    assert "CLERKSYNC_TEST_DATABASE" in left
    assert [name for name in left if not name.startswith("CLERKSYNC_TEST_")] == []


def test_keep_compiled__by_processes_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says, for else each of hundreds of processes compiles everything."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    keep_compiled()
    command = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_kind__unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that the tests do not know is refused by name."""
    monkeypatch.setenv("CLERKSYNC_TEST_DATABASE", "oracle")
    with pytest.raises(ValueError, match="must be one of: sqlite, postgresql"):
        databases.kind()
