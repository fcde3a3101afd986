"""``manage.py audit_clerk_users``."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from clerksync.models import ClerkUser, MirrorState
from clerksync.testing import FakeClerk, every_shape
from tests.test_audit import pair, put, synced, tables

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]


def audit(*arguments: str) -> tuple[int, str, str]:
    """The exit status, standard output and standard error of the command."""
    out, err = io.StringIO(newline=""), io.StringIO()
    status = 0
    try:
        call_command("audit_clerk_users", *arguments, stdout=out, stderr=err)
    except SystemExit as ended:
        status = int(ended.code or 0)
    except CommandError as error:
        status = error.returncode
        err.write(str(error))
    return status, out.getvalue(), err.getvalue()


def last_line(text: str) -> str:
    """The result in words."""
    return text.splitlines()[-1]


def cells(text: str) -> list[list[str]]:
    """The rows of a CSV, without its header."""
    return list(csv.reader(io.StringIO(text, newline="")))[1:]


def test_status__clean(clerk_server: FakeClerk) -> None:
    """0, one line in words, and nothing on standard error."""
    every_shape(clerk_server)
    synced(clerk_server)
    clean = "Clean: 54 users in Clerk and in the table, no placeholders.\n"
    assert audit() == (0, clean, "")


def test_status__findings(clerk_server: FakeClerk) -> None:
    """1, a table, and in words what was found and what to do; nothing is written."""
    ids = clerk_server.create_users(60)
    synced(clerk_server)
    ClerkUser.objects.filter(pk__in=ids[:20]).delete()
    for clerk_id in ids[20:31]:
        put(clerk_id, email="nobody@example.com")
    clerk_server.delete_user(ids[40])
    before = tables()
    status, out, err = audit()
    assert (status, err, tables()) == (1, "", before)
    assert last_line(out) == ("32 findings: 20 missing, 11 stale, 1 extra. Run: manage.py sync_clerk_users")
    assert all(out.count(clerk_id) == 1 for clerk_id in (*ids[:31], ids[40]))


def test_status__skipped(clerk_server: FakeClerk) -> None:
    """1 also when nothing was found, but not everybody could be read; they are named."""
    odd, _ = pair(clerk_server)
    clerk_server.put_user(clerk_server.get(odd) | {"email_addresses": "none"})
    status, out, err = audit()
    assert (status, odd in err) == (1, True)
    assert last_line(out) == (
        "No findings: 2 users in Clerk and in the table, no placeholders. 1 users could not be read."
    )


@pytest.mark.parametrize(
    ("fault", "on"),
    [(403, "GET /v1/instance"), ("empty_list", "GET /v1/users"), ("html", "GET /v1/users/count")],
)
def test_status__clerk_fails(clerk_server: FakeClerk, fault: str | int, on: str) -> None:
    """2 for every error of Clerk's, so that it is not taken for findings."""
    pair(clerk_server)
    clerk_server.fail(fault, times=None, on=on)
    status, out, err = audit()
    assert (status, out, bool(err)) == (2, "", True)


def test_status__key_rejected(clerk_server: FakeClerk) -> None:
    """2 for a wrong key."""
    clerk_server.secret_key = "sk_test_another"
    assert audit()[0] == 2


def test_status__no_key() -> None:
    """2 without a key, but the table alone can be audited."""
    with override_settings(CLERK_SECRET_KEY=""):
        assert audit()[0] == 2
        assert audit("--offline")[0] == 0


