"""A PostgreSQL server of a test's own, which it may restart, fill or slow down."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection, connections

from tests import databases, postgresql
from tests.postgresql import Running

#: What is committed survives a crash of the server.
_OPTIONS = "synchronous_commit = on"


@contextmanager
def own_server() -> Iterator[Running]:
    """Run one, with the tables of the tests and no rows."""
    name = str(connection.settings_dict["NAME"])
    with tempfile.TemporaryDirectory(prefix="clerksync-own-") as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "pg"
        with postgresql.running(path, options=_OPTIONS) as server:
            host = str(databases.directory() / "pg")
            tables = server.run("pg_dump", "-h", host, "-U", "postgres", "--schema-only", name)
            schema = Path(directory) / "schema.sql"
            schema.write_text(tables)
            server.run("createdb", "-h", str(path), "-U", "postgres", name)
            server.run("psql", "-q", "-h", str(path), "-U", "postgres", "-f", str(schema), name)
            yield server


@contextmanager
def connected_to(**changes: Any) -> Iterator[None]:
    """Let this process use another database as the default one."""
    settings = connections["default"].settings_dict
    before = {name: settings[name] for name in changes}
    connection.close()
    settings.update(changes)
    try:
        yield
    finally:
        connection.close()
        settings.update(before)
