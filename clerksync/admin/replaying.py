"""The action "Replay": bounded, in the order the events happened, and it says what became of them."""

from __future__ import annotations

from collections import Counter

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from clerksync.models import WebhookEvent
from clerksync.replay import replay, select_events

#: A page of events.
MAX_EVENTS = 100
#: So many events that did not go well are named.
MAX_NAMED = 10

State = WebhookEvent.State


def replay_chosen(request: HttpRequest, chosen: QuerySet[WebhookEvent]) -> None:
    """Replay these events and tell by messages what became of them."""
    ids = list(chosen.values_list("svix_id", flat=True)[: MAX_EVENTS + 1])
    if len(ids) > MAX_EVENTS:
        told = _("Nothing was replayed: at most %(limit)d events at once. For more run: %(command)s")
        messages.error(request, told % {"limit": MAX_EVENTS, "command": "manage.py replay_clerk_events"})
        return
    counts: Counter[str] = Counter()
    named = []
    for event, state, reason in replay(select_events(ids=ids)):
        counts[state] += 1
        if reason:
            named.append(f"{event.type} {event.svix_id}: {_label(state)}, {reason}")
    _tell(request, counts, named)


def _tell(request: HttpRequest, counts: Counter[str], named: list[str]) -> None:
    became = ", ".join(f"{count} {_label(state)}" for state, count in sorted(counts.items()))
    bad = counts[State.PARKED] + counts[State.FAILED]
    replayed = ngettext("%(count)d event was replayed", "%(count)d events were replayed", counts.total())
    messages.add_message(
        request,
        messages.WARNING if bad else messages.SUCCESS,
        f"{replayed % {'count': counts.total()}}: {became}.",
    )
    for line in named[:MAX_NAMED]:
        messages.info(request, line)
    if len(named) > MAX_NAMED:
        messages.info(request, _("And %(count)d more.") % {"count": len(named) - MAX_NAMED})


def _label(state: str) -> str:
    return str(State(state).label)
