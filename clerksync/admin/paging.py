"""Pages of a table of any size."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db import connections
from django.db.models import QuerySet, Value

from clerksync.searching import MAX_FOUND


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # cannot be subscripted at run time
    """Counts and pages no further than ``LIMIT`` rows: nobody reads on from there.

    Counting a million rows, or skipping them to show the last page, takes the database seconds.
    """

    LIMIT = MAX_FOUND
    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        """How many rows can be paged through."""
        return min(self._counted, self.LIMIT)

    @property
    def has_more(self) -> bool:
        """Whether there are rows behind the last page."""
        return self._counted > self.LIMIT

    @cached_property
    def _counted(self) -> int:
        # Of constants, so that the database need not leave the index that it filters by.
        return len(self.object_list.order_by().values_list(Value(1))[: self.LIMIT + 1])

    @cached_property
    def estimate(self) -> int | None:
        """About how many rows the whole table has, as PostgreSQL remembers; None if nobody knows."""
        connection = connections[self.object_list.db]
        if connection.vendor != "postgresql" or self.object_list.query.where:
            return None
        table = connection.ops.quote_name(self.object_list.model._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [table])
            estimate: int = cursor.fetchone()[0]
        return estimate if estimate > self.LIMIT else None
