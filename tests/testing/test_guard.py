"""What is kept from calling the real Clerk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from django.core.management import call_command

from clerksync.client import ClerkClient
from clerksync.exceptions import KeyRejected
from clerksync.testing import FakeClerk, RealClerkCalled, serve
from clerksync.testing.guard import no_real_clerk
from clerksync.testing.stage import Stage


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


@pytest.fixture
def elsewhere(clerk_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClerkClient]:
    """A client of another host, which a proxy on this machine answers for, and refuses."""
    monkeypatch.setenv("http_proxy", clerk_stage.url)
    with ClerkClient(api_url="http://api.clerk.test") as client:
        yield client


@pytest.mark.real_clerk
def test_real_clerk__marked(elsewhere: ClerkClient) -> None:
    """A test with the mark is let through."""
    with pytest.raises(KeyRejected):
        elsewhere.count()


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
def test_guard__nested(elsewhere: ClerkClient) -> None:
    """The outer guard holds on when the inner one ends, and nothing is left when both have."""
    with no_real_clerk():
        for guard in (no_real_clerk(), nullcontext()):
            with guard, pytest.raises(RealClerkCalled):
                elsewhere.count()
    with pytest.raises(KeyRejected):
        elsewhere.count()
