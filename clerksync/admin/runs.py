"""The runs of the syncs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clerksync import leases, status
from clerksync.admin import formats
from clerksync.admin.readonly import ReadOnlyAdmin
from clerksync.models import SyncRun
from clerksync.records import Outcome
from clerksync.status import State, Status

#: The counts that are shown even if they are 0, and then the others.
_ALWAYS = ("seen", Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED, Outcome.DELETED)
_STATES = {State.IN_STEP: "good", State.BEHIND: "", State.BROKEN: "bad"}
_KINDS = {"completed": "good", "failed": "bad", "refused": "bad", "interrupted": "bad"}


def standing(found: Status) -> SafeString:
    """How the mirror stands, in one line."""
    return format_html("{} {}", formats.mark(found.state.label, kind=_STATES[found.state]), found.sentence)


def outcome(run: SyncRun) -> SafeString:
    """How a run stands or ended, of those that ``leases.with_deaths`` has looked at."""
    if getattr(run, "is_dead", False):
        return formats.mark(_("ended without a word"), kind="bad")
    return formats.mark(run.get_state_display(), kind=_KINDS.get(run.state, ""))


def lasted(run: SyncRun) -> str:
    """How long a run took; up to now while it runs."""
    running = run.state == SyncRun.State.RUNNING and not getattr(run, "is_dead", False)
    ended = timezone.now() if running else run.finished_at or run.progressed_at
    return formats.duration(max(ended - run.started_at, timedelta()))


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    """Lists the runs, the newest first."""

    filter_names = frozenset({"state__exact", "kind__exact"})
    list_display = ["started_at", "kind", "state_mark", "short_counts", "duration", "short_error"]
    list_filter = ["state", "kind"]
    ordering = ["-pk"]
    sortable_by = ()
    fieldsets = [
        (None, {"fields": ["kind", "state_mark", "instance_id", "error"]}),
        (gettext_lazy("Times"), {"fields": ["started_at", "progressed_at", "finished_at", "duration"]}),
        (gettext_lazy("Counts"), {"fields": ["all_counts", "api_calls", "throttled", "skipped_users"]}),
        (
            gettext_lazy("Options and checkpoint"),
            {"fields": ["shown_options", "shown_checkpoint"], "classes": ["collapse"]},
        ),
    ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Say above the list how the mirror stands."""
        context = {"standing": standing(status.read()), **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncRun]:
        """Tell those whose process has died."""
        return leases.with_deaths(super().get_queryset(request))

    @admin.display(description=gettext_lazy("state"))
    def state_mark(self, run: SyncRun) -> SafeString:
        """The state."""
        return outcome(run)

    @admin.display(description=gettext_lazy("counts"))
    def short_counts(self, run: SyncRun) -> SafeString:
        """The counts that are not 0, and how many were seen."""
        return _counts({name: count for name, count in run.counts.items() if count or name == "seen"})

    @admin.display(description=gettext_lazy("counts"))
    def all_counts(self, run: SyncRun) -> SafeString:
        """All counts."""
        return _counts(dict.fromkeys(_ALWAYS, 0) | run.counts)

    @admin.display(description=gettext_lazy("duration"))
    def duration(self, run: SyncRun) -> str:
        """How long it took; up to now while it runs."""
        return lasted(run)

    @admin.display(description=gettext_lazy("error"))
    def short_error(self, run: SyncRun) -> str | SafeString:
        """The beginning of the error."""
        return formats.text(Truncator(run.error).chars(120))

    @admin.display(description=gettext_lazy("skipped users"))
    def skipped_users(self, run: SyncRun) -> str | SafeString:
        """Who could not be read, and why."""
        if not run.skipped:
            return formats.EMPTY
        items = format_html_join("", "<dt>{}</dt><dd>{}</dd>", _texts(run.skipped))
        return format_html("<dl>{}</dl>", items)

    @admin.display(description=gettext_lazy("options"))
    def shown_options(self, run: SyncRun) -> SafeString:
        """What was asked for."""
        return formats.json_block(run.options, label=_("options"))

    @admin.display(description=gettext_lazy("checkpoint"))
    def shown_checkpoint(self, run: SyncRun) -> SafeString:
        """Where it stood."""
        return formats.json_block(run.checkpoint, label=_("checkpoint"))


def _texts(values: dict[str, str]) -> list[tuple[Any, Any]]:
    return [(formats.text(clerk_id), formats.text(why)) for clerk_id, why in values.items()]


def _counts(counts: dict[str, int]) -> SafeString:
    """Counts with their names, those that are always there first."""
    names = sorted(counts, key=lambda name: (name not in _ALWAYS, name != "seen", name))
    items = ((name.replace("_", " "), counts[name]) for name in names)
    return format_html_join(" ", '<span class="clerksync-count">{} <b>{}</b></span>', items)
