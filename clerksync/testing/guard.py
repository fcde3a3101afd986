"""No test calls the real Clerk: a client that is about to is stopped, with a hint."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from clerksync import signals

HINT = (
    "Use the fake Clerk: the fixture `clerk` of the plugin clerksync.testing.plugin with pytest, "
    "ClerkTestMixin and its self.clerk with django.test.TestCase."
)


class RealClerkCalled(AssertionError):
    """A test was about to call the real Clerk; no error of ours, so that no handler hides it."""


@contextmanager
def no_real_clerk() -> Iterator[None]:
    """Raise RealClerkCalled in whoever asks a Clerk that is not on this machine."""

    def refuse(sender: object, *, url: str, **kwargs: Any) -> None:
        if not _is_loopback(urlsplit(url).hostname or ""):
            raise RealClerkCalled(f"This test was about to call Clerk at {url}. {HINT}")

    signals.pre_request.connect(refuse, weak=False)
    try:
        yield
    finally:
        signals.pre_request.disconnect(refuse)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