def test_status__wrong_use() -> None:
    """2 for arguments that make no sense."""
    done = subprocess.run(
        [sys.executable, "manage.py", "audit_clerk_users", "--limit", "-1"],
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")


def test_status__wrong_instance(clerk_server: FakeClerk) -> None:
    """4, and nobody is called extra."""
    pair(clerk_server)
    MirrorState.objects.create(pk=1, instance_id="ins_other")
    status, out, err = audit()
    assert (status, out, "ins_other" in err) == (4, "", True)


def test_table__limit(clerk_server: FakeClerk) -> None:
    """Only so many rows are shown; the others are counted."""
    ids = clerk_server.create_users(7)
    status, out, _ = audit("--limit", "3")
    assert [clerk_id in out for clerk_id in ids] == [True] * 3 + [False] * 4
    assert out.splitlines()[-2:] == [
        "4 more are not shown; see all with --limit 7.",
        "7 findings: 7 missing. Run: manage.py sync_clerk_users",
    ]
    assert status == 1


@pytest.mark.parametrize("format", ["table", "csv", "json"])
def test_values__masked_unless_asked_for(clerk_server: FakeClerk, format: str) -> None:
    """Of an address the first letter and the domain are shown, of a name the first letter."""
    bad, _ = pair(clerk_server)
    put(bad, email="marentje@example.com", first_name="Undefined", last_name="undefined")
    masked, shown = audit("--format", format)[1], audit("--format", format, "--show-values")[1]
    assert "m***@example.com" in masked
    assert "U***" in masked
    assert "marentje" not in masked
    assert "Undefined" not in masked
    assert "marentje@example.com" in shown
    assert "Undefined" in shown


def test_table__hostile_values(clerk_server: FakeClerk) -> None:
    """A value neither moves the cursor nor counts as markup, masked or not."""
    bad, _ = pair(clerk_server)
    put(bad, email="\x1b[2J[red]x@\x1b[2J.example.com")
    for arguments in ((), ("--show-values",)):
        out = audit(*arguments)[1]
        assert "\x1b" not in out
        assert ("[red]" in out) is bool(arguments)


def test_table__advice(clerk_server: FakeClerk) -> None:
    """What a sync cannot mend is not to be synced."""
    bad, _ = pair(clerk_server)
    put(bad, last_name="undefined")
    assert last_line(audit("--offline")[1]) == (
        "1 finding: 1 placeholder. Run the audit without --offline to compare them with Clerk."
    )
    clerk_server.update_user(bad, last_name="undefined")
    assert last_line(audit()[1]) == "1 finding: 1 remote. Correct them in Clerk; a sync cannot."
    clerk_server.put_user(clerk_server.get(bad) | {"email_addresses": "none"})
    assert last_line(audit()[1]) == (
        "1 finding: 1 placeholder. What Clerk holds of these users could not be read. "
        "1 users could not be read."
    )


def test_json__keys(clerk_server: FakeClerk) -> None:
    """One object: the summary and the findings, every key always there."""
    bad, _ = pair(clerk_server)
    put(bad, email=None)
    status, out, _ = audit("--format", "json")
    told: dict[str, Any] = json.loads(out)
    assert told["findings"] == [
        {
            "clerk_id": bad,
            "kind": "stale",
            "reason": "empty",
            "field": "email",
            "value": None,
            "cause": "changed_past_the_mirror",
            "model": None,
            "pk": None,
        }
    ]
    seconds, requests = told["summary"].pop("seconds"), told["summary"].pop("requests")
    assert (status, seconds >= 0, requests > 0) == (1, True, True)
    assert told["summary"] == {
        "complete": True,
        "instance": clerk_server.instance_id,
        "users_in_clerk": 2,
        "users_in_table": 2,
        "rows_in_models": {},
        "counts": {
            "missing": 0,
            "stale": 1,
            "behind": 0,
            "differs": 0,
            "local-ahead": 0,
            "extra": 0,
            "remote": 0,
            "placeholder": 0,
        },
        "skipped": 0,
        "skipped_users": {},
        "dry_run": False,
        "repaired": None,
        "filled": None,
        "not_filled": 0,
        "not_filled_values": {},
        "left": None,
        "undo_file": None,
    }


def test_json__several_and_none(clerk_server: FakeClerk) -> None:
    """It is JSON with any number of findings."""
    assert json.loads(audit("--format", "json")[1])["findings"] == []
    ids = clerk_server.create_users(3)
    told = json.loads(audit("--format", "json")[1])
    assert [finding["clerk_id"] for finding in told["findings"]] == ids


def test_json__audit_that_breaks_off(clerk_server: FakeClerk) -> None:
    """What was found is told as whole JSON that says that there may be more."""
    clerk_server.create_users(3)
    clerk_server.fail("count_wrong", by=100, on="GET /v1/users/count")
    status, out, err = audit("--format", "json")
    told = json.loads(out)
    assert (status, len(told["findings"]), told["summary"]["complete"]) == (2, 3, False)
    assert "Clerk counts 103 users" in err


def test_csv__header(clerk_server: FakeClerk) -> None:
    """The header is there without findings, too."""
    assert audit("--format", "csv") == (0, "clerk_id,kind,reason,field,value,cause,model,pk\r\n", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_csv__formula(clerk_server: FakeClerk, start: str) -> None:
    """No cell is a formula for a spreadsheet."""
    bad, other = pair(clerk_server)
    put(bad, email=f"{start}cmd|' /C calc'!A0@example.com")
    put(other, email="'=quoted@example.com")
    out = audit("--format", "csv", "--show-values")[1]
    values = {clerk_id: value for clerk_id, _, _, _, value, *_ in cells(out)}
    assert values == {bad: f"'{start}cmd|' /C calc'!A0@example.com", other: "'=quoted@example.com"}
    assert all(row[4][0] == "'" for row in cells(out))


def test_progress__goes_to_standard_error(clerk_server: FakeClerk) -> None:
    """Standard output holds the result alone."""
    clerk_server.create_users(10_500)
    status, out, err = audit("--format", "csv")
    assert (status, len(cells(out))) == (1, 10_500)
    assert err.endswith(" users\n")
