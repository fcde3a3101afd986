"""All that is kept of one user, for whoever has a right to see it."""

from __future__ import annotations

import json
from functools import reduce
from operator import or_
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from clerksync import __version__, mirror
from clerksync.conf import settings
from clerksync.models import ClerkUser, ClerkUserChange, SyncRun, WebhookEvent
from clerksync.userfields import has_column

Json = dict[str, Any]

#: What of a sync may name users: who was asked for, who was not readable, and where it stood.
_OF_RUNS = ("options", "skipped", "checkpoint")


def disclose(clerk_id: str) -> Json:
    """What our tables hold of a user, as JSON with datetimes in it; nothing is left out or masked."""
    user = ClerkUser.objects.using(mirror.database()).filter(pk=clerk_id).select_related("user").first()
    return {
        "clerk_id": clerk_id,
        "at": timezone.now(),
        "version": __version__,
        "row": None if user is None else _row(user),
        "payload": None if user is None else _content(user.payload_text),
        "events": [_event(event) for event in _events(clerk_id)],
        "history": [_change(change) for change in _history(clerk_id)],
        "syncs": [_run(run, clerk_id) for run in _runs(clerk_id)],
        "django_user": None if user is None or user.user is None else _django_user(user.user),
    }


def _row(user: ClerkUser) -> Json:
    names = [field.attname for field in ClerkUser._meta.concrete_fields if field.name != "payload_text"]
    return {name: getattr(user, name) for name in names}


def _events(clerk_id: str) -> Any:
    """The events about the user, by index, and those whose content names the id."""
    about = Q(object_id=clerk_id) | Q(user_id=clerk_id) | Q(payload_text__contains=clerk_id)
    return WebhookEvent.objects.filter(about).order_by("received_at", "pk").iterator(chunk_size=200)


def _event(event: WebhookEvent) -> Json:
    names = ("svix_id", "type", "object_id", "state", "reason", "occurred_at", "received_at")
    return {name: getattr(event, name) for name in names} | {"payload": _content(event.payload_text)}


def _content(text: str | None) -> Any:
    """What a text of JSON says; the text itself if it is nested too deeply to be written again."""
    if text is None:
        return None
    try:
        value = json.loads(text)
        json.dumps(value, indent=2)
    except (ValueError, RecursionError):
        return text
    return value


def _history(clerk_id: str) -> Any:
    changes = ClerkUserChange.objects.using(mirror.database()).filter(clerk_id=clerk_id)
    return changes.order_by("revision").iterator(chunk_size=200)


def _change(change: ClerkUserChange) -> Json:
    names = ("revision", "outcome", "source", "provenance", "at_ms", "written_at", "fields")
    return {name: getattr(change, name) for name in names}


def _runs(clerk_id: str) -> Any:
    texts = {f"{name}_as_text": Cast(name, TextField()) for name in _OF_RUNS}
    named = reduce(or_, (Q(**{f"{name}__contains": clerk_id}) for name in texts))
    runs = SyncRun.objects.annotate(**texts).filter(named | Q(error__contains=clerk_id))
    return runs.order_by("started_at", "pk").iterator(chunk_size=200)


def _run(run: Any, clerk_id: str) -> Json:
    """What a sync says of the user; of where else it names the id only that it does, for others are named there."""
    return {
        "kind": run.kind,
        "started_at": run.started_at,
        "named_in": [name for name in _OF_RUNS if clerk_id in getattr(run, f"{name}_as_text")],
        "skipped": run.skipped.get(clerk_id),
        "error": run.error if clerk_id in run.error else "",
    }


def _django_user(user: Any) -> Json:
    """The linked user's key, and the fields that we fill; what else the project keeps is its own to tell."""
    model: Any = get_user_model()
    own = ("first_name", "last_name", "is_active", model.get_email_field_name(), model.USERNAME_FIELD)
    names = dict.fromkeys((*own, *settings.USER_FIELDS))
    fields = {name: getattr(user, name) for name in names if has_column(model, name)}
    return {"model": model._meta.label, "pk": user.pk, "fields": fields}
