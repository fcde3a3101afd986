"""Reads of some users."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from clerksync import mirror
from clerksync.models import ClerkUser, SyncRun
from clerksync.testing import FakeClerk
from tests.observed import missed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clerk_server")]


def run(*arguments: str) -> str:
    """The output of the command."""
    out = io.StringIO()
    call_command("sync_clerk_users", "--no-progress", *arguments, stdout=out)
    return out.getvalue()


def test_pending__reads_users_in_doubt_and_nobody_else(clerk: FakeClerk) -> None:
    """Two users in doubt among ten: one list call, and both are settled."""
    ids = clerk.create_users(10)
    run()
    mirror.apply([missed(0, clerk_id=clerk_id) for clerk_id in ids[:2]])
    clerk.clear_requests()
    assert "unchanged  2" in run("--pending")
    assert not ClerkUser.objects.needs_refresh().exists()
    assert [request.path for request in clerk.requests] == ["/v1/instance", "/v1/users"]
    assert SyncRun.objects.filter(kind="pending", state="completed").count() == 1


def test_pending__nobody_in_doubt_costs_one_request(clerk: FakeClerk) -> None:
    """The instance is checked, and that is all."""
    clerk.create_users(3)
    run()
    clerk.clear_requests()
    assert "unchanged  0" in run("--pending")
    assert len(clerk.requests) == 1


def test_pending__finds_who_is_gone(clerk: FakeClerk) -> None:
    """A read by id that finds nothing is a delete, behind the breaker."""
    ids = clerk.create_users(10)
    run()
    clerk.delete_user(ids[0])
    mirror.apply([missed(0, clerk_id=ids[0])])
    assert "deleted  1" in run("--pending")


def test_users__who_are_unknown_to_both(clerk: FakeClerk) -> None:
    """Named on standard error, with status 1."""
    clerk.create_users(3)
    run()
    with pytest.raises(CommandError, match="neither in Clerk nor in the table") as caught:
        run("--user", "user_nobody")
    assert caught.value.returncode == 1
