"""``manage.py clerk_status``: one line or JSON, and a status that a probe can go by."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.models import F

from clerksync.models import MirrorState
from clerksync.testing import FakeClerk
from project.defaults import BASE_DIR
from tests import processes
from tests.syncing import Syncer

pytestmark = pytest.mark.django_db


def ask(*arguments: str) -> tuple[int, str]:
    """The exit status and what the command said."""
    out = io.StringIO()
    try:
        call_command("clerk_status", *arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_text(clerk: FakeClerk) -> None:
    """0 in step, 1 behind, 2 broken; one line each; Clerk is not asked."""
    assert ask() == (2, "No full sync has been completed yet. Run: manage.py sync_clerk_users.\n")
    clerk.create_users(3)
    Syncer(clerk).full()
    clerk.clear_requests()
    status, said = ask()
    assert (status, said.startswith("In step. "), said.count("\n")) == (0, True, 1)
    MirrorState.objects.update(deletes_as_of=F("deletes_as_of") - timedelta(days=2))
    status, said = ask()
    assert (status, said.startswith("No full sync has looked for deleted users since ")) == (1, True)
    assert clerk.requests == []


def test_json(clerk: FakeClerk) -> None:
    """The same for machines."""
    status, said = ask("--format", "json")
    told = json.loads(said)
    assert (status, told["state"], told["reasons"][0]["code"]) == (2, "broken", "never_synced")


def test_process__without_a_database(tmp_path: Path) -> None:
    """In a project whose database is not there, and whose settings have errors, it still answers."""
    variables = processes.PRODUCTION | {
        "DATABASE_URL": f"sqlite:///{tmp_path}/missing/db.sqlite3",
        "CLERKSYNC_MAX_DELETE": "3",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "clerk_status"],
        cwd=BASE_DIR,
        env=variables,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (
        2,
        "The database cannot be reached (OperationalError). Run: manage.py check --database default.\n",
    )
    assert "Traceback" not in done.stderr
