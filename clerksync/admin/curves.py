"""The charts of the page "Clerk sync": which series they show, and the same numbers as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from msgspec import Struct

from clerksync.admin import charts, formats
from clerksync.admin.charts import Series
from clerksync.admin.links import Links
from clerksync.models import RejectedDeliveries, WebhookEvent
from clerksync.status import Figures, Slot


class Key(Struct, frozen=True):
    """A series in the legend, with its sum; ``url`` is a list of what it counts."""

    swatch: SafeString
    name: str
    total: str
    url: str = ""


class Chart(Struct, frozen=True):
    """A chart, its legend and its table; ``svg`` is "" if there is nothing to draw."""

    name: str
    title: str
    svg: SafeString | str
    keys: Sequence[Key]
    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


def events_by_hour(figures: Figures, links: Links) -> Chart:
    """Webhook events an hour."""
    return _chart(
        "hours",
        _("Webhook events an hour, last 24 hours"),
        figures.hours,
        _outcomes(figures.hours),
        url=lambda kind: _events(links, kind, received="day"),
    )


def events_by_day(figures: Figures, links: Links) -> Chart:
    """Webhook events a day."""
    return _chart(
        "days",
        _("Webhook events a day, last 30 days"),
        figures.days,
        _outcomes(figures.days),
        url=lambda kind: _events(links, kind),
        by_day=True,
    )


def changes_by_day(figures: Figures) -> Chart:
    """What syncs found changed, by whether a webhook had told it."""
    series = [
        Series("delivered", _("told by a webhook"), [slot.delivered for slot in figures.days]),
        Series("missed", _("told by no webhook"), [slot.missed for slot in figures.days]),
    ]
    return _chart(
        "changes", _("Changes found by syncs a day, last 30 days"), figures.days, series, by_day=True
    )


def requests_by_hour(figures: Figures) -> Chart:
    """What syncs asked of Clerk."""
    answered = [slot.requests - slot.throttled for slot in figures.hours]
    series = [
        Series("requests", _("answered"), answered),
        Series("throttled", _("answered with 429"), [slot.throttled for slot in figures.hours]),
    ]
    return _chart("requests", _("Requests of syncs an hour, last 24 hours"), figures.hours, series)


def _outcomes(slots: Sequence[Slot]) -> list[Series]:
    states = [
        Series(state.value, str(state.label), [slot.events.get(state, 0) for slot in slots])
        for state in WebhookEvent.State
    ]
    return [*states, Series("rejected", _("rejected"), [slot.rejected for slot in slots])]


def _events(links: Links, kind: str, **filters: str) -> str:
    if kind == "rejected":
        return links.of(RejectedDeliveries)
    return links.of(WebhookEvent, state__exact=kind, **filters)


def _chart(
    name: str,
    title: str,
    slots: Sequence[Slot],
    series: Sequence[Series],
    *,
    url: Callable[[str], str] = lambda kind: "",
    by_day: bool = False,
) -> Chart:
    # What never was would be a column of zeros.
    shown = [one for one in series if any(one.values)]
    labels = [_label(slot.begins, by_day=by_day) for slot in slots]
    table = zip(slots, zip(*(one.values for one in shown), strict=True), strict=True) if shown else ()
    return Chart(
        name=name,
        title=title,
        svg=charts.stacked_bars(shown, labels=labels, every=7 if by_day else 6, prefix=name, title=title)
        if shown
        else "",
        keys=[
            Key(
                charts.swatch(one.kind, prefix=name), one.name, formats.number(sum(one.values)), url(one.kind)
            )
            for one in shown
        ],
        head=[one.name for one in shown],
        rows=[
            (_moment(slot.begins, by_day=by_day), [formats.number(value) for value in values])
            for slot, values in reversed(list(table))
        ],
    )


def _label(begins: datetime, *, by_day: bool) -> str:
    return date_format(_local(begins), "j M" if by_day else "H:i")


def _moment(begins: datetime, *, by_day: bool) -> str:
    return date_format(_local(begins), "DATE_FORMAT" if by_day else "DATETIME_FORMAT")


def _local(time: datetime) -> datetime:
    return timezone.localtime(time) if timezone.is_aware(time) else time
