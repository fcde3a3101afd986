"""The change history of a user, as a table on the user's page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.utils.safestring import SafeString
from msgspec import Struct

from clerksync.admin import formats
from clerksync.admin.columns import HIDDEN, label
from clerksync.fields import EPOCH, TIMES
from clerksync.masking import PERSONAL, mask
from clerksync.models import ClerkUserChange
from clerksync.records import Outcome

#: So many changes are shown, the newest ones.
SHOWN = 50
_KINDS = {Outcome.CREATED: "good", Outcome.REVIVED: "good", Outcome.DELETED: "bad"}
_METADATA = ("public_metadata", "private_metadata", "unsafe_metadata")


class Entry(Struct, frozen=True):
    """One line: when, what, and by what; ``fields`` are names with old and new values."""

    at: str | SafeString
    outcome: SafeString
    cause: str
    fields: tuple[tuple[Any, Any, Any], ...]


def entries(clerk_id: str, *, masked: bool) -> list[Entry]:
    """The newest changes of a user, with one statement."""
    changes = ClerkUserChange.objects.filter(clerk_id=clerk_id).order_by("-revision")[:SHOWN]
    return [
        Entry(
            at=formats.moment(EPOCH + timedelta(milliseconds=change.at_ms)),
            outcome=formats.mark(change.outcome, kind=_KINDS.get(Outcome(change.outcome), "")),
            cause=" ".join(filter(None, (change.source, change.provenance))),
            fields=tuple(_fields(change, masked=masked)),
        )
        for change in changes
    ]


def _fields(change: ClerkUserChange, *, masked: bool) -> Iterator[tuple[Any, Any, Any]]:
    for name, (old, new) in change.fields.items():
        yield label(name), _shown(name, old, masked=masked), _shown(name, new, masked=masked)


def _shown(name: str, value: Any, *, masked: bool) -> Any:
    if name in TIMES and value is not None:
        moment: datetime = EPOCH + timedelta(milliseconds=value)
        return formats.moment(moment)
    if masked and name in _METADATA:
        return formats.mark(HIDDEN)
    if masked and name in PERSONAL and value:
        return formats.text(mask(str(value)))
    return formats.text(value)
