"""Where else our tables name a user, or hold what a user is called: events, runs, messages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from django.db import router
from django.db.models import Q, QuerySet
from django.utils import timezone

from clerksync import history
from clerksync.leaks import holding, holds
from clerksync.models import Alarm, ClerkUserChange, ScheduledJob, SyncRun, WebhookEvent
from clerksync.runs import RESUME_WITHIN

_EVENTS = WebhookEvent._meta.db_table
_CHANGES = ClerkUserChange._meta.db_table
#: Events in one statement.
_AT_ONCE = 1_000
_ID = re.compile(r"[\w-]+")
#: What stands in a text in the place of an id.
FORGOTTEN = "a forgotten user"
#: Why an event that waited for a replay will have none.
GONE = "nothing is kept of its user any more"


def blank(ids: Sequence[str]) -> Counter[str]:
    """Drop the change history of these users, and the content of the events that are about them; by index."""
    if not ids:
        return Counter()
    about = _events().filter(Q(object_id__in=ids) | Q(user_id__in=ids))
    return Counter({_EVENTS: _drop_content(about), _CHANGES: history.forget(ids)})


def find_texts(values: Mapping[str, Collection[str]]) -> dict[str, list[int]]:
    """The keys of all events that name each of these users or hold a text of theirs.

    What is about another user of Clerk is left out, whatever it says, unless it names the id. Reads all
    events, once for so many texts: to be called in no transaction.
    """
    whole = _events().filter(payload_text__isnull=False)
    of_nobody = whole.filter(user_id="").exclude(type__startswith="user.")
    ids = {clerk_id: [clerk_id] for clerk_id in values}
    found: dict[str, set[int]] = {clerk_id: set() for clerk_id in values}
    for clerk_id, key in (*_holders(whole, ids), *_holders(of_nobody, values)):
        found[clerk_id].add(key)
    return {clerk_id: sorted(keys) for clerk_id, keys in found.items()}


def blank_found(keys: Sequence[int]) -> Counter[str]:
    """Drop the content of these events."""
    chunks = (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))
    return Counter({_EVENTS: sum(_drop_content(_events().filter(pk__in=chunk)) for chunk in chunks)})


def remove_from_events(ids: Collection[str]) -> None:
    """Take the ids themselves out of the events that are about these users; by index."""
    for column in ("object_id", "user_id"):
        about = _events().filter(**{f"{column}__in": ids})
        about.update(payload_text=None, reason="", **{column: ""})


def remove_from_books(ids: Collection[str]) -> None:
    """Take the ids themselves out of runs and messages; reads all of them."""
    if not ids:
        return
    gone = set(ids)
    for run in _runs().iterator(chunk_size=200):
        values = {name: _without(getattr(run, name), gone) for name in _OF_RUNS}
        if any(value != getattr(run, name) for name, value in values.items()):
            _runs().filter(pk=run.pk).update(**values)
    for model, column in ((ScheduledJob, "message"), (Alarm, "text")):
        for pk, text in _all(model).values_list("pk", column):
            if (value := _without(text, gone)) != text:
                _all(model).filter(pk=pk).update(**{column: value})


def of_open_runs() -> set[str]:
    """The ids in the books of syncs that may be resumed, whose checkpoints are needed as they are."""
    since = timezone.now() - RESUME_WITHIN
    states = (SyncRun.State.RUNNING, SyncRun.State.INTERRUPTED)
    runs = _runs().filter(state__in=states, started_at__gt=since).values_list("checkpoint", flat=True)
    return {word for checkpoint in runs for word in _words(checkpoint)}


_OF_RUNS = ("options", "skipped", "checkpoint", "error")


def _without(value: Any, gone: set[str]) -> Any:
    """The value without these ids: keys and items of lists are left out, texts say that somebody was there."""
    match value:
        case str():
            return FORGOTTEN if value in gone else _ID.sub(lambda word: _replaced(word[0], gone), value)
        case dict():
            return {key: _without(inner, gone) for key, inner in value.items() if key not in gone}
        case list():
            return [
                _without(inner, gone) for inner in value if not (isinstance(inner, str) and inner in gone)
            ]
        case _:
            return value


def _replaced(word: str, gone: set[str]) -> str:
    return FORGOTTEN if word in gone else word


def _words(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict() | list():
            for inner in value.values() if isinstance(value, dict) else value:
                yield from _words(inner)


def _holders(
    events: QuerySet[WebhookEvent], wanted: Mapping[str, Collection[str]]
) -> Iterator[tuple[str, int]]:
    """Each user of whom an event holds a text, with the key of the event."""
    for rows in holding(events, "payload_text", {text for texts in wanted.values() for text in texts}):
        for key, payload in rows.values_list("pk", "payload_text"):
            yield from ((clerk_id, key) for clerk_id, texts in wanted.items() if holds(payload, texts))


def _drop_content(events: QuerySet[WebhookEvent]) -> int:
    whole = events.filter(payload_text__isnull=False)
    waiting = {"state": WebhookEvent.State.IGNORED, "reason": GONE, "handled": True, "payload_text": None}
    # Without content there is nothing to replay.
    dropped = whole.filter(state__in=(WebhookEvent.State.PARKED, WebhookEvent.State.FAILED)).update(**waiting)
    return dropped + whole.update(payload_text=None)


def _events() -> QuerySet[WebhookEvent]:
    return _all(WebhookEvent)


def _runs() -> QuerySet[SyncRun]:
    return _all(SyncRun)


def _all(model: Any) -> QuerySet[Any]:
    return model._default_manager.using(router.db_for_write(model))  # type: ignore[no-any-return]
