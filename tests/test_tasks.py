"""The parts as Django tasks: on the immediate backend, in the database, and on Redis."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core import mail
from django.test import Client, override_settings

from clerksync import leases
from clerksync.models import Alarm, ClerkUser, SyncRun, WebhookEvent
from clerksync.testing import FakeClerk
from project.defaults import BASE_DIR
from tests import processes
from tests.syncing import Syncer, differences, synced
from tests.test_alarms import ADMINS
from tests.test_capture import age
from tests.test_status import event

tasks = pytest.importorskip("clerksync.tasks", reason="neither Django 6.0 nor django-tasks is installed")

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.pages")]

PARTS = ("sync_full", "sync_incremental", "drain_pending", "retry_events", "prune_events", "audit_users")


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


@override_settings(CLERKSYNC_REFRESH="task")
def test_refresh__queue_down(
    client: Client, clerk: FakeClerk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A queue that is down costs no page: the user is left to the next sync."""

    class Down:
        def enqueue(self, clerk_id: str) -> None:
            raise ConnectionError(f"no queue for {clerk_id}")

    monkeypatch.setattr(tasks, "read_user", Down())
    user = clerk.create_user(first_name="Isla", synced=True)
    age(user["id"], 301)
    assert client.get("/plain/", headers=clerk.bearer(user)).status_code == 200
    assert ClerkUser.objects.get().needs_refresh
    assert "not put into the queue, the next sync does it (ConnectionError)" in caplog.text


def status(result: Any) -> str:
    name: str = result.status.name
    return name


def test_parts__immediate(clerk: FakeClerk) -> None:
    """Each part is done, and its counts are the result."""
    clerk.create_users(3)
    results = {name: getattr(tasks, name).enqueue() for name in PARTS}
    assert {status(result) for result in results.values()} == {"SUCCESSFUL"}
    assert results["sync_full"].return_value["created"] == 3
    assert results["sync_incremental"].return_value["requests"] <= 2
    assert results["audit_users"].return_value == {"seen": 3}
    assert results["prune_events"].return_value == {
        "events": 0,
        "runs": 0,
        "changes": 0,
        "anonymized": 0,
        "removed": 0,
    }
    assert differences(clerk) == {}
    assert set(SyncRun.objects.values_list("kind", flat=True)) == {"full", "incremental", "audit"}


def test_failure__is_failed(clerk: FakeClerk) -> None:
    """A part that could not do its work is a failed task with the error."""
    clerk.secret_key = "sk_test_another"
    result = tasks.sync_full.enqueue()
    assert status(result) == "FAILED"
    assert result.errors[0].exception_class_path == "clerksync.exceptions.KeyRejected"
    with override_settings(CLERK_SECRET_KEY=""):
        assert status(tasks.sync_incremental.enqueue()) == "FAILED"


def test_parts__look_for_alarms(clerk: FakeClerk, settings: Any) -> None:
    """After a part somebody looks for alarms, whether it could do its work or not."""
    settings.ADMINS = ADMINS
    synced(Syncer(clerk), 2)
    event(1, state="parked")
    assert status(tasks.prune_events.enqueue()) == "SUCCESSFUL"
    assert Alarm.objects.get().code == "events_parked"
    assert len(mail.outbox) == 1
    Alarm.objects.all().delete()
    clerk.secret_key = "sk_test_another"
    assert status(tasks.sync_full.enqueue()) == "FAILED"
    assert Alarm.objects.filter(code="events_parked").exists()


def test_held__is_done(clerk: FakeClerk) -> None:
    """Where another sync is at work the task says so, and nothing is failed."""
    with leases.hold("full"):
        result = tasks.sync_full.enqueue()
    assert (status(result), result.return_value) == ("SUCCESSFUL", {"another_at_work": 1})


def work(backend: str, *names: str, **environment: str) -> dict[str, list[Any]]:
    """Have a worker in another process do the tasks; what became of each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.task_worker", *names],
        cwd=BASE_DIR,
        env=processes.environment(
            DJANGO_SETTINGS_MODULE="tests.task_settings",
            TASKS_BACKEND=backend,
            TASKS_CLERK=" ".join(
                getattr(django_settings, name) for name in ("CLERK_API_URL", "CLERK_SECRET_KEY")
            ),
            **environment,
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def check_work(clerk: FakeClerk, backend: str, **environment: str) -> None:
    """All parts are done by a worker, and what fails is failed."""
    clerk.create_users(3)
    found = work(backend, *PARTS, **environment)
    assert {name: (before, after) for name, (before, after, _, _) in found.items()} == dict.fromkeys(
        PARTS, ("READY", "SUCCESSFUL")
    )
    assert found["sync_full"][2]["created"] == 3
    assert (differences(clerk), WebhookEvent.objects.count()) == ({}, 0)
    clerk.secret_key = "sk_test_another"
    [[before, after, _, error]] = work(backend, "sync_full", **environment).values()
    assert (before, after, error) == ("READY", "FAILED", "clerksync.exceptions.KeyRejected")


def test_parts__in_the_database(clerk: FakeClerk) -> None:
    """A worker takes them from the database."""
    pytest.importorskip("django_tasks_db", reason="django-tasks-db is not installed")
    check_work(clerk, "django_tasks_db.DatabaseBackend")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis server of our own."""
    pytest.importorskip("django_tasks_rq", reason="django-tasks-rq is not installed")
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server on this machine")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def _wait(port: int) -> None:
    for _ in range(200):
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise AssertionError("Redis does not listen")


def test_parts__on_redis(clerk: FakeClerk, redis: str) -> None:
    """A worker takes them from Redis."""
    check_work(clerk, "django_tasks_rq.RQBackend", TASKS_REDIS=redis)
