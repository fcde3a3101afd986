"""Reads that a worker does, on the immediate backend."""

from __future__ import annotations

import pytest
from django.test import Client, override_settings

from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk
from tests.test_capture import age

pytest.importorskip("clerksync.tasks", reason="neither Django 6.0 nor django-tasks is installed")

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.pages")]


@override_settings(CLERKSYNC_REFRESH="task")
def test_refresh__task(client: Client, clerk: FakeClerk) -> None:
    """A user who is not fresh is read by a worker, who ends the doubt."""
    user = clerk.create_user(first_name="Isla", synced=True)
    clerk.update_user(user["id"], first_name="Marin")
    age(user["id"], 301)
    client.get("/plain/", headers=clerk.bearer(user))
    row = ClerkUser.objects.get()
    assert (row.first_name, row.needs_refresh) == ("Marin", False)
    client.get("/plain/", headers=clerk.bearer(user))
    reads = [request.path for request in clerk.requests if request.path != "/v1/jwks"]
    assert reads == [f"/v1/users/{user['id']}"]
