"""Webhooks for tests: events of small users, signed, at times near now."""

from __future__ import annotations

import itertools
import time
from typing import Any

from django.test import Client

from clerksync.testing.deliveries import WEBHOOK_SECRET, Delivery, event_body, sign
from tests.observed import user_json

URL = "/clerk/webhook/"
USER = "user_2abcdefghijklmnopqrstuvwxyz"
INSTANCE = "ins_2kVqNwXcRtYb7mHsDfJpL3gZaEo"
_numbers = itertools.count(1)


def now_ms() -> int:
    """The time, in ms."""
    return time.time_ns() // 1_000_000


def body_of(
    event_type: str, data: dict[str, Any], *, at: int | None = None, instance_id: str = INSTANCE
) -> bytes:
    """An event's JSON."""
    return event_body(event_type, data, timestamp_ms=now_ms() if at is None else at, instance_id=instance_id)


def changed(at: int, *, event_type: str = "user.updated", clerk_id: str = USER, **changes: Any) -> bytes:
    """A user at a version, told at the same moment."""
    return body_of(event_type, user_json(clerk_id, updated_at=at, **changes), at=at)


def deleted(at: int, *, clerk_id: str = USER) -> bytes:
    """The event of a delete."""
    return body_of("user.deleted", {"object": "user", "id": clerk_id, "deleted": True}, at=at)


def signed(body: bytes, *, svix_id: str | None = None, **options: Any) -> Delivery:
    """A signed delivery, of a new message unless told otherwise."""
    return sign(body, svix_id=svix_id or f"msg_{next(_numbers)}", **options)


def post(delivery: Delivery, *, url: str = URL, client: Client | None = None) -> Any:
    """Deliver as Svix does: no cookie, and CSRF is enforced."""
    client = client or Client(enforce_csrf_checks=True)
    return client.post(url, data=delivery.body, content_type="application/json", headers=delivery.headers)


def deliver(body: bytes, **options: Any) -> str:
    """Deliver an event and return the status in the answer."""
    response = post(signed(body, **options))
    assert response.status_code == 200, response.content
    status: str = response.json()["status"]
    return status


__all__ = ["WEBHOOK_SECRET", "body_of", "changed", "deleted", "deliver", "now_ms", "post", "signed"]
