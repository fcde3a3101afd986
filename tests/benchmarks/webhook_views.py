"""What our endpoint is measured against: views by hand that keep fewer promises."""

from __future__ import annotations

import json
from typing import Any

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from svix.webhooks import Webhook

from clerksync.testing.deliveries import WEBHOOK_SECRET

TABLES = """
CREATE TABLE IF NOT EXISTS bench_user (
    clerk_id text PRIMARY KEY, updated_ms bigint, email text, first_name text, last_name text, payload text
);
CREATE TABLE IF NOT EXISTS bench_inbox (
    svix_id text PRIMARY KEY, type text, received_at timestamptz DEFAULT now(), payload text
);
"""
_UPSERT = """
INSERT INTO bench_user (clerk_id, updated_ms, email, first_name, last_name, payload)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (clerk_id) DO UPDATE SET updated_ms = excluded.updated_ms, email = excluded.email,
    first_name = excluded.first_name, last_name = excluded.last_name, payload = excluded.payload
WHERE bench_user.updated_ms < excluded.updated_ms
"""
_RECORD = "INSERT INTO bench_inbox (svix_id, type, payload) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_webhook = Webhook(WEBHOOK_SECRET)


def empty(request: HttpRequest) -> HttpResponse:
    """Answer."""
    return HttpResponse(b"{}")


def floor(request: HttpRequest) -> HttpResponse:
    """Verify, and upsert the user."""
    event = _verified(request)
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT, _values(event["data"]))
    return HttpResponse(b"{}")


def inbox_upsert(request: HttpRequest) -> HttpResponse:
    """Verify, and record the event and upsert the user in one transaction."""
    event = _verified(request)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_RECORD, (request.headers["svix-id"], event["type"], request.body.decode()))
        if cursor.rowcount:
            cursor.execute(_UPSERT, _values(event["data"]))
    return HttpResponse(b"{}")


def _verified(request: HttpRequest) -> dict[str, Any]:
    names = ("svix-id", "svix-timestamp", "svix-signature")
    _webhook.verify(request.body, {name: request.headers[name] for name in names})
    event: dict[str, Any] = json.loads(request.body)
    return event


def _values(user: dict[str, Any]) -> tuple[Any, ...]:
    primary = user["primary_email_address_id"]
    email = next((one["email_address"] for one in user["email_addresses"] if one["id"] == primary), None)
    return (
        user["id"],
        user["updated_at"],
        email,
        user["first_name"],
        user["last_name"],
        json.dumps(user),
    )


urlpatterns = [
    path("empty/", csrf_exempt(empty)),
    path("floor/", csrf_exempt(floor)),
    path("inbox_upsert/", csrf_exempt(inbox_upsert)),
    path("clerk/", include("clerksync.urls")),
]
