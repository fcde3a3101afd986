"""Deliveries of webhooks: raw bytes and headers in, a verified delivery out; the only user of svix."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from django.urls import NoReverseMatch, reverse
from msgspec import Struct

from clerksync.conf import settings
from clerksync.exceptions import WebhookError
from clerksync.logs import Log, told

if TYPE_CHECKING:
    from svix.webhooks import Webhook

logger = logging.getLogger(__name__)

#: Svix signs under its own names and under those of Standard Webhooks.
FAMILIES = ("svix", "webhook")
#: Seconds that the time of an attempt may differ from ours, as all of Svix's libraries have it.
TOLERANCE = 300
#: The type of the events that we send ourselves, to see whether they arrive.
PROBE = "clerksync.probe"
_SEPARATORS = re.compile(r"[\s,]+")
_MAX_ID = 255
#: Clerk's events are far shorter.
_MAX_HINTED = 64 * 1024
_PREFIX = "whsec_"


class Delivery(Struct, frozen=True):
    """One verified attempt to deliver a message.

    ``svix_id`` is the same for every attempt, replay and endpoint. ``sent_ms`` is the time
    of this attempt, in ms. ``secret`` tells which secret matched: the start of its hash.
    """

    svix_id: str
    sent_ms: int
    secret: str


class _Signed(Struct, frozen=True):
    """The three headers of one family."""

    id: str
    timestamp: str
    signature: str

    def as_headers(self) -> dict[str, str]:
        return {"svix-id": self.id, "svix-timestamp": self.timestamp, "svix-signature": self.signature}


def configured_secrets() -> list[str]:
    """The signing secrets; several in one string are separated by spaces or commas."""
    value = settings.CLERK_WEBHOOK_SIGNING_SECRET
    parts = [value] if isinstance(value, str) else value
    return [secret for part in parts for secret in _SEPARATORS.split(part) if secret]


def view_path() -> str | None:
    """The path of our view; None if the project's URLs do not include ``clerksync.urls``."""
    try:
        return reverse("clerksync:webhook")
    except NoReverseMatch:
        return None


@lru_cache(maxsize=16)
def problem_of(secret: str) -> str | None:
    """What is wrong with a signing secret; None if it can be used."""
    if not secret.startswith(_PREFIX):
        return f"does not start with {_PREFIX}"
    try:
        # As svix does: padding may be missing.
        encoded = secret.removeprefix(_PREFIX).rstrip("=")
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        return f"is not base64 after {_PREFIX}"
    return None if key else f"ends after {_PREFIX}"


def verify(body: bytes, headers: Mapping[str, str]) -> Delivery:
    """Verify the raw body of a request, with any secret and any family of headers.

    Args:
        body: The bytes as they came.
        headers: Names in any case.

    Raises:
        WebhookError: With the status to answer; the reason is for the log and the counter.
    """
    secrets = [secret for secret in configured_secrets() if problem_of(secret) is None]
    if not secrets:
        raise WebhookError("no_secret", status=503)
    given = {name.lower(): value for name, value in headers.items()}
    signed = list(_families(given))
    if not signed:
        raise WebhookError("headers", status=400)
    fresh = [one for one in signed if _is_fresh(one.timestamp)]
    if not fresh:
        raise WebhookError("timestamp", status=400)
    for one in fresh:
        for secret in secrets:
            if _matches(secret, body, one):
                return Delivery(one.id, int(one.timestamp) * 1000, fingerprint(secret))
    hint = _hint(secrets, body, fresh)
    logger.info(
        "webhook rejected: no signature matches%s",
        hint and f"; {hint}",
        extra=told(Log.WEBHOOK_REJECTED, reason="signature"),
    )
    raise WebhookError("signature", status=400)


def sign(body: bytes, *, svix_id: str, secret: str) -> dict[str, str]:
    """The headers of a delivery that ``verify`` accepts; for probing our own endpoint."""
    verifier, _ = _verifier(secret)
    now = datetime.now(UTC)
    signature = verifier.sign(svix_id, now, body.decode())
    return _Signed(svix_id, str(int(now.timestamp())), signature).as_headers()


def fingerprint(secret: str) -> str:
    """The start of a secret's hash: enough to tell two secrets apart, too little to guess one."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def _families(headers: Mapping[str, str]) -> Iterator[_Signed]:
    for family in FAMILIES:
        values = [headers.get(f"{family}-{name}", "") for name in ("id", "timestamp", "signature")]
        if all(values) and len(values[0]) <= _MAX_ID and values[0].isprintable():
            yield _Signed(*values)


def _is_fresh(timestamp: str) -> bool:
    """Whether a time is in whole seconds and within the tolerance."""
    digits = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
    return digits and abs(int(timestamp) - time.time()) <= TOLERANCE


def _matches(secret: str, body: bytes, signed: _Signed) -> bool:
    verifier, refusals = _verifier(secret)
    try:
        verifier.verify(body, signed.as_headers())  # returns None in svix 2
    except refusals:
        return False
    return True


@lru_cache(maxsize=16)
def _verifier(secret: str) -> tuple[Webhook, tuple[type[Exception], ...]]:
    """The verifier of a secret, and what it raises for whatever is not signed with it."""
    # The one import inside a function: svix takes 0.66 s of CPU, and every command loads the URLs.
    from svix.webhooks import Webhook, WebhookVerificationError  # noqa: PLC0415

    # ValueError: a malformed signature header (binascii.Error is one), or a body that is not UTF-8.
    return Webhook(secret), (WebhookVerificationError, ValueError)


def _hint(secrets: list[str], body: bytes, signed: list[_Signed]) -> str:
    """Point at the usual mistake: something read the JSON and wrote it again before we saw it.

    Nobody has signed this body: it may be anything, and must not cost much.
    """
    if len(body) > _MAX_HINTED:
        return ""
    try:
        again = _written_anew(json.loads(body))
    except (ValueError, RecursionError):
        return "the body is not JSON, or not such as Clerk sends"
    for text in again:
        if any(_matches(secret, text, one) for secret in secrets for one in signed):
            return "it would match if the JSON had not been written anew on the way: hand over the raw body"
    return "check that the secret is that of this endpoint"


def _written_anew(value: object) -> list[bytes]:
    """The ways in which the usual libraries write JSON."""
    texts = json.dumps(value, separators=(",", ":")), json.dumps(value), json.dumps(value, ensure_ascii=False)
    return [text.encode() for text in texts]
