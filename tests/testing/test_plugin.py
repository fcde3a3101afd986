"""The pytest plugin, as this very run has loaded it; ``test_wheel.py`` runs it in a project of users."""

from __future__ import annotations

import threading

import pytest
from django.core.management import call_command
from pytest_django.live_server_helper import LiveServer

from clerksync import conf
from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk
from clerksync.testing.stage import Stage


def test_clerk__is_served(clerk: FakeClerk, clerk_stage: Stage) -> None:
    """The fixture is the Clerk that the settings name."""
    assert clerk_stage.url == conf.settings.CLERK_API_URL
    assert clerk.secret_key == conf.settings.CLERK_SECRET_KEY


@pytest.mark.django_db
@pytest.mark.parametrize("turn", [1, 2])
def test_clerk__empty_at_first(clerk: FakeClerk, turn: int) -> None:
    """Whichever comes first, the other one sees nothing of it."""
    assert (len(clerk), ClerkUser.objects.count()) == (0, 0)
    clerk.create_user(synced=True)


def test_clerk__with_the_settings_fixture(clerk: FakeClerk, settings: object) -> None:
    """A test may change settings on top."""
    settings.CLERK_SECRET_KEY = "sk_test_another"  # type: ignore[attr-defined]  # pytest-django's wrapper
    assert clerk.secret_key != "sk_test_another"


@pytest.mark.parametrize("turn", [1, 2])
def test_clerk__after_the_settings_fixture(settings: object, clerk: FakeClerk, turn: int) -> None:
    """Whichever fixture comes first, nothing of one test is left to the next."""
    assert conf.settings.REFRESH_AFTER == 300
    settings.CLERKSYNC_REFRESH_AFTER = turn  # type: ignore[attr-defined]


def test_clerk__with_a_live_server(live_server: LiveServer, clerk: FakeClerk) -> None:
    """Threads see the same Clerk and the same settings."""
    clerk.create_user()
    thread = threading.Thread(target=call_command, args=["sync_clerk_users", "--no-progress"])
    thread.start()
    thread.join()
    assert ClerkUser.objects.count() == 1


def test_mark__is_declared(pytestconfig: pytest.Config) -> None:
    """The mark that lets a test through is known to ``--strict-markers``."""
    assert any(line.startswith("real_clerk:") for line in pytestconfig.getini("markers"))
