"""``manage.py export_clerk_user``: all that is kept of a user."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from clerksync.models import ClerkUser, SyncRun
from clerksync.testing import FakeClerk
from tests.erasing import VALUES, add_person
from tests.links import linking_on

pytestmark = pytest.mark.django_db(transaction=True)


def export(clerk_id: str, *options: str) -> Any:
    """What is written to standard output."""
    out = io.StringIO()
    call_command("export_clerk_user", clerk_id, *options, stdout=out)
    return json.loads(out.getvalue() or "null")


def test_everything(clerk_server: FakeClerk) -> None:
    """The row, the payload, the events, syncs that name the user, and the Django user."""
    clerk_id = add_person(clerk_server)
    user = User.objects.create(username=clerk_id, first_name="Quillane", last_name="kept by the project")
    ClerkUser.objects.filter(pk=clerk_id).update(user=user)
    SyncRun.objects.filter(kind="full").update(skipped={clerk_id: "not readable"})
    with linking_on(first_name="first_name"):
        told = export(clerk_id)
    assert (told["row"]["email"], told["payload"]["username"]) == (
        "quillane@harbour-works.io",
        "quillane_handle",
    )
    assert {event["type"] for event in told["events"]} == {
        "user.updated", "session.created", "organizationMembership.created", "organization.created",
    }  # fmt: skip
    assert told["syncs"][0]["skipped"] == "not readable"
    assert (told["django_user"]["pk"], told["django_user"]["fields"]["first_name"]) == (user.pk, "Quillane")
    text = json.dumps(told, ensure_ascii=False)
    assert all(value in text for value in VALUES if not value.startswith("old."))


def test_syncs__wherever_they_name_the_user(clerk_server: FakeClerk) -> None:
    """Who was asked for by id, and where a sync stood, is told without the others whom that names."""
    ada, bea = clerk_server.create_users(2)
    call_command("sync_clerk_users", "--no-progress")
    call_command("sync_clerk_users", "--user", ada, "--no-progress")
    SyncRun.objects.filter(kind="users").update(options={"users": [ada, bea]})
    syncs = export(ada)["syncs"]
    assert [(sync["kind"], sync["named_in"]) for sync in syncs] == [
        ("full", ["checkpoint"]),
        ("users", ["options"]),
    ]
    assert bea not in json.dumps(syncs)


def test_odd_payload(clerk_server: FakeClerk) -> None:
    """What is nested too deeply to be written as JSON is written as the text that it is."""
    clerk_id = clerk_server.create_user()["id"]
    clerk_server.sync_users(clerk_id)
    ClerkUser.objects.update(payload_text='{"a": ' * 5000 + "1" + "}" * 5000)
    assert export(clerk_id)["payload"].startswith('{"a": {')


def test_output__a_new_file(clerk_server: FakeClerk, tmp_path: Path) -> None:
    """It can be a file, which nobody else may read and which is never overwritten."""
    clerk_id = clerk_server.create_user()["id"]
    clerk_server.sync_users(clerk_id)
    path = tmp_path / "export.json"
    assert export(clerk_id, "--output", str(path)) is None
    assert json.loads(path.read_text())["clerk_id"] == clerk_id
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="cannot be written: File exists"):
        export(clerk_id, "--output", str(path))


def test_unknown_id() -> None:
    """A misspelt id is told."""
    with pytest.raises(CommandError, match="nothing is kept of user_nobody") as caught:
        export("user_nobody")
    assert caught.value.returncode == 2
