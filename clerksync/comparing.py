"""Compares what the table holds of a user with what Clerk shows, or with the placeholder rules alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from clerksync.decisions import shape, stable
from clerksync.differences import compare_fields
from clerksync.fields import VOLATILE, WATCHED
from clerksync.findings import Cause, Finding, FindingKind
from clerksync.models import ClerkUser
from clerksync.payloads import Observation
from clerksync.placeholders import PlaceholderRules, fold

Values = Sequence[str | None]


def compare_values(
    clerk_id: str, here: Values, there: Values | None, rules: PlaceholderRules
) -> Iterator[Finding]:
    """Judge the watched values of a row, beside Clerk's if they are known."""
    local = broken_rules(clerk_id, dict(zip(WATCHED, here, strict=True)), rules)
    remote = local
    if there != here:
        remote = broken_rules(clerk_id, dict(zip(WATCHED, there or (), strict=False)), rules)
    for name, mine, theirs in zip(WATCHED, here, there or here, strict=True):
        if name in remote:
            yield Finding(clerk_id, FindingKind.REMOTE, remote[name], name, theirs)
        elif name in local:
            kind = FindingKind.PLACEHOLDER if there is None else FindingKind.STALE
            yield Finding(clerk_id, kind, local[name], name, mine)
        elif mine != theirs and not fold(mine or "") and fold(theirs or ""):
            yield Finding(clerk_id, FindingKind.STALE, "empty", name, mine)


def broken_rules(clerk_id: str, values: Mapping[str, str | None], rules: PlaceholderRules) -> dict[str, str]:
    """The names of the rules that each column breaks."""
    broken: dict[str, str] = {}
    if any(values.values()):
        for found in rules.find(clerk_id=clerk_id, **{name: values.get(name) for name in WATCHED}):
            broken[found.field] = ", ".join(filter(None, (broken.get(found.field), found.rule)))
    return broken


def compare_content(
    stored: ClerkUser | None, shown: Observation, *, told: Collection[str | None]
) -> Iterator[Finding]:
    """What else the same version says in Clerk; ``told`` are the columns that were found before.

    Volatile fields do not count. What fits the digest and not the columns was changed past the mirror.
    """
    if stored is None or shown.fields is None or stored.updated_ms != shown.updated_ms:
        return  # written meanwhile
    fits = stable(stored.digest) == stable(shown.digest)
    cause = Cause.CHANGED_PAST_THE_MIRROR if fits else Cause.UNKNOWN
    differing = {
        name: old
        for name, (old, new) in compare_fields(stored, shown.fields).items()
        if name not in VOLATILE and not (_is_nothing(old) and _is_nothing(new))
    }
    for name, old in differing.items():
        if name not in told:
            yield Finding(stored.pk, FindingKind.DIFFERS, "same_version", name, _text(old), cause)
    if not differing and not fits and shape(stored.digest) == shape(shown.digest):
        yield Finding(stored.pk, FindingKind.DIFFERS, "content")


def _is_nothing(value: Any) -> bool:
    return value is None or value == ""


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
