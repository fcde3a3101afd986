"""I5: what was answered 2xx is kept, and what was cut is completed by the next delivery."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from django.db import connections

from clerksync.models import ClerkUser, WebhookEvent
from tests import processes
from tests.deliveries import USER, WEBHOOK_SECRET, changed, now_ms, post, signed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _endpoint(settings: Any) -> None:
    settings.ROOT_URLCONF = "project.urls"
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals, which Windows lacks")
def test_kill__between_every_two_steps() -> None:
    """SIGKILL before each statement and in the handler: after the redelivery all users and events are there."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_webhook"],
        env=processes.environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found = json.loads(done.stdout)
    killed = [one["step"] for one in found if one["killed"]]
    assert killed[:3] == [0, 1, 2]
    assert killed[-1] == "handler"
    assert all(one["redelivered"] for one in found)
    assert ClerkUser.objects.filter(first_name="Kept", state="active").count() == len(found)
    assert WebhookEvent.objects.filter(state="applied", handled=True).count() == len(found)


def test_race__the_same_message_twice_at_once() -> None:
    """Eight threads deliver one message: applied once, seven duplicates, one row each."""
    delivery = signed(changed(now_ms()), svix_id="msg_race")
    answers: list[str] = []
    barrier = threading.Barrier(8)

    def deliver() -> None:
        barrier.wait()
        response = post(delivery)
        answers.append(
            response.json()["status"] if response.status_code == 200 else str(response.status_code)
        )
        connections.close_all()

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["applied"] + ["duplicate"] * 7
    assert WebhookEvent.objects.get().attempts == 8
    assert ClerkUser.objects.get().revision == 1


def test_race__events_of_one_user_at_once() -> None:
    """Whatever order the threads get, the newest version stays."""
    at = now_ms()
    deliveries = [signed(changed(at + number, first_name=f"Name {number}")) for number in range(12)]

    def deliver(one: Any) -> None:
        assert post(one).status_code == 200
        connections.close_all()

    threads = [threading.Thread(target=deliver, args=(one,)) for one in reversed(deliveries)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ClerkUser.objects.get(pk=USER).first_name == "Name 11"
