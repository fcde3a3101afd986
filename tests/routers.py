"""Lets a test move the models to the other database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db.models import Model

_alias: ContextVar[str] = ContextVar("alias", default="default")


@contextmanager
def use_database(alias: str) -> Iterator[None]:
    """Read and write everything on this alias; a new thread starts at ``default`` again."""
    token = _alias.set(alias)
    try:
        yield
    finally:
        _alias.reset(token)


class SwitchRouter:
    """Answers the alias that ``use_database`` has set."""

    def db_for_read(self, model: type[Model], **hints: object) -> str:
        """Where reads go."""
        return _alias.get()

    def db_for_write(self, model: type[Model], **hints: object) -> str:
        """Where writes go."""
        return _alias.get()

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool:
        """Both databases have all tables."""
        return True
