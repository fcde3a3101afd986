"""Reads what ``users/`` was asked, and narrows the users by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.settings import api_settings

from clerksync import searching
from clerksync.fields import EPOCH
from clerksync.models import ClerkUser
from clerksync.times import aware

Users = QuerySet[ClerkUser]

#: So many users are few, in the order of ids: to read the ids of more takes a third of a second.
MANY = 100_000
_MS = timedelta(milliseconds=1)


def read_query(serializer_class: Any, params: Mapping[str, str]) -> dict[str, Any]:
    """What was asked, by name; what was not is left out.

    Raises:
        ValidationError: There is no such parameter, or no such value.
    """
    serializer = serializer_class(data=dict(params.items()))
    known = {*serializer.fields, api_settings.URL_FORMAT_OVERRIDE, api_settings.VERSION_PARAM}
    if unknown := sorted(set(params) - known):
        told = ", ".join(serializer.fields)
        raise ValidationError(
            {name: [_("There is no such parameter; there are: %s.") % told] for name in unknown}
        )
    serializer.is_valid(raise_exception=True)
    asked: dict[str, Any] = serializer.validated_data
    return asked


def narrow(users: Users, asked: Mapping[str, Any]) -> Users:
    """Those who fit.

    Raises:
        ValidationError: The search fits more users than can be listed.
    """
    for name, condition in _CONDITIONS.items():
        if name in asked:
            users = users.filter(condition(asked[name]))
    if "state" not in asked:
        users = users.exclude(state=ClerkUser.State.DELETED)
    if "search" in asked:
        return _search(users, asked["search"])
    is_by_id = asked.get("ordering", "").endswith("clerk_id")
    # PostgreSQL knows how many fit, but not that ids ascend with time.
    unforeseen = _CONDITIONS.keys() if connections[users.db].vendor == "sqlite" else _TIMES
    return _by_their_ids(users) if is_by_id and asked.keys() & unforeseen else users


def _by_their_ids(users: Users) -> Users:
    """The same, so that no database walks over all users in the order of ids to find the few."""
    # In this order by the index that has what users are narrowed by.
    ids = list(users.order_by("created_ms").values_list("pk", flat=True)[: MANY + 1])
    return searching.among(users, ids) if len(ids) <= MANY else users


def _search(users: Users, term: str) -> Users:
    found = searching.find(ClerkUser.objects.using(users.db), term)
    if len(found) > searching.MAX_FOUND:
        raise ValidationError(
            {"search": [_("More than %d users fit: search for more of it.") % searching.MAX_FOUND]}
        )
    return searching.among(users, found)


def _is_spelt(name: str) -> Callable[[str], Q]:
    return lambda text: Q(**{f"{name}__in": {text, text.lower()}})


def _is(name: str) -> Callable[[Any], Q]:
    return lambda value: Q(**{name: value})


def _in_ms(moment: datetime) -> int:
    return (aware(moment) - EPOCH) // _MS


_IN_DOUBT = ~Q(doubt_reason="")

_TIMES = frozenset({"created_after", "created_before"})
_CONDITIONS: Mapping[str, Callable[[Any], Q]] = {
    "state": lambda state: Q() if state == "all" else Q(state=state),
    "email": _is_spelt("email"),
    "username": _is_spelt("username"),
    "external_id": _is("external_id"),
    "banned": _is("banned"),
    "email_verified": _is("email_verified"),
    # In a subquery: SQLite would walk over all users in the order of the list to find the few.
    "needs_refresh": lambda wanted: (
        Q(pk__in=ClerkUser.objects.needs_refresh().values("pk")) if wanted else ~_IN_DOUBT
    ),
    "created_after": lambda moment: Q(created_ms__gte=_in_ms(moment)),
    "created_before": lambda moment: Q(created_ms__lt=_in_ms(moment)),
}
