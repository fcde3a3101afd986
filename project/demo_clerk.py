"""The fake Clerk of the demo, as its pages use it: in place of Clerk's script, and of Clerk's own pages.

It runs in the process of the site, so that the pages can mint session tokens; nothing of
this is reachable without ``DEMO`` in the settings, which only the demo's own have.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from django.conf import settings as django_settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from clerksync.conf import settings
from clerksync.publishable_key import cookie_suffix
from clerksync.sessions import COOKIE
from clerksync.testing import FakeClerk
from clerksync.testing.deliveries import event_body, sign
from clerksync.webhooks import configured_secrets

#: Who is signed in at the fake Clerk; Clerk has such a cookie on a host of its own.
CLIENT_COOKIE = "demo_client"
_SECONDS = 10

_clerk: FakeClerk | None = None


@contextmanager
def playing(clerk: FakeClerk) -> Iterator[None]:
    """Let the pages use this Clerk until the block ends."""
    global _clerk  # one demo a process
    _clerk = clerk
    try:
        yield
    finally:
        _clerk = None


def current() -> FakeClerk:
    """The Clerk that plays.

    Raises:
        Http404: This is not the demo.
    """
    if _clerk is None or not getattr(django_settings, "DEMO", False):
        raise Http404
    return _clerk


def may_sign_in(clerk_id: str) -> bool:
    """Whether Clerk would let this user in."""
    clerk = current()
    if clerk_id not in clerk:
        return False
    user = clerk.get(clerk_id)  # some of the demo lack what Clerk leaves out, too
    return not any(user.get(name) for name in ("banned", "locked", "deprovisioned"))


def sign_in(response: HttpResponse, clerk_id: str) -> None:
    """Set the cookies that Clerk's script sets, with a new session token in them."""
    token = mint(clerk_id)
    response.set_signed_cookie(CLIENT_COOKIE, clerk_id, httponly=True, samesite="Lax")
    for name in _cookies():
        # As Clerk's script does: not for HTTP only, since it is a script that renews them.
        response.set_cookie(name, token, samesite="Lax")


def sign_out(response: HttpResponse) -> None:
    """Delete the cookies."""
    for name in (CLIENT_COOKIE, *_cookies()):
        response.delete_cookie(name, samesite="Lax")


def remembered(request: HttpRequest) -> str | None:
    """Who is signed in at the fake Clerk, with a session token or not."""
    clerk_id: str | None = request.get_signed_cookie(CLIENT_COOKIE, default=None)
    return clerk_id


def mint(clerk_id: str) -> str:
    """A session token for 60 s, with the custom claims that CLERKSYNC_CLAIM_FIELDS knows in the demo."""
    user = current().get(clerk_id)
    claims = {"fullName": full_name(user), "imageUrl": user.get("image_url")}
    return current().token(clerk_id, claims=claims)


def full_name(user: dict[str, Any]) -> str:
    """The name of a user of Clerk."""
    return " ".join(user[part] for part in ("first_name", "last_name") if user.get(part))


def send_webhook(request: HttpRequest, clerk_id: str) -> None:
    """Deliver ``user.updated`` to this site, as Svix does for Clerk.

    Raises:
        requests.RequestException: The site does not answer, or not with 2xx.
    """
    clerk = current()
    body = event_body(
        "user.updated",
        clerk.get(clerk_id),
        timestamp_ms=clerk.clock.now_ms(),
        instance_id=clerk.instance_id,
    )
    delivery = sign(body, svix_id=f"msg_{secrets.token_hex(12)}", secret=configured_secrets()[0])
    with requests.Session() as session:
        session.trust_env = False  # a proxy would be asked for the loopback address
        answer = session.post(
            request.build_absolute_uri(reverse("clerksync:webhook")),
            data=delivery.body,
            headers={**delivery.headers, "Content-Type": "application/json"},
            timeout=_SECONDS,
            allow_redirects=False,
        )
        answer.raise_for_status()


def _cookies() -> tuple[str, ...]:
    return COOKIE, f"{COOKIE}_{cookie_suffix(settings.CLERK_PUBLISHABLE_KEY)}"
