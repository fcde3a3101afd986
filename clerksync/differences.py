"""What a row holds otherwise than an observation says, column by column."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from clerksync.fields import EPOCH, UserFields, canonical_json
from clerksync.models import ClerkUser
from clerksync.times import aware


def compare_fields(user: ClerkUser | None, new: UserFields) -> dict[str, tuple[Any, Any]]:
    """Old and new values of the columns that differ; times in ms, metadata as JSON text."""
    old = {name: None if user is None else _plain(getattr(user, name)) for name in new.__struct_fields__}
    return {
        name: (old[name], getattr(new, name))
        for name in new.__struct_fields__
        if old[name] != getattr(new, name)
    }


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return (aware(value) - EPOCH) // timedelta(milliseconds=1)
        case dict() | list():
            return canonical_json(value)
        case _:
            return value
