"""The buttons of the page "Clerk sync": who may press them, and what is said then."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import Struct

from clerksync.attempts import Told
from clerksync.launches import Launch, Where, Work, launch
from clerksync.models import ScheduledJob

Outcome = ScheduledJob.Outcome

#: The page waits so long for what may be done by then, in seconds.
PATIENCE = 2.0

_LEVELS = {
    Outcome.COMPLETED: messages.SUCCESS,
    Outcome.HELD: messages.WARNING,
    Outcome.INTERRUPTED: messages.WARNING,
}


class Button(Struct, frozen=True):
    """One of them: its text, what it does in a line, and the permission that it needs."""

    work: Work
    text: Any
    help: Any
    permission: str


BUTTONS = (
    Button(
        Work.SYNC,
        gettext_lazy("Sync now"),
        gettext_lazy("Read who was changed since the last sync."),
        "clerksync.change_clerkuser",
    ),
    Button(
        Work.FULL,
        gettext_lazy("Full sync now"),
        gettext_lazy("Read everybody, and find out who has left."),
        "clerksync.change_clerkuser",
    ),
    Button(
        Work.AUDIT,
        gettext_lazy("Audit now"),
        gettext_lazy("Compare every user with Clerk; nothing is mended."),
        "clerksync.change_clerkuser",
    ),
    Button(
        Work.REPLAY,
        gettext_lazy("Replay failed events"),
        gettext_lazy("Replay all events that are failed or parked."),
        "clerksync.change_webhookevent",
    ),
)


def buttons_for(request: HttpRequest) -> list[Button]:
    """The buttons that this viewer may press."""
    return [button for button in BUTTONS if request.user.has_perm(button.permission)]


def press(request: HttpRequest, button: Button) -> None:
    """Have the work done, and tell by a message what becomes of it."""
    launched = launch(button.work, patience=PATIENCE)
    level = messages.INFO if launched.told is None else _level(launched.told)
    messages.add_message(request, level, f"{button.text}: {_sentence(launched)}")


def _level(told: Told) -> int:
    return _LEVELS.get(told.outcome, messages.ERROR)


def _sentence(launched: Launch) -> str:
    match launched:
        case Launch(where=Where.SCHEDULER, is_new=False):
            return _("the scheduler is at it already, and does it once more right after that.")
        case Launch(where=Where.SCHEDULER):
            return _("the scheduler begins within a few seconds.")
        case Launch(where=Where.QUEUE):
            return _("it is in the queue of tasks, and begins when a worker takes it.")
        case Launch(is_new=False):
            return _("that is being done already.")
        case Launch(told=Told(Outcome.COMPLETED, message)):
            return _("done (%(what)s).") % {"what": message or _("there was nothing to do")}
        case Launch(told=Told(outcome, message)):
            return f"{outcome.label}: {message}"
        case _:
            return _("it goes on in the background. Load this page again to see how it ends.")
