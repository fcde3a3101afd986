"""Users as CSV or JSON lines: those whom the list's filters and search leave, however many there are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_GET

from clerksync.admin.columns import is_masked
from clerksync.admin.readonly import ReadOnlyAdmin
from clerksync.fields import UserFields
from clerksync.masking import PERSONAL, mask
from clerksync.spreadsheets import csv_cell

#: Rows that are in memory at a time.
CHUNK = 500

_COLUMNS = ("clerk_id", "state", *UserFields.__struct_fields__, "deleted_at", "first_seen", "last_written")
_METADATA = frozenset({"public_metadata", "private_metadata", "unsafe_metadata"})

Rows = Iterable[Sequence[Any]]


class ExportingAdmin(ReadOnlyAdmin):
    """Adds the two addresses to the admin of users; ``clerksync.export_clerkuser`` is needed."""

    def get_urls(self) -> list[URLPattern]:
        """The addresses, with those of the exports."""
        own = [
            path(
                f"export/{kind}/", self.admin_site.admin_view(view), name=f"clerksync_clerkuser_export_{kind}"
            )
            for kind, view in (("csv", self.export_csv), ("jsonl", self.export_jsonl))
        ]
        return [*own, *super().get_urls()]

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Whether the viewer may take users away."""
        return request.user.has_perm("clerksync.export_clerkuser") and self.has_view_permission(request)

    # No transaction is held open while somebody downloads, even if ATOMIC_REQUESTS is set.
    @method_decorator([transaction.non_atomic_requests, require_GET])
    def export_csv(self, request: HttpRequest) -> StreamingHttpResponse:
        """The users as CSV, with a heading."""
        return self._export(request, write_csv, kind="csv", content_type="text/csv; charset=utf-8")

    @method_decorator([transaction.non_atomic_requests, require_GET])
    def export_jsonl(self, request: HttpRequest) -> StreamingHttpResponse:
        """The users as JSON, one a line."""
        return self._export(
            request, write_jsonl, kind="jsonl", content_type="application/jsonl; charset=utf-8"
        )

    def _export(
        self,
        request: HttpRequest,
        write: Callable[[Sequence[str], Rows], Iterator[str]],
        *,
        kind: str,
        content_type: str,
    ) -> StreamingHttpResponse:
        if not self.has_export_permission(request):
            raise PermissionDenied
        columns = columns_of(request)
        try:
            users: QuerySet[Any] = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters as error:
            raise BadRequest("a filter of the list has no such value") from error
        rows = users.values_list(*columns).iterator(chunk_size=CHUNK)
        masked = is_masked(request)
        lines = write(columns, (_masked(columns, row) for row in rows) if masked else rows)
        name = f"clerk-users-{timezone.now():%Y%m%dT%H%M%S}.{kind}"
        return StreamingHttpResponse(
            _for_server(request, lines),
            content_type=content_type,
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "X-Content-Type-Options": "nosniff",
            },
        )


def columns_of(request: HttpRequest) -> tuple[str, ...]:
    """What the viewer gets: private metadata by its own permission, and none at all while masked."""
    hidden: frozenset[str] | set[str] = set()
    if is_masked(request):
        hidden = _METADATA
    elif not request.user.has_perm("clerksync.view_private_metadata"):
        hidden = {"private_metadata"}
    return tuple(name for name in _COLUMNS if name not in hidden)


def write_csv(columns: Sequence[str], rows: Rows) -> Iterator[str]:
    """CSV in pieces of some rows; no cell is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for number, row in enumerate(rows, start=1):
        writer.writerow([_cell(value) for value in row])
        if number % CHUNK == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def write_jsonl(columns: Sequence[str], rows: Rows) -> Iterator[str]:
    """JSON, one object a line."""
    for row in rows:
        yield json.dumps(dict(zip(columns, row, strict=True)), cls=DjangoJSONEncoder) + "\n"


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return csv_cell(value)
        case dict() | list():
            return csv_cell(json.dumps(value, ensure_ascii=False))
        case _:
            return str(value.isoformat())


def _masked(columns: Sequence[str], row: Sequence[Any]) -> list[Any]:
    return [
        mask(value) if name in PERSONAL and value else value for name, value in zip(columns, row, strict=True)
    ]


def _for_server(request: HttpRequest, lines: Iterator[str]) -> Iterator[str] | AsyncIterator[str]:
    """Under ASGI Django would collect the lines of an ordinary iterator before it sends the first."""
    return _async_lines(lines) if isinstance(request, ASGIRequest) else lines


async def _async_lines(lines: Iterator[str]) -> AsyncIterator[str]:
    take = sync_to_async(lambda: next(lines, None))
    while (line := await take()) is not None:
        yield line
