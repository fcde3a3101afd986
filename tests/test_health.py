"""The health URL."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory

from clerksync import jobs, leases, views
from clerksync.models import SyncRun
from clerksync.testing import FakeClerk
from tests.syncing import Syncer, execute, synced

URL = "/clerk/health/"

pytestmark = pytest.mark.django_db


def test_told(client: Client, clerk: FakeClerk) -> None:
    """Times against their limit, runs, scheduled parts, who is at work, what waits."""
    synced(Syncer(clerk), 3)
    jobs.plan()
    with leases.hold("incremental"):
        answer = client.get(URL)
    told = answer.json()
    assert (answer.status_code, told["state"], told["max_staleness"]) == (200, "in_step", 3600)
    assert 0 <= told["updates_age"] < 3600
    assert 0 <= told["deletes_age"] < 3600
    assert (told["runs"]["full"]["state"], told["at_work"]) == ("completed", ["incremental"])
    assert told["jobs"].keys() == {"incremental", "full", "pending", "events", "prune", "audit"}
    assert (told["parked"], told["failed"], told["in_doubt"]) == (0, 0, 0)
    assert "no-store" in answer.headers["Cache-Control"]


def test_staff__see_detail(client: Client, clerk: FakeClerk) -> None:
    """Hosts and the words of errors are told to staff who are signed in, and to nobody else."""
    synced(Syncer(clerk), 3)
    SyncRun.objects.update(state="failed", error="GET /v1/users: no answer from 10.0.0.7")
    user = User.objects.create_user("maren")

    def told() -> str:
        return json.dumps(client.get(URL).json())

    with leases.hold("full") as lease:
        assert "10.0.0.7" not in told()
        client.force_login(user)
        assert "10.0.0.7" not in told()
        User.objects.update(is_staff=True)
        assert "10.0.0.7" in told()
        assert lease.holder in told()
        User.objects.update(is_active=False)
        assert "10.0.0.7" not in told()


@pytest.mark.django_db(transaction=True)
def test_staff__database_away(client: Client) -> None:
    """Who asks is not looked up in a database that cannot be read."""
    client.force_login(User.objects.create_user("maren", is_staff=True))
    execute("ALTER TABLE clerksync_mirrorstate RENAME TO elsewhere")
    execute("ALTER TABLE auth_user RENAME TO elsewhere_too")
    try:
        answer = client.get(URL)
    finally:
        execute("ALTER TABLE elsewhere_too RENAME TO auth_user")
        execute("ALTER TABLE elsewhere RENAME TO clerksync_mirrorstate")
    assert (answer.status_code, answer.json()["reasons"][0]["code"]) == (503, "tables_unreadable")
    assert connection.is_usable()


def test_staff__a_model_without_it() -> None:
    """A user model of the project's may know no staff."""
    request = RequestFactory().get("/")
    request.user = SimpleNamespace(is_active=True)  # type: ignore[assignment]  # not every model's
    assert not views._is_staff(request)
