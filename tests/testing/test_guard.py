"""What is kept from calling the real Clerk."""

from __future__ import annotations

import threading

import pytest
from django.core.management import call_command
from django.test import override_settings
from pytest_socket import SocketConnectBlockedError

from clerksync.client import ClerkClient
from clerksync.testing import FakeClerk, RealClerkCalled, serve
from clerksync.testing.guard import no_real_clerk


@pytest.mark.django_db
def test_real_clerk__command_without_a_fake() -> None:
    """A test that forgot the fake is told of it, by no error that the command hides."""
    with pytest.raises(
        RealClerkCalled, match=r"at https://api\.clerk\.com\. .* fixture `clerk`.* ClerkTestMixin"
    ):
        call_command("sync_clerk_users")


def test_real_clerk__url_of_the_caller(clerk: FakeClerk) -> None:
    """An explicit URL is refused although the settings name the fake."""
    with ClerkClient(api_url="https://api.clerk.test") as client, pytest.raises(RealClerkCalled):
        client.count()
    assert client.requests == 0


def test_real_clerk__read_ahead() -> None:
    """The thread that reads ahead is stopped as well, and its caller told."""
    with ClerkClient() as client, pytest.raises(RealClerkCalled):
        next(client.iter_pages(decode=lambda page: []))


@pytest.mark.real_clerk
def test_real_clerk__marked() -> None:
    """A test with the mark is let through (to this machine's own barrier)."""
    with (
        override_settings(CLERK_API_URL="http://192.0.2.1"),
        ClerkClient() as client,
        pytest.warns(match="tried to use"),
        pytest.raises(SocketConnectBlockedError),
    ):
        client.count()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_this_machine__any_server(name: str) -> None:
    """Whatever a test serves on this machine may be called."""
    fake = FakeClerk()
    with (
        serve(fake) as served,
        ClerkClient(api_url=f"http://{name}:{served.port}", secret_key=fake.secret_key) as client,
    ):
        assert client.count() == 0


@pytest.mark.real_clerk
def test_guard__nested() -> None:
    """The outer guard holds on when the inner one ends, and nothing is left when both have."""

    def is_refused() -> bool:
        with ClerkClient(api_url="http://192.0.2.1", deadline=0) as client:
            try:
                client.count()
            except RealClerkCalled:
                return True
            except Exception:  # noqa: BLE001  # whatever happens on the way out
                return False
        raise AssertionError

    with no_real_clerk():
        with no_real_clerk():
            assert is_refused()
        assert is_refused()
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(is_refused()))
        thread.start()
        thread.join()
        assert seen == [True]
    assert not is_refused()
