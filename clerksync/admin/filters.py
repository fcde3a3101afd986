"""The filters of the list of users; each is served by an index, also among a million users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from clerksync.admin import periods
from clerksync.admin.periods import Period
from clerksync.admin.suspects import find_suspects
from clerksync.models import ClerkUser
from clerksync.searching import among

Users = QuerySet[ClerkUser]


class _YesNo(admin.SimpleListFilter):
    """Users with or without something."""

    yes: Q
    no: Q

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Yes and no."""
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: Users) -> Users:
        """Those who fit, or all."""
        match self.value():
            case "yes":
                return queryset.filter(self.yes)
            case "no":
                return queryset.filter(self.no)
            case _:
                return queryset


class HasEmail(_YesNo):
    """Users with an e-mail address."""

    title = _("having an e-mail address")
    parameter_name = "has_email"
    yes, no = Q(email__isnull=False), Q(email__isnull=True)


class NeedsRefresh(_YesNo):
    """Users in doubt."""

    title = _("need of a refresh")
    parameter_name = "needs_refresh"
    # In a subquery: SQLite would walk over all users in the order of the list to find the few.
    yes, no = Q(pk__in=ClerkUser.objects.needs_refresh().values("pk")), Q(doubt_reason="")


class Placeholder(admin.SimpleListFilter):
    """Users with placeholder data, as far as ``suspects`` finds them."""

    title = _("placeholder data")
    parameter_name = "placeholder"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Found, or everybody: who is not found may still have some."""
        return [("found", _("Found in e-mail addresses and names"))]

    def queryset(self, request: HttpRequest, queryset: Users) -> Users:
        """Those who are found, or all."""
        return among(queryset, find_suspects(queryset.db)) if self.value() == "found" else queryset


class Created(admin.SimpleListFilter):
    """Years, then months, then days.

    Django's own hierarchy truncates the time of every row to find which dates there are, which
    takes seconds among a million rows; the first and the last one come from the index at once.
    So a date may be offered at which nobody was created.
    """

    title = _("created")
    parameter_name = "created"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The chosen period, what it lies in and what lies in it."""
        return [(str(period), period.title) for period in self._offered()]

    def queryset(self, request: HttpRequest, queryset: Users) -> Users:
        """The users of the period, or all."""
        period = periods.parse(self.value())
        if period is None:
            return queryset
        return queryset.filter(created_ms__gte=period.start_ms, created_ms__lt=period.end_ms)

    def _offered(self) -> Iterator[Period]:
        known = ClerkUser.objects.filter(created_ms__isnull=False).values_list("created_ms", flat=True)
        first_ms, last_ms = known.order_by("created_ms").first(), known.order_by("-created_ms").first()
        if first_ms is None or last_ms is None:
            return
        first, last = periods.day_of(first_ms), periods.day_of(last_ms)
        chosen = periods.parse(self.value())
        if chosen is None:
            yield from (Period((year,)) for year in range(last.parts[0], first.parts[0] - 1, -1))
        else:
            yield from chosen.around()
            yield from chosen.within(first, last)


def names_users(params: Mapping[str, str]) -> bool:
    """Whether a filter is on that names the users who fit, few among all."""
    return (
        params.get(NeedsRefresh.parameter_name) == "yes" or params.get(Placeholder.parameter_name) == "found"
    )
