"""Reads of one user by id."""

from __future__ import annotations

from clerksync.client import ClerkClient
from clerksync.payloads import Kind, Parser
from clerksync.reads import Reader
from clerksync.testing import FakeClerk


def test_read__nobody_by_clerks_clock(clerk: FakeClerk) -> None:
    """A 404 is noted at Clerk's time, although a client that had no answer before knows no clock but ours."""
    clerk.advance(seconds=-7_200)
    with ClerkClient() as client:
        seen = Reader(client, Parser(), provenance="").read("user_gone")
    assert seen.kind is Kind.ABSENT
    assert clerk.clock.now_ms() - 60_000 < seen.observed_ms < clerk.clock.now_ms()


def test_read__nobody_at_a_given_time(clerk: FakeClerk) -> None:
    """Who was missing from a list before is noted at the time of the list."""
    with ClerkClient() as client:
        seen = Reader(client, Parser(), provenance="").read("user_gone", observed_ms=1_767_225_600_000)
    assert seen.observed_ms == 1_767_225_600_000
