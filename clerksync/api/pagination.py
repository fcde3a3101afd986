"""Pages of all users, however many: each begins where the one before it ended, and costs the same."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from clerksync.models import ClerkUser

Users = QuerySet[ClerkUser]

_CURSOR = "cursor"
_CLERK_ID = re.compile(r"[\w-]{1,255}", re.ASCII)
_MAX_MS = 2**62
_LINK = {"type": "string", "format": "uri", "nullable": True}


class Order(NamedTuple):
    """An order of the list: by the time of creation, and by the Clerk id where that is the same; or by that alone."""

    by_time: bool
    descending: bool

    @classmethod
    def of(cls, name: str) -> Order:
        """The order of this name, as ``UsersQuery`` lists them."""
        return cls(by_time=name.endswith("created_at"), descending=name.startswith("-"))


class Position(NamedTuple):
    """A user at the edge of a page, and on which side of it the wanted page lies."""

    clerk_id: str
    created_ms: int | None
    backwards: bool


class UserPagination(BasePagination):
    """Pages by cursor; DRF's own cannot order by a column that may be NULL."""

    page_size = 50
    template = "rest_framework/pagination/previous_and_next.html"

    def paginate_queryset(self, queryset: Users, request: Any, view: Any = None) -> list[ClerkUser]:
        """Return one page.

        Raises:
            ValidationError: The cursor is not one of ours, or of another order.
        """
        asked = view.asked
        self.url = request.build_absolute_uri()
        self.order_name = asked.get("ordering", "-created_at")
        position = self._decode(asked[_CURSOR]) if _CURSOR in asked else None
        size = asked.get("page_size", self.page_size)
        parts = _parts(queryset, Order.of(self.order_name), position)
        rows = _first(parts, size + 1)
        backwards = position is not None and position.backwards
        self.page = rows[:size]
        if backwards:
            self.page.reverse()
        more = len(rows) > size
        self.has_next = bool(self.page) and (backwards or more)
        self.has_previous = bool(self.page) and (more if backwards else position is not None)
        return self.page

    def get_next_link(self) -> str | None:
        """Return the address of the next page."""
        return self._link(self.page[-1], backwards=False) if self.has_next else None

    def get_previous_link(self) -> str | None:
        """Return the address of the page before."""
        return self._link(self.page[0], backwards=True) if self.has_previous else None

    def get_paginated_response(self, data: Any) -> Any:
        """Return the page between its links."""
        return Response({"next": self.get_next_link(), "previous": self.get_previous_link(), "results": data})

    def get_paginated_response_schema(self, schema: Any) -> dict[str, Any]:
        """Describe that."""
        properties = {"next": _LINK, "previous": _LINK, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}

    def to_html(self) -> str:
        """Return the links of the browsable API."""
        links = {"next_url": self.get_next_link(), "previous_url": self.get_previous_link()}
        return render_to_string(self.template, links)

    def _link(self, user: ClerkUser, *, backwards: bool) -> str:
        said = [self.order_name, user.pk, user.created_ms, backwards]
        cursor = base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).rstrip(b"=")
        link: str = replace_query_param(self.url, _CURSOR, cursor.decode())
        return link

    def _decode(self, cursor: str) -> Position:
        try:
            text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            match json.loads(text):
                case [str(order), str(clerk_id), (int() | None) as created_ms, bool(backwards)] if (
                    order == self.order_name
                    and _CLERK_ID.fullmatch(clerk_id)
                    and abs(created_ms or 0) < _MAX_MS
                ):
                    return Position(clerk_id, created_ms, backwards)
        except (binascii.Error, ValueError, RecursionError):
            pass
        raise ValidationError(
            {_CURSOR: [_("This is no cursor of this list in this order: begin without one.")]}
        )


def _parts(users: Users, order: Order, position: Position | None) -> Iterator[Users]:
    """What to read from the position on, in this order; each part is a walk along one index."""
    backwards = position is not None and position.backwards
    descending = order.descending != backwards
    step, sign = ("lt", "-") if descending else ("gt", "")
    by_id = users.order_by(f"{sign}pk")
    if not order.by_time:
        yield by_id.filter(**{f"pk__{step}": position.clerk_id}) if position else by_id
        return
    known = users.filter(created_ms__isnull=False).order_by(f"{sign}created_ms", f"{sign}pk")
    # Apart and last: the databases disagree on where NULL belongs, and no index serves another place.
    unknown = by_id.filter(created_ms__isnull=True)
    if position is None:
        yield from (known, unknown)
    elif position.created_ms is None:
        yield unknown.filter(**{f"pk__{step}": position.clerk_id})
        if backwards:
            yield known
    else:
        at_or_beyond = known.filter(**{f"created_ms__{step}e": position.created_ms})
        beyond = Q(**{f"created_ms__{step}": position.created_ms})
        same_time = Q(**{"created_ms": position.created_ms, f"pk__{step}": position.clerk_id})
        yield at_or_beyond.filter(beyond | same_time)
        if not backwards:
            yield unknown


def _first(parts: Iterator[Users], count: int) -> list[ClerkUser]:
    rows: list[ClerkUser] = []
    for part in parts:
        rows.extend(chain(part[: count - len(rows)]))
        if len(rows) >= count:
            break
    return rows
