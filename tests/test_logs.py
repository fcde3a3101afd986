"""The log: every record has a name that stays, and none says anything about a person."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.db.models.signals import pre_save
from django.test import Client

from clerksync import alarms, linking, logs, mirror
from clerksync.logs import Log
from clerksync.models import ClerkUser, WebhookEvent
from clerksync.testing import FakeClerk
from project.defaults import BASE_DIR
from tests.deliveries import WEBHOOK_SECRET, body_of, changed, deleted, deliver, now_ms, post, signed
from tests.links import linking_on
from tests.syncing import LISTS, Syncer, change, trap

#: In every field that holds personal data; nothing else may look like it.
MARK = "zqxmark"

PACKAGE = BASE_DIR / "clerksync"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Every call that makes a record."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "testing" in path.parts or "migrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if (isinstance(owner, ast.Name) and (owner.id, node.func.attr) == ("quiet", "warn")) or (
                    isinstance(owner, ast.Name) and owner.id == "logger" and node.func.attr in LEVELS
                ):
                    yield path, node


def name_of(call: ast.Call) -> str:
    """The name that a call gives to its record."""
    for node in ast.walk(call):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Log":
            return node.attr
    return ""


def test_names__everywhere() -> None:
    """No record goes without one, and each name is used."""
    found = [(path, call.lineno, name_of(call)) for path, call in calls() if path.name != "quiet.py"]
    assert len(found) > 40
    assert [where for *where, name in found if not name] == []
    assert {name for *_, name in found} == {log.name for log in Log}


class Kept(logging.Handler):
    """Keeps all records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """Everything that clerksync logs, from DEBUG on."""
    logger, kept = logging.getLogger("clerksync"), Kept()
    before = logger.level
    logger.addHandler(kept)
    logger.setLevel(logging.DEBUG)
    yield kept.records
    logger.removeHandler(kept)
    logger.setLevel(before)


def text_of(record: logging.LogRecord) -> str:
    """All that any formatter could show of a record."""
    rest = {name: str(value) for name, value in vars(record).items()}
    shown = logging.Formatter().format(record)
    return f"{shown} {json.dumps(rest)} {record.args!r}"


def marked(clerk: FakeClerk, number: int = 1) -> dict[str, Any]:
    """A user who is full of the mark."""
    return {
        "first_name": f"{MARK}First",
        "last_name": f"{MARK}Last",
        "username": f"{MARK}_{number}",
        "external_id": f"{MARK}-ext-{number}",
        "public_metadata": {MARK: f"{MARK}\nWARNING forged"},
        "private_metadata": {"note": MARK},
        "unsafe_metadata": {"note": MARK},
    }


@pytest.mark.django_db(transaction=True)
def test_flows__no_person(
    clerk: FakeClerk, settings: Any, records: list[logging.LogRecord], client: Client
) -> None:
    """Syncs, webhooks, tokens, linking, audits and alarms, in good and bad times, log no personal data."""
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET
    ids = [
        clerk.create_user(email=f"{MARK}{number}@harbour-works.io", **marked(clerk, number))["id"]
        for number in range(6)
    ]
    syncer = Syncer(clerk)
    clerk.advance(seconds=600)
    assert syncer.full().error is None
    change(clerk, ids[:2])
    clerk.advance(seconds=300)
    clerk.fail(503, on=LISTS, times=1)
    syncer.incremental()
    for body in (
        changed(now_ms(), first_name=MARK, email_addresses=MARK),
        changed(now_ms() - 100_000, last_name=MARK),
        body_of("user.updated", {"id": ids[2], "first_name": MARK, "updated_at": MARK}),
        body_of("user.created", {"id": f"user_\n{MARK[:3]}", "object": "user"}),
        body_of("user.updated", {"object": "user", "first_name": MARK}),
        deleted(now_ms()),
    ):
        assert post(signed(body)).status_code == 200
    post(signed(changed(now_ms(), first_name=MARK), secret="whsec_b2Ygc29tZWJvZHkgZWxzZQ=="))
    client.get("/clerk/health/", headers=clerk.bearer(clerk.get(ids[4])))
    client.get("/clerk/health/", headers={"Authorization": f"Bearer {MARK}.{MARK}.{MARK}"})
    _link(ids)
    for arguments in (("audit_clerk_users",), ("sync_clerk_users", "--user", ids[0]), ("link_clerk_users",)):
        with suppress(CommandError, SystemExit):
            call_command(*arguments)
    alarms.evaluate()
    _break(syncer, ids)
    named = {getattr(record, "event", "") for record in records if record.name.startswith("clerksync")}
    assert named >= {
        "webhook_rejected",
        "webhook_parked",
        "webhook_not_recorded",
        "api_retried",
        "link_left",
        "link_failed",
    }
    for record in records:
        if record.name.startswith("clerksync"):
            assert getattr(record, "event", "") in set(Log), text_of(record)
            assert MARK not in text_of(record), text_of(record)
            assert "\n" not in record.getMessage()


def _link(ids: list[str]) -> None:
    """A Django user with the same address twice, and one that cannot be saved."""
    User.objects.create_user("a", email=f"{MARK}0@harbour-works.io")
    User.objects.create_user("b", email=f"{MARK}0@harbour-works.io")

    def refuse(sender: Any, instance: Any, **kwargs: Any) -> None:
        raise ValueError(instance.email)

    pre_save.connect(refuse, sender=User)
    try:
        with linking_on("verified_email"):
            for row in ClerkUser.objects.filter(pk__in=ids):
                linking.user_for(row)
            with suppress(CommandError, SystemExit):
                call_command("link_clerk_users", "--create")
    finally:
        pre_save.disconnect(refuse, sender=User)


def _break(syncer: Syncer, ids: list[str]) -> None:
    """A database that quotes a row in its words."""
    words = f"duplicate key\nDETAIL:  Key (email)=({MARK}@harbour-works.io) already exists."

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise DatabaseError(words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "apply", fail)
        assert post(signed(changed(now_ms(), clerk_id=ids[5], first_name=MARK))).status_code == 503
    change(syncer.clerk, ids)
    syncer.clerk.advance(seconds=300)
    with trap(7):
        syncer.full()


def test_injection(records: list[logging.LogRecord]) -> None:
    """What comes from outside is in one line, and cannot pass for a record of its own."""
    assert logs.clean("a\nWARNING b\x1b[2J\u2028") == "a\\u000aWARNING b\\u001b[2J\\u2028"
    assert len(logs.clean("x" * 10_000)) == 500


@pytest.mark.django_db(transaction=True)
def test_injection__by_events(settings: Any, records: list[logging.LogRecord]) -> None:
    """Ids of a hostile payload and of its headers are escaped."""
    settings.CLERK_WEBHOOK_SIGNING_SECRET = WEBHOOK_SECRET
    data = {"object": "user", "id": "user_x\nERROR forged"}
    assert deliver(body_of("user.updated", data, instance_id="ins_\r\nERROR forged")) in ("parked", "applied")
    assert WebhookEvent.objects.exists()
    parked = [record for record in records if getattr(record, "event", "") == "webhook_parked"]
    assert parked
    assert not any(set("\r\n") & set(record.getMessage()) for record in records)


def test_where__place_without_words() -> None:
    """An error is told by kind and place."""
    try:
        raise ValueError(MARK)
    except ValueError as error:
        text = logging.Formatter().formatException(logs.where(error))
    assert "ValueError" in text
    assert "test_where__place_without_words" in text
    assert f"({MARK})" not in text
    assert not text.rstrip().endswith(MARK)
