"""``manage.py audit_clerk_users`` with what it mends: ``--fix``, ``--undo`` and other tables."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk
from tests.management.test_audit_clerk_users import audit, last_line
from tests.test_audit import pair, put, synced, tables

pytestmark = pytest.mark.django_db

TABLE = ("--model", "auth.User", "--clerk-id-field", "username", "--email-field", "email")
SETTING = [{"model": "auth.User", "clerk_id_field": "username", "email_field": "email"}]


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are made in the current directory."""
    monkeypatch.chdir(tmp_path)


def site_user(clerk: FakeClerk) -> tuple[str, str]:
    """A user whom the site knows by an invented address; the id and the real address."""
    one, _ = pair(clerk)
    User.objects.create(username=one, email=f"{one}@example.com")
    return one, ClerkUser.objects.get(pk=one).email or ""


def test_story__from_wrong_to_clean(clerk_server: FakeClerk) -> None:
    """54 users, 32 of them missing or made up here: 1, repaired, 0."""
    ids = clerk_server.create_users(54)
    synced(clerk_server)
    ClerkUser.objects.filter(pk__in=ids[:12]).delete()
    for clerk_id in ids[12:32]:
        put(clerk_id, email=f"{clerk_id}@example.com", first_name="New", last_name="User")
    status, out, _ = audit("--limit", "100")
    concerned = {clerk_id for clerk_id in ids if clerk_id in out}
    assert (status, concerned) == (1, set(ids[:32]))
    assert last_line(out) == "72 findings: 60 stale, 12 missing. Run: manage.py sync_clerk_users"
    status, out, _ = audit("--fix")
    assert (status, out.splitlines()[-3:]) == (
        0,
        [
            "72 findings: 60 stale, 12 missing.",
            "Of the users concerned were read by id: 12 created, 20 updated.",
            "Left: nothing.",
        ],
    )
    assert audit() == (0, "Clean: 54 users in Clerk and in the table, no placeholders.\n", "")


def test_fix__exit_status_tells_what_is_left(clerk_server: FakeClerk) -> None:
    """1 while anything is wrong that reading does not mend."""
    bad, remote = pair(clerk_server)
    clerk_server.update_user(remote, last_name="undefined")
    synced(clerk_server)
    put(bad, last_name="undefined")
    status, out, _ = audit("--fix")
    assert (status, last_line(out)) == (1, "Left: 1 finding: 1 remote.")


def test_fix__too_many_deletes(clerk_server: FakeClerk) -> None:
    """4, with what to do, and the summary is still whole."""
    ids = clerk_server.create_users(10)
    synced(clerk_server)
    for clerk_id in ids[:4]:
        clerk_server.delete_user(clerk_id)
    status, out, err = audit("--fix", "--format", "json")
    summary = json.loads(out)["summary"]
    assert (status, summary["complete"], summary["left"]["extra"]) == (4, False, 4)
    assert "--allow-deletes 4" in err


def test_fix__dry_run(clerk_server: FakeClerk) -> None:
    """1, every change on standard error, masked, and nothing written."""
    bad, _ = pair(clerk_server)
    put(bad, email="nobody@example.com")
    before = tables()
    status, out, err = audit("--fix", "--dry-run")
    assert (status, tables(), os.listdir()) == (1, before, [])
    assert last_line(out) == "Of the users concerned would be read by id: 1 updated."
    assert f"{bad} updated" in err
    assert "email: n***@example.com -> " in err


def test_fix__json(clerk_server: FakeClerk) -> None:
    """The summary says what was done."""
    bad, _ = pair(clerk_server)
    put(bad, email="nobody@example.com")
    status, out, _ = audit("--fix", "--format", "json")
    summary = json.loads(out)["summary"]
    assert (status, summary["repaired"], set(summary["left"].values())) == (0, {"updated": 1}, {0})


def test_model__by_options(clerk_server: FakeClerk) -> None:
    """Only the other table is looked at, without a request, and its values are masked."""
    one, _ = site_user(clerk_server)
    put(one, first_name=None)
    clerk_server.clear_requests()
    status, out, _ = audit(*TABLE)
    assert (status, clerk_server.requests) == (1, [])
    assert last_line(out) == (
        "1 finding: 1 stale. Run the same with --fix; --dry-run shows what that would do."
    )
    assert ("auth.User" in out, "u***@example.com" in out, f"{one}@" in out) == (True, True, False)


def test_model__what_no_repair_mends(clerk_server: FakeClerk) -> None:
    """Where the site has something else of its own, nothing is advised."""
    one, _ = site_user(clerk_server)
    User.objects.update(email="other@tidegate-press.com")
    User.objects.create(username="user_nobody", email="nobody@tidegate-press.com")
    status, out, _ = audit(*TABLE)
    assert (status, last_line(out)) == (
        1,
        "2 findings: 1 differs, 1 extra. What differs from the table of users, or is not in it, is yours to decide.",
    )
    status, out, _ = audit(*TABLE, "--fix")
    assert (status, last_line(out)) == (1, "Left: 2 findings: 1 differs, 1 extra.")
    assert User.objects.get(username=one).email == "other@tidegate-press.com"


