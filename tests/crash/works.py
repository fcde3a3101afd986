"""What the children of these tests do beside running commands; forked, and so perhaps killed in the middle."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.db import close_old_connections
from django.test import Client

from clerksync.events import ClerkEvent, on
from clerksync.testing.deliveries import Delivery
from tests.deliveries import post

EVENTS = ("user.created", "user.updated", "user.deleted")


def deliver(deliveries: Sequence[tuple[str, Mapping[str, str]]], book: str, tries: int) -> None:
    """Deliver webhooks, and note in the book which were answered with 2xx and which a handler was given."""
    handle(book)
    for body, headers in deliveries:
        while post(Delivery(body.encode(), dict(headers))).status_code != 200:
            tries -= 1
            if not tries:
                raise SystemExit(1)
            time.sleep(0.2)
            close_old_connections()  # as each request does, but for those of the test client
        _note(book, f"answered {headers['svix-id']}")


def handle(book: str) -> None:
    """Have a handler that notes what it is given."""

    @on(*EVENTS)
    def note(event: ClerkEvent) -> None:
        _note(book, f"handled {event.svix_id}")


def replay(book: str) -> None:
    """Run ``replay_clerk_events``, with a handler."""
    from django.core.management import call_command  # noqa: PLC0415  # it loads the commands of all apps

    handle(book)
    call_command("replay_clerk_events")


def load_pages(visits: Sequence[tuple[str, Mapping[str, str]]]) -> None:
    """Load pages, each with its headers; whatever happens they are served."""
    for path, headers in visits:
        response = Client().get(path, headers=dict(headers))
        if response.status_code != 200:
            raise SystemExit(1)


def _note(book: str, line: str) -> None:
    """Add a line that a kill cannot take back."""
    with Path(book).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
