"""The database, as it tells of itself, and what that amounts to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from msgspec.structs import replace

from clerksync.doctor import database
from clerksync.doctor.database import DatabaseFacts
from clerksync.doctor.findings import Finding
from clerksync.doctor.limits import within
from tests import databases
from tests.doctor.patients import replaced

SQLITE = DatabaseFacts(
    alias="default",
    vendor="sqlite",
    is_read_only=False,
    ahead=0.1,
    pending=(),
    journal_mode="wal",
    timeout=20,
)
POSTGRESQL = DatabaseFacts(alias="default", vendor="postgresql", is_read_only=False, ahead=-0.1, pending=())


def wrong(facts: DatabaseFacts) -> list[Finding]:
    """What is not ok."""
    return [finding for finding in database.judge(facts) if finding.state != "ok"]


@pytest.mark.parametrize("facts", [SQLITE, POSTGRESQL, replace(SQLITE, journal_mode="memory")])
def test_judge__sound(facts: DatabaseFacts) -> None:
    """Nothing is wrong."""
    assert wrong(facts) == []


@pytest.mark.parametrize(
    ("facts", "id", "state", "words"),
    [
        (replace(SQLITE, journal_mode="delete"), "database_mode", "warning", "PRAGMA journal_mode=WAL"),
        (replace(SQLITE, timeout=1.5), "database_mode", "warning", "gives up after 1.5 seconds"),
        (replace(SQLITE, is_read_only=True), "database_mode", "problem", "is read-only here"),
        (replace(POSTGRESQL, is_read_only=True), "database_mode", "problem", "is read-only here"),
        (
            replace(POSTGRESQL, pooled=True, cursors=True),
            "database_pool",
            "warning",
            'DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True;',
        ),
        (
            replace(POSTGRESQL, pooled=True, prepares=True),
            "database_pool",
            "warning",
            '"prepare_threshold"] = None',
        ),
        (replace(POSTGRESQL, ahead=61), "database_clock", "warning", "61 seconds ahead of the database's"),
        (replace(POSTGRESQL, ahead=-61), "database_clock", "warning", "61 seconds behind the database's"),
        (replace(SQLITE, pending=("clerksync.0001_initial",)), "migrations", "problem", "manage.py migrate"),
    ],
)
def test_judge__mistakes(facts: DatabaseFacts, id: str, state: str, words: str) -> None:
    """Each mistake is one finding."""
    (finding,) = wrong(facts)
    assert (finding.id, finding.state) == (id, state)
    assert words in f"{finding.sentence} {finding.advice}"


def test_judge__pooler_that_is_asked_for_nothing() -> None:
    """A pooler is no mistake."""
    assert wrong(replace(POSTGRESQL, pooled=True)) == []


@pytest.mark.django_db(transaction=True)
def test_ask__sound() -> None:
    """The databases of the tests are as they should be."""
    facts = within(20, database.ask)
    assert wrong(facts) == []
    assert (facts.vendor, facts.pooled, abs(facts.ahead) < 5) == (databases.kind(), False, True)


@pytest.mark.skipif(databases.kind() != "sqlite", reason="is about files of SQLite")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"init_command": "PRAGMA journal_mode=DELETE;"}, "in the mode 'delete'"),
        ({"init_command": "PRAGMA journal_mode=WAL; PRAGMA busy_timeout=900;"}, "after 0.9 seconds"),
        ({"init_command": "PRAGMA query_only=1;"}, "is read-only here"),
    ],
)
def test_ask__sqlite(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    """What SQLite tells is what it does, whatever the settings were meant to say."""
    with replaced(NAME=str(tmp_path / "new.sqlite3"), OPTIONS=options):
        facts = within(20, database.ask)
    assert any(words in finding.sentence for finding in wrong(facts))
    assert "clerksync.0001_initial" in facts.pending


@pytest.mark.skipif(databases.kind() != "postgresql", reason="is about PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_ask__read_only() -> None:
    """A standby, or a user who may only read."""
    with replaced(OPTIONS={"options": "-c default_transaction_read_only=on"}):
        assert within(20, database.ask).is_read_only


@pytest.mark.skipif(databases.kind() != "postgresql", reason="is about PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_ask__pooler() -> None:
    """Between us and the server stands something that hands out numbers of its own, as PgBouncer does."""
    place = f"{connections.settings['default']['HOST']}/.s.PGSQL.5432"
    with pooler(place) as port, replaced(HOST="127.0.0.1", PORT=str(port), OPTIONS={"prepare_threshold": 5}):
        facts = within(20, database.ask)
    assert (facts.pooled, facts.cursors, facts.prepares) == (True, True, True)
    assert [finding.id for finding in wrong(facts)] == ["database_pool"]


@contextmanager
def pooler(place: str) -> Iterator[int]:
    """Pass bytes on to a server's socket; only the number of the serving process is another one."""
    front = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                client = front.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                server.connect(place)
                for source, target, change in ((client, server, bytes), (server, client, renumbered)):
                    threading.Thread(target=pump, args=(source, target, change), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield front.getsockname()[1]
    finally:
        front.shutdown(socket.SHUT_RDWR)
        front.close()
        thread.join()


def pump(source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
    """Pass on what comes until one side hangs up."""
    with suppress(OSError), source, target:
        while part := source.recv(65536):
            target.sendall(change(part))


def renumbered(part: bytes) -> bytes:
    """BackendKeyData with another number: ``K``, its length (12), the process, the key."""
    head, found, rest = part.partition(b"K\x00\x00\x00\x0c")
    return head + found + b"\x00\x12\xd6\x87" + rest[4:] if found else part
