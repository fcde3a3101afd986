"""No thread of clerksync's own outlives the test that began it."""

from __future__ import annotations

import threading
import time
import unittest
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client, TransactionTestCase

from clerksync import alarms, attempts, jobs, launches, pace
from clerksync.models import AlarmWatch
from clerksync.testing import ClerkTestMixin, FakeClerk, threads
from tests.syncing import Syncer
from tests.testing.test_mixin import run

LATE = 0.5


@pytest.fixture
def slow(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Whoever looks for alarms takes a while, then asks the database; that has to be over after the test."""
    seen: list[int] = []

    def look() -> None:
        time.sleep(LATE)
        seen.append(AlarmWatch.objects.count())

    monkeypatch.setattr(alarms, "evaluate", look)
    yield seen
    if not threads.NAMES.isdisjoint(thread.name for thread in threading.enumerate()):
        pytest.fail("a thread is still at work when the test's database goes")
    assert seen == [1]


def test_plugin__waits(slow: list[int], client: Client, clerk: FakeClerk) -> None:
    """A request may have somebody look; the fixture fails if that goes on after the test."""
    Syncer(clerk).full()
    assert client.get("/clerk/health/").status_code == 200
    assert slow == []


def test_mixin__waits(slow: list[int]) -> None:
    """The same with Django's TestCase."""
    left: list[int] = []

    class Case(ClerkTestMixin, TransactionTestCase):
        def test_health(self) -> None:
            self.client.get("/clerk/health/")

        def _fixture_teardown(self) -> None:
            left.append(len(slow))  # where Django empties the tables; these belong to pytest's fixture

    result: unittest.TestResult = run(Case)
    assert result.wasSuccessful(), (result.errors, result.failures)
    assert left == [1]


def test_plugin__begins_none_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first webhook after a minute has somebody look, but not if a test has begun since."""
    monkeypatch.setattr(pace.LOOKS, "_began", time.monotonic() - 61)
    with threads.no_threads_left():
        assert not pace.LOOKS.is_time()
    monkeypatch.setattr(pace.LOOKS, "_began", time.monotonic() - 61)
    assert pace.LOOKS.is_time()


def test_wait__no_longer_than_its_patience() -> None:
    """A thread that hangs stops no test run."""
    release = threading.Event()
    thread = threading.Thread(target=release.wait, args=[60], name="clerksync-alarms")
    thread.start()
    try:
        before = time.monotonic()
        with threads.no_threads_left(patience=0.1):
            pass
        assert time.monotonic() - before < 10
        assert thread.is_alive()
    finally:
        release.set()
        thread.join()


def test_names__are_those_of_the_product(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is waited for by its name."""
    seen: set[str] = set()

    def note(*_: object) -> None:
        seen.add(threading.current_thread().name)

    monkeypatch.setattr(alarms, "evaluate", note)
    monkeypatch.setattr(attempts, "guard", note)
    monkeypatch.setattr(jobs, "hasten", lambda part: False)
    monkeypatch.setattr(launches, "_is_queued", lambda work: False)
    with threads.no_threads_left():
        alarms.look_soon()
        for work in launches.Work:
            launches.launch(work, patience=10)
    assert seen == threads.NAMES
    assert connection.is_usable()
