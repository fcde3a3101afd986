"""The large tables, filled once; with ``--keep`` a later run reads them again, and not its small ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from django.contrib.contenttypes.models import ContentType
from django.db import connection

import clerksync
from tests import databases
from tests.benchmarks import filling
from tests.benchmarks.filling import Filling

#: Lists of the last day would be empty.
MAX_AGE = timedelta(days=1)


def fill(target: Filling) -> None:
    """Fill the tables, unless they were kept.

    Raises:
        ValueError: What was kept is something else, or too old.
    """
    file = databases.directory() / f"filled-{databases.kind()}.json"
    wanted = {"users": target.users, "events": target.events, "code": _code()}
    if file.exists():
        kept = json.loads(file.read_text())
        age = target.now - datetime.fromisoformat(kept.pop("now"))
        if kept != wanted or age > MAX_AGE:
            raise ValueError(f"{file.parent} was kept of other tables, or a day ago: delete it")
        return
    target.fill()
    filling.settle()
    file.write_text(json.dumps({**wanted, "now": target.now.isoformat()}))


@contextmanager
def empty_database() -> Iterator[None]:
    """Work on another database of this kind meanwhile, with the same tables."""
    own = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = f"{own}-small"
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    ContentType.objects.clear_cache()
    try:
        yield
    finally:
        connection.creation.destroy_test_db(own, verbosity=0)
        ContentType.objects.clear_cache()


def _code() -> str:
    """What the tables depend on."""
    migrations = Path(clerksync.__file__).parent / "migrations"
    files = [Path(filling.__file__), *sorted(migrations.glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
