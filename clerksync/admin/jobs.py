"""When the parts of the periodic work run next, and the alarms."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clerksync.admin import formats
from clerksync.admin.readonly import ReadOnlyAdmin
from clerksync.models import Alarm, ScheduledJob

_KINDS = {"completed": "good", "failed": "bad", "refused": "bad", "mismatch": "bad", "died": "bad"}


@admin.register(ScheduledJob)
class ScheduledJobAdmin(ReadOnlyAdmin):
    """Lists the parts."""

    list_display = ["part", "next_at", "outcome_mark", "finished_at", "failures", "short_message", "seen_at"]
    ordering = ["part"]
    sortable_by = ()
    fieldsets = [
        (None, {"fields": ["part", "schedule", "next_at", "seen_at"]}),
        (
            gettext_lazy("Last run"),
            {"fields": ["outcome_mark", "message", "started_at", "finished_at", "holder", "expires_at"]},
        ),
        (gettext_lazy("Failures"), {"fields": ["failures", "failing_since"]}),
    ]

    @admin.display(description=gettext_lazy("last run"))
    def outcome_mark(self, job: ScheduledJob) -> str | SafeString:
        """How the last run ended."""
        if not job.outcome:
            return formats.EMPTY
        return formats.mark(job.get_outcome_display(), kind=_KINDS.get(job.outcome, ""))

    @admin.display(description=gettext_lazy("message"))
    def short_message(self, job: ScheduledJob) -> str | SafeString:
        """The beginning of what it said."""
        return formats.text(Truncator(job.message).chars(120))


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    """Lists the alarms, those that are on first."""

    list_display = ["code", "state_mark", "since", "resolved_at", "notified_at", "text"]
    ordering = ["-last_seen", "code"]
    sortable_by = ()
    fieldsets = [
        (None, {"fields": ["code", "state_mark", "text"]}),
        (
            gettext_lazy("Times"),
            {"fields": ["since", "last_seen", "resolved_at", "announced_at", "notified_at"]},
        ),
    ]

    @admin.display(description=gettext_lazy("state"))
    def state_mark(self, alarm: Alarm) -> SafeString:
        """Whether it is over."""
        if alarm.resolved_at is None:
            return formats.mark(_("on"), kind="bad")
        return formats.mark(_("over"), kind="good")
