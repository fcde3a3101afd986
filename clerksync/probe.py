"""A really signed, harmless event, sent to our own webhook through proxy and TLS."""

from __future__ import annotations

import json
import secrets
import time
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from msgspec import Struct

from clerksync import transport, webhooks
from clerksync.exceptions import ClerkUnavailable
from clerksync.models import MirrorState

#: What to tick at the endpoint in Clerk's dashboard.
TICK = ("user.created", "user.updated", "user.deleted")
#: Carry sign-ins, which keep the last sign-in fresh; one delivery each.
MAY_TICK = ("session.created",)
#: Carry one-time codes and the text of messages.
DO_NOT_TICK = ("email.created", "sms.created")


class Outcome(Struct, frozen=True):
    """How the probe ended, and what to do about it."""

    succeeded: bool
    message: str


def default_url() -> str | None:
    """The address to enter at Clerk, as far as the settings tell: the first host that is no pattern."""
    path = webhooks.view_path()
    hosts = [host for host in django_settings.ALLOWED_HOSTS if not host.startswith((".", "*"))]
    return f"https://{hosts[0]}{path}" if path and hosts else None


def send(url: str) -> Outcome:
    """Send the probe and say what came back."""
    usable = [secret for secret in webhooks.configured_secrets() if webhooks.problem_of(secret) is None]
    if not usable:
        return Outcome(
            succeeded=False,
            message="CLERK_WEBHOOK_SIGNING_SECRET is not set: copy it from the endpoint in Clerk's dashboard.",
        )
    if urlsplit(url).scheme not in ("http", "https"):
        return Outcome(succeeded=False, message=f"{url} is not a web address: give it with https://")
    instance = MirrorState.objects.filter(pk=1).values_list("instance_id", flat=True).first() or ""
    event = {"object": "event", "type": webhooks.PROBE, "data": {"object": "probe"}, "instance_id": instance}
    body = json.dumps({**event, "timestamp": time.time_ns() // 1_000_000}).encode()
    headers = webhooks.sign(body, svix_id=f"probe_{secrets.token_hex(8)}", secret=usable[0])
    try:
        answer = transport.post(url, body, {**headers, "Content-Type": "application/json"})
    except ClerkUnavailable as error:
        return Outcome(succeeded=False, message=f"{error}. Check the address, the proxy and the certificate.")
    return _explain(answer.status, answer.location, answer.body)


def _explain(status: int, location: str, body: bytes) -> Outcome:
    if status == 200 and b'"ignored"' in body:
        return Outcome(
            succeeded=True, message="200: the event arrived, its signature was accepted, and it was recorded."
        )
    return Outcome(succeeded=False, message=f"{status}: {_advice(status, location)}")


def _advice(status: int, location: str) -> str:
    match status:
        case 200:
            return "something answered, but not clerksync: check which application the address leads to."
        case 301 | 302 | 303 | 307 | 308:
            return f"a redirect to {location or 'nowhere'}, which counts as a failure: enter that address at Clerk."
        case 400:
            return (
                "the signature was not accepted: the site has another secret, or something rewrites the body."
            )
        case 401 | 403:
            return "something asks for a login: exempt the path in the proxy and in login middleware."
        case 404:
            return "there is no such address: include clerksync.urls, and check the prefix."
        case 413:
            return "something in front refuses bodies of this size."
        case 503:
            return "the site has no usable secret, or its database does not answer: see its log."
        case _:
            return "see the log of the site and of the proxy."
