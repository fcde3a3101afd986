"""Where webhooks arrive (verify, record and apply, answer), and where monitors ask how the mirror stands."""

from __future__ import annotations

import logging

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from clerksync import alarms, events, journal, status, webhooks
from clerksync.conf import settings
from clerksync.exceptions import WebhookError
from clerksync.logs import Log, clean, told, where

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
        delivery = webhooks.verify(body, request.headers)
        receipt = events.receive(body, delivery)
    except WebhookError as error:
        return _reject(error)
    except DatabaseError as error:
        logger.error(
            "webhook not recorded: the database failed; Clerk will deliver it again",
            exc_info=where(error),
            extra=told(Log.WEBHOOK_NOT_RECORDED),
        )
        return JsonResponse({"error": "unavailable"}, status=503, headers={"Retry-After": RETRY_AFTER})
    finally:
        alarms.look_now_and_then()
    if receipt.status == "parked":
        logger.warning(
            "webhook %s parked: %s",
            clean(delivery.svix_id),
            clean(receipt.reason),
            extra=told(Log.WEBHOOK_PARKED, svix_id=clean(delivery.svix_id)),
        )
    return JsonResponse({"status": receipt.status})


@login_not_required
@require_safe
@never_cache
def health(request: HttpRequest) -> HttpResponse:
    """Tell a monitor how the mirror stands: 200 if it is in step, else 503, with the reasons.

    For monitors, and not for what takes a process out of service: a site whose mirror is behind can serve.
    Staff who are signed in see hosts and errors as well.
    """
    found = status.read()
    if found.is_known:
        alarms.look_soon()
    told = found.as_dict() if found.is_known and _is_staff(request) else found.public()
    return JsonResponse(told, status=200 if found.state is status.State.IN_STEP else 503)


# Whatever ATOMIC_REQUESTS says of any database: a webhook's record and effect commit before the answer,
# and a database that is down is an answer of ``health``, not an error before it.
for _alias in connections:
    webhook = transaction.non_atomic_requests(using=_alias)(webhook)
    health = transaction.non_atomic_requests(using=_alias)(health)


def _is_staff(request: HttpRequest) -> bool:
    user = getattr(request, "user", None)  # there need not be a middleware for it
    # Not every model of users has it.
    return bool(user is not None and user.is_active and getattr(user, "is_staff", False))


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
    except UnreadablePostError as error:
        # Nobody is there to read the answer; an error of ours would mail the admins.
        raise WebhookError("aborted", status=400) from error
    if len(body) > limit:
        raise WebhookError("too_large", status=413)
    return body


def _reject(error: WebhookError) -> HttpResponse:
    """Answer shortly, log at INFO (a forger must not mail the admins), and count."""
    logger.info("%s", error, extra=told(Log.WEBHOOK_REJECTED, reason=error.reason))
    try:
        journal.count_rejection(error.reason)
    except DatabaseError:
        logger.warning(
            "a rejected webhook could not be counted: the database failed",
            extra=told(Log.WEBHOOK_NOT_COUNTED),
        )
    return JsonResponse({"error": "not accepted"}, status=error.status)
