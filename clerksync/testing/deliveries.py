"""Webhooks as Clerk sends them: the envelope of an event, and a real signature."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from clerksync.testing.wire import Json

#: The secret that the fake signs with; invented.
WEBHOOK_SECRET = "whsec_aW52ZW50ZWQgZm9yIHRlc3RzIG9mIGNsZXJrc3luYw=="


def data_of(event_type: str, user: Json, *, now_ms: int) -> Json:
    """The object of an event about this user."""
    match event_type.split("."):
        case ["user", "deleted"]:
            return {"object": "user", "id": user["id"], "deleted": True}
        case ["session", status]:
            return {
                "object": "session",
                "id": f"sess_{user['id'].removeprefix('user_')}",
                "user_id": user["id"],
                "user": user,
                "status": {"created": "active"}.get(status, status),
                "last_active_at": now_ms,
                "created_at": now_ms,
                "updated_at": now_ms,
            }
        case _:
            return user


class Delivery(msgspec.Struct, frozen=True):
    """One signed request: the body and the headers that belong to it."""

    body: bytes
    headers: dict[str, str]


def event_body(event_type: str, data: Json, *, timestamp_ms: int, instance_id: str) -> bytes:
    """The JSON of an event, in the documentation's form (time in ms)."""
    return msgspec.json.encode(
        {
            "object": "event",
            "type": event_type,
            "data": data,
            "timestamp": timestamp_ms,
            "instance_id": instance_id,
            "event_attributes": {"http_request": {"client_ip": "203.0.113.7", "user_agent": "Mozilla/5.0"}},
        }
    )


def sign(
    body: bytes,
    *,
    svix_id: str,
    sent_at: datetime | None = None,
    secret: str = WEBHOOK_SECRET,
    family: str = "svix",
) -> Delivery:
    """Sign a body as Svix does.

    Args:
        body: The raw bytes.
        svix_id: The id of the message, the same for every attempt.
        sent_at: The time of this attempt; now by default.
        secret: The endpoint's signing secret.
        family: ``svix`` or ``webhook``: how the headers are named.
    """
    # Svix takes 0.7 s to import, which tests without webhooks need not pay.
    from svix.webhooks import Webhook  # noqa: PLC0415

    moment = sent_at or datetime.now(UTC)
    signature = Webhook(secret).sign(svix_id, moment, body.decode())
    headers = {"id": svix_id, "timestamp": str(int(moment.timestamp())), "signature": signature}
    return Delivery(body, {f"{family}-{name}": value for name, value in headers.items()})