def test_model__what_clerk_cannot_tell(clerk_server: FakeClerk) -> None:
    """Placeholders of which Clerk has no better value are called that."""
    one, _ = site_user(clerk_server)
    put(one, email=None)
    assert last_line(audit(*TABLE)[1]) == "1 finding: 1 placeholder. Clerk has nothing to put there."
    put(one, email="nobody@example.com")
    assert last_line(audit(*TABLE)[1]) == "1 finding: 1 remote. Correct them in Clerk; a sync cannot."


def test_model__fixed_and_taken_back(clerk_server: FakeClerk) -> None:
    """The command tells how to take the values back, which it does."""
    one, real = site_user(clerk_server)
    assert audit(*TABLE, "--fix", "--dry-run")[:2][0] == 1
    assert User.objects.get().email == f"{one}@example.com"
    status, out, err = audit(*TABLE, "--fix")
    (name,) = os.listdir()
    assert (status, err, User.objects.get().email) == (0, "", real)
    assert out.splitlines()[-3:] == [
        "In other tables were filled: 1, and not: 0.",
        f"Take the values back with: manage.py audit_clerk_users --undo {name}",
        "Left: nothing.",
    ]
    assert audit(*TABLE) == (0, "Clean: 1 rows of auth.User, no placeholders.\n", "")
    assert audit("--undo", name, "--dry-run") == (0, "1 values would be put back, 0 would be left.\n", "")
    assert audit("--undo", name) == (0, "1 values put back, 0 left.\n", "")
    assert User.objects.get().email == f"{one}@example.com"
    status, out, err = audit("--undo", name)
    assert (status, out) == (1, "0 values put back, 1 left.\n")
    assert "it was changed meanwhile" in err


def test_model__values_that_do_not_fit(clerk_server: FakeClerk) -> None:
    """They are named on standard error and left."""
    one, real = site_user(clerk_server)
    User.objects.create(username=real)
    row = User.objects.get(username=one)
    User.objects.filter(pk=row.pk).update(password=one, username=f"{one}@example.com")
    fields = ("--model", "auth.User", "--clerk-id-field", "password", "--email-field", "username")
    status, out, err = audit(*fields, "--fix", "--undo-file", "kept")
    assert (status, last_line(out)) == (1, "Left: 1 finding: 1 stale.")
    assert err == f"not filled: auth.User {row.pk} username (another row has this value)\n"


def test_setting__mirror_first(clerk_server: FakeClerk) -> None:
    """The mirror is mended before other tables are filled from it."""
    one, real = site_user(clerk_server)
    put(one, email="nobody@example.com")
    with override_settings(CLERKSYNC_AUDIT_MODELS=SETTING):
        status, out, _ = audit("--format", "json")
        told = json.loads(out)
        assert (status, {finding["model"] for finding in told["findings"]}) == (1, {None, "auth.User"})
        assert told["summary"]["rows_in_models"] == {"auth.User": 1}
        status, out, _ = audit("--fix", "--format", "json")
        summary = json.loads(out)["summary"]
        assert (status, summary["repaired"], summary["filled"]) == (0, {"updated": 1}, 1)
        assert User.objects.get().email == real
        assert summary["undo_file"] in os.listdir()
        clean = "Clean: 2 users in Clerk and in the table, 1 rows of auth.User, no placeholders.\n"
        assert audit() == (0, clean, "")


def test_setting__offline(clerk_server: FakeClerk) -> None:
    """Other tables are compared with the mirror, so Clerk need not be asked."""
    site_user(clerk_server)
    with override_settings(CLERKSYNC_AUDIT_MODELS=SETTING, CLERK_SECRET_KEY=""):
        assert audit("--offline")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--offline", "--fix"), "--offline and --fix do not go together"),
        (("--undo", "file", "--fix"), "--undo and --fix do not go together"),
        (("--undo", "file", "--offline"), "--undo and --offline do not go together"),
        (("--undo", "file", *TABLE), "--undo and --model do not go together"),
        (("--dry-run",), "--dry-run goes with --fix or --undo"),
        (("--undo-file", "file"), "--undo-file goes with --fix"),
        (("--email-field", "email"), "go with --model"),
        (("--model", "auth.User"), "clerk_id_field is missing"),
        (("--model", "shop.Buyer", "--clerk-id-field", "uid"), "there is no model 'shop.Buyer'"),
        ((*TABLE, "--name-field", "nickname"), "auth.User has no field 'nickname'"),
        (("--undo", "no-such-file"), "no-such-file: No such file or directory"),
        ((*TABLE, "--fix", "--undo-file", "there"), "there is there already"),
    ],
)
def test_status__wrong_use(arguments: tuple[str, ...], problem: str) -> None:
    """2, and what is wrong."""
    Path("there").touch()
    status, out, err = audit(*arguments)
    assert (status, out) == (2, "")
    assert problem in err


def test_status__file_that_cannot_be_made(clerk_server: FakeClerk) -> None:
    """2, and nothing was replaced."""
    one, _ = site_user(clerk_server)
    status, _, err = audit(*TABLE, "--fix", "--undo-file", "gone/undo")
    assert (status, err) == (2, "gone/undo: No such file or directory")
    assert User.objects.get().email == f"{one}@example.com"
