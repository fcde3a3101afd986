"""Where webhooks arrive: verify, record and apply, answer."""

from __future__ import annotations

import logging

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from clerksync import events, journal, webhooks
from clerksync.conf import settings
from clerksync.exceptions import WebhookError

logger = logging.getLogger(__name__)

#: Svix keeps to it within one and two of its own delays.
RETRY_AFTER = "30"


@csrf_exempt
@login_not_required
def webhook(request: HttpRequest) -> HttpResponse:
    """Take one delivery of a webhook of Clerk's.

    200 for everything that is recorded, 400 for what is not signed by Clerk, 413 for what
    is too large, 503 where another delivery can help. Never 429 and never a redirect.
    """
    if request.method != "POST":
        text = "This is where Clerk delivers its webhooks, by POST.\n"
        return HttpResponse(text, status=405, content_type="text/plain", headers={"Allow": "POST"})
    try:
        body = _read(request)
        receipt = events.receive(body, webhooks.verify(body, request.headers))
    except WebhookError as error:
        return _reject(error)
    except DatabaseError:
        logger.exception("webhook not recorded: the database failed; Clerk will deliver it again")
        return JsonResponse({"error": "unavailable"}, status=503, headers={"Retry-After": RETRY_AFTER})
    if receipt.status == "parked":
        logger.warning("webhook %s parked: %s", request.headers.get("svix-id", "?"), receipt.reason)
    return JsonResponse({"status": receipt.status})


# The record and its effect commit before the answer, whatever ATOMIC_REQUESTS says of any database.
for _alias in connections:
    webhook = transaction.non_atomic_requests(using=_alias)(webhook)


def _read(request: HttpRequest) -> bytes:
    """Read the raw body, up to the limit."""
    limit = settings.WEBHOOK_MAX_BYTES
    try:
        declared = int(request.headers.get("Content-Length") or 0)
        if declared > limit:
            raise WebhookError("too_large", status=413)
        body = request.body
    except (RequestDataTooBig, ValueError) as error:
        raise WebhookError("too_large", status=413) from error
    if len(body) > limit:
        raise WebhookError("too_large", status=413)
    return body


def _reject(error: WebhookError) -> HttpResponse:
    """Answer shortly, log at INFO (a forger must not mail the admins), and count."""
    logger.info("%s", error)
    try:
        journal.count_rejection(error.reason)
    except DatabaseError:
        logger.warning("a rejected webhook could not be counted: the database failed")
    return JsonResponse({"error": "not accepted"}, status=error.status)
