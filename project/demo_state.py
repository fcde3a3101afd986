"""What a running ``manage.py demo --serve`` leaves for commands in other terminals: a small file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Running:
    """Where the fake Clerk and the site's webhook are, and the keys made for this run."""

    clerk_url: str
    clerk_key: str
    webhook_url: str
    webhook_secret: str


@contextmanager
def announced(running: Running) -> Iterator[None]:
    """Leave the file until the block ends."""
    path = _path()
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(running)), encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find() -> Running | None:
    """The demo that runs; None if none does, but one that was killed may have left its file."""
    try:
        return Running(**json.loads(_path().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _path() -> Path:
    """Beside the demo's database, with ``.json`` in place of its ending."""
    return Path(settings.DATABASES["default"]["NAME"]).with_suffix(".json")
