"""Set-ups for the doctor: one in which all is well, and what the doctor says of others."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.cache.backends.locmem import LocMemCache
from django.core.management import call_command
from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import include, path
from django.utils import timezone
from django.views.i18n import set_language

from clerksync.models import ScheduledJob
from clerksync.schedule import Part
from clerksync.testing import FakeClerk
from clerksync.testing.deliveries import WEBHOOK_SECRET
from tests.clocks import RunningClock
from tests.syncing import Syncer

OURS = "https://app.harbour.test"


def make_sound(settings: Any, clerk: FakeClerk, *, files: Path) -> None:
    """Set up everything as it should be, and bring the mirror in step."""
    settings.ROOT_URLCONF = "project.urls"
    settings.ALLOWED_HOSTS = ["app.harbour.test", "testserver"]
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(files)}
    }
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET
    settings.CLERK_JWT_KEY = pem(clerk)
    settings.CLERKSYNC_AUTHORIZED_PARTIES = [OURS]
    # Strings since Django 6.0, pairs before.
    settings.ADMINS = ["ops@harbour.test"] if django.VERSION >= (6, 0) else [("", "ops@harbour.test")]
    settings.CLERKSYNC_LINK_USERS = True
    settings.CLERKSYNC_LINK_BY = ["verified_email"]
    user = clerk.create_user(email="maren@harbour-works.io")
    syncer = Syncer(clerk)
    assert (syncer.full().error, syncer.incremental().error) == (None, None)
    assert clerk.send_webhook("user.updated", user).status_code == 200
    later = timezone.now() + timedelta(hours=1)
    ScheduledJob.objects.bulk_create(ScheduledJob(part=part, next_at=later) for part in Part)
    clerk.clock = RunningClock()  # one that stands still would soon be behind ours


def pem(clerk: FakeClerk) -> str:
    """The public key of an instance, as the dashboard shows it."""
    public = clerk.instance.signing_key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def ask(*arguments: str) -> tuple[int, str]:
    """The exit status and the output of the command."""
    out = io.StringIO()
    try:
        call_command("check_clerk", *arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def ask_json(*arguments: str) -> tuple[int, list[dict[str, str]]]:
    """The exit status and the findings."""
    status, said = ask("--format", "json", *arguments)
    return status, json.loads(said)["findings"]


@contextmanager
def replaced(**changes: Any) -> Iterator[None]:
    """Let new connections, which each part of the examination makes, go to another database."""
    before = connections.settings["default"]
    connections.settings["default"] = {**before, **changes}
    try:
        yield
    finally:
        connections.settings["default"] = before


class RedirectingMiddleware:
    """Sends visitors to a login, as home-made middleware does."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect("/login/?next=secret")


class ForbiddingMiddleware(RedirectingMiddleware):
    """Lets nobody in."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=403)


class FailingMiddleware(RedirectingMiddleware):
    """Has a mistake."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        raise RuntimeError("maren@harbour-works.io")


class FailingCache(LocMemCache):
    """Is down, and tells more than it should."""

    def set(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"cannot store for maren@harbour-works.io, {WEBHOOK_SECRET}")


class ForgettingCache(LocMemCache):
    """Keeps nothing, and does not say so."""

    def set(self, *args: Any, **kwargs: Any) -> None:
        pass


def somebody(row: Any, user: Any) -> str:
    """A source of USER_FIELDS that has a mistake."""
    raise ZeroDivisionError


#: A root of URLs in which the slashless address belongs to somebody else.
urlpatterns = [path("clerk/webhook", set_language), path("clerk/", include("clerksync.urls"))]
