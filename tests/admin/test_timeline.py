"""The change history on a user's page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from clerksync import mirror
from tests.admin.staff import html, log_in, page_of
from tests.observed import seen

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def changed(settings: Any) -> None:
    """A user with a history."""
    settings.CLERKSYNC_HISTORY = True
    mirror.apply([seen(1, 1)])
    mirror.apply([seen(2, 2, first_name="<b>Bea</b>", public_metadata={"note": "hush"})])


def test_timeline__old_and_new(admin_client: Client) -> None:
    """Names of columns with both values, escaped."""
    page = html(admin_client, page_of("user_a"))
    assert "Change history" in page
    assert "<del><bdi>Ada</bdi></del>" in page
    assert "<ins><bdi>&lt;b&gt;Bea&lt;/b&gt;</bdi></ins>" in page


def test_timeline__off(admin_client: Client, settings: Any) -> None:
    """Without the setting there is none."""
    settings.CLERKSYNC_HISTORY = False
    assert "Change history" not in html(admin_client, page_of("user_a"))


def test_timeline__masked(settings: Any) -> None:
    """Who may only look sees no more of it than of the rest."""
    settings.CLERKSYNC_ADMIN_MASK = True
    page = html(log_in("view_clerkuser"), page_of("user_a"))
    assert "<del><bdi>A***</bdi></del>" in page
    assert "Bea" not in page
    assert "hush" not in page
