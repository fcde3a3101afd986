"""Pages of large tables."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from clerksync.admin.paging import BoundedPaginator
from clerksync.models import ClerkUser
from tests.admin.staff import LIST, add_user, html

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[299, 300, 350])
def total(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many users are in the table, of whom 300 can be paged through; PostgreSQL knows about how many."""
    monkeypatch.setattr(BoundedPaginator, "LIMIT", 300)
    now = add_user("user_0").first_seen
    number: int = request.param
    ClerkUser.objects.bulk_create(
        ClerkUser(clerk_id=f"user_{n}", created_ms=n, first_seen=now, last_written=now)
        for n in range(1, number)
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE clerksync_clerkuser")
    return number


def test_count__bounded(total: int) -> None:
    """No more rows are counted than can be paged through."""
    paginator = BoundedPaginator(ClerkUser.objects.order_by("pk"), 100)
    with CaptureQueriesContext(connection) as queries:
        assert (paginator.count, paginator.num_pages) == (min(total, 300), 3)
        assert paginator.has_more == (total > 300)
    assert [" LIMIT 301" in query["sql"] for query in queries] == [True]
    assert len(paginator.page(3)) == min(total - 200, 100)


def test_estimate__unfiltered(total: int) -> None:
    """PostgreSQL's own estimate is told for the whole table, and for no part of it."""
    everyone = BoundedPaginator(ClerkUser.objects.order_by("pk"), 100)
    known = connection.vendor == "postgresql" and total > 300
    assert everyone.estimate == (total if known else None)
    assert BoundedPaginator(ClerkUser.objects.filter(banned=False).order_by("pk"), 100).estimate is None


def test_page__says_that_there_are_more(total: int, admin_client: Client) -> None:
    """The list says where it ends and what to do about it."""
    page = html(admin_client, LIST)
    assert ("These are the first 300; there are more." in page) == (total > 300)
    known = connection.vendor == "postgresql" and total > 300
    assert (f"In all there are about {total}." in page) == known
    assert admin_client.get(f"{LIST}?p=4").status_code == 302
