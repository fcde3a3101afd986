"""Plays Clerk's part in another terminal: changes a user in the demo's fake Clerk, and sends the event."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import requests

from clerksync.testing.deliveries import data_of, event_body, sign
from project.demo_state import Running

TYPES = ("user.created", "user.updated", "user.deleted", "session.created")
_SECONDS = 20

Json = dict[str, Any]


class NotRunning(Exception):
    """Nobody answers where the demo should be."""


class Refused(Exception):
    """The fake Clerk does not do what was asked for."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An event that was sent, and what the site answered."""

    clerk_id: str
    accepted: bool
    answer: str


def send(running: Running, event_type: str, *, clerk_id: str | None, changes: Json) -> Sent:
    """Change the user in the fake Clerk as the type and the changes say, and send the event.

    Raises:
        NotRunning: Nobody answers.
        Refused: There is no such user, or the change is not possible.
    """
    with requests.Session() as session:
        session.trust_env = False  # a proxy would be asked for the loopback address
        clerk = _Clerk(session, running)
        try:
            user = _user_of(clerk, event_type, clerk_id=clerk_id, changes=changes)
            answer = _deliver(session, running, _body(event_type, user, clerk.ask("GET", "/instance")["id"]))
        except requests.ConnectionError as error:
            raise NotRunning from error
    if answer.status_code == 200:
        return Sent(user["id"], accepted=True, answer=answer.json()["status"])
    return Sent(user["id"], accepted=False, answer=f"{answer.status_code}: {answer.text[:200]}")


@dataclass(frozen=True, slots=True)
class _Clerk:
    """Clerk's API."""

    session: requests.Session
    running: Running

    def ask(self, method: str, path: str, *, body: Json | None = None) -> Any:
        """Send a request and return the JSON of its answer."""
        answer = self.session.request(
            method,
            f"{self.running.clerk_url}/v1{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.running.clerk_key}"},
            timeout=_SECONDS,
        )
        told = answer.json()
        if not answer.ok:
            raise Refused("; ".join(error["long_message"] for error in told["errors"]))
        return told


def _user_of(clerk: _Clerk, event_type: str, *, clerk_id: str | None, changes: Json) -> Any:
    """The user whom the event is about, after the change that it tells."""
    if event_type == "user.created" and clerk_id is None:
        address = f"user-{secrets.token_hex(4)}@harbour.dev"
        return clerk.ask("POST", "/users", body={"email_address": [address], **changes})
    path = f"/users/{clerk_id or _newest(clerk)}"
    if changes:
        clerk.ask("PATCH", path, body=changes)
    method = "DELETE" if event_type == "user.deleted" else "GET"
    return clerk.ask(method, path)


def _newest(clerk: _Clerk) -> str:
    users = clerk.ask("GET", "/users?order_by=-created_at&limit=1")
    if not users:
        raise Refused("The fake Clerk has no users.")
    clerk_id: str = users[0]["id"]
    return clerk_id


def _body(event_type: str, user: Json, instance_id: str) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    data = data_of(event_type, user, now_ms=now_ms)
    return event_body(event_type, data, timestamp_ms=now_ms, instance_id=instance_id)


def _deliver(session: requests.Session, running: Running, body: bytes) -> requests.Response:
    delivery = sign(body, svix_id=f"msg_{secrets.token_hex(12)}", secret=running.webhook_secret)
    return session.post(
        running.webhook_url,
        data=delivery.body,
        headers={**delivery.headers, "Content-Type": "application/json"},
        timeout=_SECONDS,
        allow_redirects=False,
    )
