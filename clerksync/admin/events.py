"""The webhook events, and the counts of deliveries that were rejected."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clerksync.admin import formats
from clerksync.admin.columns import HIDDEN, is_masked
from clerksync.admin.readonly import ReadOnlyAdmin
from clerksync.admin.replaying import replay_chosen
from clerksync.models import RejectedDeliveries, WebhookEvent

#: How the states are marked.
KINDS = {"applied": "good", "parked": "bad", "failed": "bad"}
#: So many of the latest events tell which types are offered as filters.
_LATEST = 1_000
#: So many of them are looked through for what no index has: a tenth of a second.
LOOKED_THROUGH = 300_000
#: Why deliveries are rejected, with the usual cause.
REASONS = {
    "signature": gettext_lazy("The secret is not that of the endpoint, or something rewrites the body."),
    "headers": gettext_lazy("Not sent by Clerk, or a proxy drops headers."),
    "timestamp": gettext_lazy("The clock of this machine is wrong, or somebody sends an old delivery again."),
    "too_large": gettext_lazy("Larger than CLERKSYNC_WEBHOOK_MAX_BYTES."),
    "aborted": gettext_lazy("The sender hung up before the body was here."),
    "no_secret": gettext_lazy("CLERK_WEBHOOK_SIGNING_SECRET is not set, or malformed."),
}


class State(admin.ChoicesFieldListFilter):
    """The state; all but one by the index of those that were not simply applied."""

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[WebhookEvent]
    ) -> QuerySet[WebhookEvent] | None:
        """The events in the state, or all."""
        events: QuerySet[WebhookEvent] | None = super().queryset(request, queryset)
        if events is None or not self.lookup_val or WebhookEvent.State.APPLIED in self.lookup_val:
            return events
        # SQLite does not see that this is so already, and would walk over all events to find the few.
        return events.exclude(state=WebhookEvent.State.APPLIED)


class Type(admin.SimpleListFilter):
    """The type, of those that came lately: to find all types there are would read the whole table."""

    title = gettext_lazy("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The types of the latest events, and the chosen one."""
        latest = WebhookEvent.objects.order_by("-received_at").values_list("type", flat=True)[:_LATEST]
        chosen = self.value()
        return [(name, name) for name in sorted({*latest, *([chosen] if chosen else [])})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> QuerySet[WebhookEvent]:
        """The events of the type, or all."""
        return queryset.filter(type=self.value()) if self.value() else queryset


class Received(admin.SimpleListFilter):
    """How long ago an event came."""

    title = gettext_lazy("received")
    parameter_name = "received"
    _hours = {"hour": 1, "day": 24, "week": 168}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Three lengths of time."""
        return [("hour", _("Past hour")), ("day", _("Past 24 hours")), ("week", _("Past 7 days"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> QuerySet[WebhookEvent]:
        """The events of that time, or all."""
        hours = self._hours.get(self.value() or "")
        return (
            queryset.filter(received_at__gte=timezone.now() - timedelta(hours=hours)) if hours else queryset
        )


class EventList(ChangeList):
    """The list of events; what no index has is looked for among the latest, not among millions."""

    note = ""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[WebhookEvent]:
        """The events that fit; of a search, which leaves few, all."""
        events: QuerySet[WebhookEvent] = super().get_queryset(request, *args, **kwargs)
        is_applied = self.params.get("state__exact") == WebhookEvent.State.APPLIED
        if self.query or not (is_applied or self.params.get(Type.parameter_name)):
            return events
        latest = WebhookEvent.objects.order_by("-received_at").values_list("received_at", flat=True)
        since = latest[LOOKED_THROUGH : LOOKED_THROUGH + 1].first()
        if since is None:
            return events
        self.note = _("The latest %(number)d events were looked through. Older ones are found by their ids.")
        self.note %= {"number": LOOKED_THROUGH}
        return events.filter(received_at__gt=since)


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    """Shows events, the latest first; who may change them may replay them."""

    actions = ["replay"]
    filter_names = frozenset({"state__exact", "type", "received"})
    list_display = ["type", "object", "state_mark", "lag", "attempts", "received", "short_reason"]
    list_filter = [("state", State), Type, Received]
    ordering = ["-received_at"]
    sortable_by = ()
    search_fields = ["svix_id", "object_id"]
    search_help_text = gettext_lazy("The whole Svix id, or the whole id of a user or another object.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEvent]:
        """Lists do without the payloads, which are kilobytes each."""
        events: QuerySet[WebhookEvent] = super().get_queryset(request)
        return events.defer("payload_text")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """The list that stays fast."""
        return EventList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WebhookEvent], search_term: str
    ) -> tuple[QuerySet[WebhookEvent], bool]:
        """Search by index: for whole ids."""
        term = search_term.strip()
        return (queryset.filter(Q(svix_id=term) | Q(object_id=term)) if term else queryset), False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is known of an event; the payload is collapsed, and hidden where personal data is masked."""
        payload = "hidden_payload" if is_masked(request) else "payload_block"
        return [
            (None, {"fields": ["type", "object", "state_mark", "reason"]}),
            (gettext_lazy("Times"), {"fields": [
                "occurred_at", "sent_at", "received_at", "finished_at", "lag",
            ]}),
            (gettext_lazy("Delivery"), {"fields": [
                "svix_id", "attempts", "instance_id", "secret", "handled",
            ]}),
            (gettext_lazy("Payload"), {"classes": ["collapse"], "fields": [payload]}),
        ]  # fmt: skip

    @admin.display(description=gettext_lazy("object id"))
    def object(self, event: WebhookEvent) -> str | SafeString:
        """Whom or what it is about."""
        return formats.text(event.object_id)

    @admin.display(description=gettext_lazy("state"))
    def state_mark(self, event: WebhookEvent) -> SafeString:
        """The state."""
        return formats.mark(event.get_state_display(), kind=KINDS.get(event.state, ""))

    @admin.display(description=gettext_lazy("lag"))
    def lag(self, event: WebhookEvent) -> str:
        """How long after it happened the event was finished."""
        if event.occurred_at is None:
            return formats.EMPTY
        return formats.duration(max(event.finished_at - event.occurred_at, timedelta()))

    @admin.display(description=gettext_lazy("received"))
    def received(self, event: WebhookEvent) -> str | SafeString:
        """When it came first."""
        return formats.moment(event.received_at)

    @admin.display(description=gettext_lazy("reason"))
    def short_reason(self, event: WebhookEvent) -> str | SafeString:
        """The beginning of the reason."""
        return formats.text(Truncator(event.reason).chars(120))

    @admin.display(description=gettext_lazy("payload"))
    def payload_block(self, event: WebhookEvent) -> str | SafeString:
        """The event as it was signed, without what is never stored."""
        if event.payload_text is None:
            return formats.mark(_("not kept"))
        return formats.json_text_block(event.payload_text, label=_("payload"))

    @admin.display(description=gettext_lazy("payload"))
    def hidden_payload(self, event: WebhookEvent) -> SafeString:
        """Nothing."""
        return formats.mark(HIDDEN)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered."""
        return request.user.has_perm("clerksync.change_webhookevent")

    @admin.action(permissions=["replay"], description=gettext_lazy("Replay"))
    def replay(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> None:
        """Apply the chosen events again, a page of them at most."""
        replay_chosen(request, queryset)

    # Each event is committed with its effect, even if ATOMIC_REQUESTS is set.
    @method_decorator(transaction.non_atomic_requests)
    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the list and run the action."""
        return super().changelist_view(request, *args, **kwargs)


@admin.register(RejectedDeliveries)
class RejectedDeliveriesAdmin(ReadOnlyAdmin):
    """Shows how many deliveries were not accepted, by hour and reason; nothing else of them is kept."""

    filter_names = frozenset({"reason"})
    list_display = ["told", "last_at", "advice"]
    list_filter = [("reason", admin.AllValuesFieldListFilter)]
    ordering = ["-hour", "reason"]
    sortable_by = ()
    fields = ["told", "hour", "reason", "count", "last_at", "advice"]

    @admin.display(description=gettext_lazy("rejected deliveries"))
    def told(self, counted: RejectedDeliveries) -> str:
        """One sentence."""
        hour = timezone.localtime(counted.hour) if timezone.is_aware(counted.hour) else counted.hour
        since = date_format(hour, "DATETIME_FORMAT")
        told = _("%(count)d rejected since %(since)s: %(reason)s")
        return told % {"count": counted.count, "since": since, "reason": counted.reason}

    @admin.display(description=gettext_lazy("usual cause"))
    def advice(self, counted: RejectedDeliveries) -> Any:
        """What to look at."""
        return REASONS.get(counted.reason, formats.EMPTY)
