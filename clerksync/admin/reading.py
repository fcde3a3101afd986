"""The action "Read again from Clerk": through the writer, bounded, and it says what changed."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from clerksync import refresh
from clerksync.admin.columns import label
from clerksync.client import ClerkClient
from clerksync.exceptions import ClerkSyncError
from clerksync.fields import UserFields
from clerksync.models import ClerkUser
from clerksync.records import Outcome
from clerksync.tally import Report

#: A page of users, and what Clerk gives in two answers.
MAX_USERS = 100
#: So many users are named with what changed.
MAX_NAMED = 10

_WORDS = {
    Outcome.CREATED: gettext_lazy("created"),
    Outcome.UPDATED: gettext_lazy("updated"),
    Outcome.TOUCHED: gettext_lazy("updated in the times of sign-in and activity only"),
    Outcome.UNCHANGED: gettext_lazy("unchanged"),
    Outcome.LATE: gettext_lazy("left alone, for Clerk showed something older"),
    Outcome.DELETED: gettext_lazy("deleted"),
    Outcome.REVIVED: gettext_lazy("back after a delete"),
    Outcome.CORRECTED: gettext_lazy("corrected"),
    Outcome.DOUBTED: gettext_lazy("in doubt"),
}
_COLUMNS = (*UserFields.__struct_fields__, "state")


def read_again(request: HttpRequest, ids: Sequence[str]) -> None:
    """Read these users from Clerk and tell by messages what changed."""
    before = _rows(ids)
    try:
        with ClerkClient(purpose="web") as client:
            report = refresh.sync_users(client, ids)
    except (ClerkSyncError, ImproperlyConfigured) as error:
        messages.error(request, _("Nothing was read: %(error)s") % {"error": error})
        return
    messages.add_message(request, _level(report), _sum(report))
    _tell_changes(request, before, _rows(ids))
    _tell_problems(request, report)


def _rows(ids: Sequence[str]) -> dict[str, ClerkUser]:
    return ClerkUser.objects.defer("payload_text").in_bulk(ids)


def _level(report: Report) -> int:
    return messages.SUCCESS if report.exit_status == 0 else messages.WARNING


def _sum(report: Report) -> str:
    seen = report.counts.get("seen", 0)
    outcomes = [
        f"{report.counts[outcome.value]} {word}"
        for outcome, word in _WORDS.items()
        if report.counts.get(outcome.value)
    ]
    read = ngettext("%(seen)d user was read again", "%(seen)d users were read again", seen) % {"seen": seen}
    return f"{read}: {', '.join(outcomes)}." if outcomes else f"{read}."


def _tell_changes(request: HttpRequest, before: dict[str, ClerkUser], after: dict[str, ClerkUser]) -> None:
    """Name the columns that changed, for the first users who did."""
    changed = {
        clerk_id: _changes(before[clerk_id], user) for clerk_id, user in after.items() if clerk_id in before
    }
    named = [(clerk_id, names) for clerk_id, names in changed.items() if names]
    for clerk_id, names in named[:MAX_NAMED]:
        columns = get_text_list(names, _("and"))
        messages.info(
            request, _("Changed in %(user)s: %(columns)s.") % {"user": clerk_id, "columns": columns}
        )
    if len(named) > MAX_NAMED:
        messages.info(request, _("And %(count)d more changed.") % {"count": len(named) - MAX_NAMED})


def _changes(before: ClerkUser, after: ClerkUser) -> list[str]:
    return [str(label(name)) for name in _COLUMNS if getattr(before, name) != getattr(after, name)]


def _tell_problems(request: HttpRequest, report: Report) -> None:
    """Tell what is not in the table."""
    for clerk_id, why in list(report.skipped.items())[:MAX_NAMED]:
        messages.warning(request, _("Not read: %(user)s (%(why)s).") % {"user": clerk_id, "why": why})
    if report.in_doubt:
        told = ngettext(
            "%(count)d user is in doubt and will be read again by the next sync.",
            "%(count)d users are in doubt and will be read again by the next sync.",
            report.in_doubt,
        )
        messages.warning(request, told % {"count": report.in_doubt})
    if report.error is not None:
        messages.error(request, _("Not all was done: %(error)s") % {"error": report.error})
