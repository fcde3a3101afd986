"""Pages that show rows and change none: only the writer writes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from clerksync.admin.paging import BoundedPaginator


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # cannot be subscripted at run time
    """Nobody adds, changes or deletes; lists stay fast however many rows there are.

    ``filter_names`` are all lookups that the address may hold. Django allows every lookup on every
    column, so that whoever may see a list could guess what is masked in it, letter by letter, and
    make the database search columns that no index serves.
    """

    filter_names: frozenset[str] = frozenset()
    list_per_page = 100
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count the table once for each choice
    change_list_template = "clerksync/admin/change_list.html"

    class Media:
        css = {"all": ["clerksync/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse; Django's permission to change decides about the actions."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow the filters alone."""
        return lookup in self.filter_names
