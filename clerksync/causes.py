"""How findings came about, as far as the table and the recorded events tell. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from django.db.models import Count, Max, Min, Q
from django.db.models.functions import Coalesce
from msgspec.structs import replace

from clerksync import mirror, webhooks
from clerksync.decisions import stable
from clerksync.differences import compare_fields
from clerksync.exceptions import PayloadError
from clerksync.fields import VOLATILE
from clerksync.findings import Cause, Finding, FindingKind
from clerksync.misses import GRACE_MS, SLACK_MS
from clerksync.models import ClerkUser, WebhookEvent
from clerksync.payloads import Observation, Parser, Source
from clerksync.records import ACTIVE, INCOMPLETE, Row

_State = WebhookEvent.State
_ARRIVED = Q(state__in=(_State.APPLIED, _State.SUPERSEDED, _State.FAILED))


class Judged(NamedTuple):
    """A finding, the row as it was, and what Clerk showed; None where there is none."""

    finding: Finding
    row: Row | None
    shown: Observation | None


class _Told(NamedTuple):
    """What events tell of a user: the time of the last one in ms, and whether any was applied."""

    last_ms: float
    applied: bool


class Causes:
    """Explains findings, many at once; ``parser`` says under which settings users are read."""

    def __init__(self, parser: Parser) -> None:
        self.parser = parser

    def explain(self, judged: Sequence[Judged], *, now_ms: int) -> Iterator[Finding]:
        """The same findings, with their causes.

        At most two queries, and none if nothing was found. ``now_ms`` is the time, in Clerk's clock.
        """
        tampered = self._tampered(judged)
        told = self._told({one.finding.clerk_id for one in judged if _is_older_or_absent(one)})
        for one in judged:
            finding = one.finding
            if finding.cause is Cause.UNKNOWN:
                finding = replace(finding, cause=self._cause(one, tampered, told, now_ms))
            yield finding

    def _cause(self, one: Judged, tampered: set[str], told: dict[str, _Told], now_ms: int) -> Cause:
        kind, row, clerk_id = one.finding.kind, one.row, one.finding.clerk_id
        if kind is FindingKind.REMOTE:
            return Cause.UNKNOWN
        if row is not None and row.state == INCOMPLETE:
            return Cause.NEVER_COMPLETED
        if kind is FindingKind.EXTRA and row is not None and row.digest:
            return Cause.DELETED_THERE
        if clerk_id in tampered or _fits(row, one.shown):
            return Cause.CHANGED_PAST_THE_MIRROR
        if one.finding.reason == "tombstone" or (row is None and clerk_id in told and told[clerk_id].applied):
            return Cause.DELETED_HERE
        if _is_older_or_absent(one) and one.shown is not None:
            return self._missed(one.shown.updated_ms, told.get(clerk_id), now_ms)
        return Cause.UNKNOWN

    def _missed(self, changed_ms: int, told: _Told | None, now_ms: int) -> Cause:
        """Whether an event should have told of this version by now, and none has."""
        since_ms = self._recording_since_ms
        if since_ms is None or not since_ms <= changed_ms <= now_ms - GRACE_MS:
            return Cause.UNKNOWN
        came = told is not None and told.last_ms + SLACK_MS >= changed_ms
        return Cause.UNKNOWN if came else Cause.MISSED_EVENT

    @cached_property
    def _recording_since_ms(self) -> float | None:
        """Since when events are known: from before, nobody can say whether one came."""
        if not webhooks.configured_secrets():
            return None
        first = WebhookEvent.objects.aggregate(first=Min("received_at"))["first"]
        return None if first is None else first.timestamp() * 1000

    def _told(self, ids: set[str]) -> dict[str, _Told]:
        if not ids or self._recording_since_ms is None:
            return {}
        events = WebhookEvent.objects.filter(object_id__in=ids).values_list("object_id")
        told = events.annotate(
            last=Max(Coalesce("occurred_at", "sent_at")), applied=Count("pk", filter=_ARRIVED)
        )
        return {clerk_id: _Told(last.timestamp() * 1000, applied > 0) for clerk_id, last, applied in told}

    def _tampered(self, judged: Sequence[Judged]) -> set[str]:
        """Those whose columns are not what was stored with them."""
        known = {
            one.finding.clerk_id
            for one in judged
            if one.row is not None and one.row.state == ACTIVE and one.finding.cause is Cause.UNKNOWN
        }
        if not known:
            return set()
        rows = ClerkUser.objects.using(mirror.database()).filter(pk__in=known)
        return {user.pk for user in rows if self._is_tampered(user)}

    def _is_tampered(self, user: ClerkUser) -> bool:
        """By the payload, if that is what the digest was made of; the mirror never leaves out the digest."""
        if not user.digest:
            return True
        if user.payload_text is None:
            return False
        try:
            was = self.parser.parse_user(user.payload_text.encode(), source=Source.GET, observed_ms=None)
        except PayloadError:
            return False
        if was.fields is None or stable(was.digest) != stable(user.digest):
            return False
        changed = set(compare_fields(user, was.fields)) - VOLATILE
        return bool(changed) or user.updated_ms != was.updated_ms


def _fits(row: Row | None, shown: Observation | None) -> bool:
    """Whether the digest is of what Clerk shows, so that the columns, which are not, were changed."""
    return (
        row is not None
        and shown is not None
        and row.state == ACTIVE
        and row.updated_ms == shown.updated_ms
        and stable(row.digest) == stable(shown.digest)
    )


def _is_older_or_absent(one: Judged) -> bool:
    """Whether an event of the version that Clerk shows would have mended it."""
    return one.shown is not None and (one.row is None or one.row.updated_ms < one.shown.updated_ms)
