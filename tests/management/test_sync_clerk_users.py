"""``manage.py sync_clerk_users``: what it says, what it does not say, and how it ends."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from clerksync import leases
from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.testing import FakeClerk, every_shape, serve
from tests.syncing import COUNT, LISTS, differences, everything, small_pages, trap

pytestmark = pytest.mark.django_db

JSON_KEYS = {
    "kind", "instance", "environment", "dry_run", "resumed", "note", "seen", "created", "updated", "touched", "unchanged",
    "late", "deleted", "revived", "corrected", "doubted", "skipped", "missing", "missed", "delivered", "placeholders_replaced",
    "skipped_users", "in_doubt", "requests", "throttled", "seconds", "users_per_second", "error", "exit_status",
}  # fmt: skip


def sync(*arguments: str) -> tuple[int, str, str]:
    """The exit status, standard output and standard error of the command."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("sync_clerk_users", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), err.getvalue() + str(error)
    return 0, out.getvalue(), err.getvalue()


def sync_json(*arguments: str) -> dict[str, Any]:
    """What the command writes for machines."""
    found: dict[str, Any] = json.loads(sync("--format", "json", *arguments)[1])
    return found


@pytest.fixture
def clerk(clerk: FakeClerk) -> FakeClerk:
    """Users who are older than a minute, in a Clerk where doubts fall due while users are counted."""
    clerk.create_users(12)
    clerk.advance(seconds=60)
    clerk.fail("callback", call=lambda request: wait(clerk), times=None, on=COUNT)
    return clerk


def wait(clerk: FakeClerk) -> None:
    clerk.advance(seconds=10)


def test_summary(clerk: FakeClerk) -> None:
    """In words: what was seen and done, requests and time; nothing on standard error."""
    status, out, err = sync()
    assert (status, err, differences(clerk)) == (0, "", {})
    words = [line.split() for line in out.splitlines()]
    assert words[:5] == [
        ["seen", "12"],
        ["created", "12"],
        ["updated", "0"],
        ["unchanged", "0"],
        ["deleted", "0"],
    ]
    assert ["placeholders", "replaced", "0"] in words
    assert out.count("answered with 429") == 1


def test_json(clerk: FakeClerk) -> None:
    """For machines: every key, always, and nothing but JSON on standard output."""
    told = sync_json()
    assert told.keys() == JSON_KEYS
    assert (told["kind"], told["seen"], told["created"], told["error"], told["exit_status"]) == (
        "full",
        12,
        12,
        None,
        0,
    )
    assert (told["instance"], told["environment"]) == (clerk.instance_id, "development")
    single = sync_json("--user", "user_nobody")
    assert single.keys() == JSON_KEYS
    assert (single["kind"], single["exit_status"]) == ("users", 1)
    assert single["skipped_users"] == {"user_nobody": "neither in Clerk nor in the table"}


def test_json__of_a_failure(clerk: FakeClerk) -> None:
    """A run that failed is told as well, with its error and status."""
    clerk.fail("html", on=LISTS)
    status, out, err = sync("--format", "json")
    told = json.loads(out)
    assert status == told["exit_status"] == 1
    assert told["error"] == err
    assert "HTML" in err


def test_status__somebody_not_readable(clerk: FakeClerk) -> None:
    """1, and the user is named with the reason; all others are there."""
    odd = clerk.users()[4]["id"]
    clerk.set_raw(odd, b'{"id": "%s", "email_addresses": 7}' % odd.encode())
    status, _, err = sync()
    assert (status, ClerkUser.objects.active().count()) == (1, 11)
    assert f"1 users could not be read: {odd} (email_addresses" in err
    assert "1 users are in doubt and will be read again" in err


def test_status__no_key(clerk: FakeClerk, settings: Any) -> None:
    """2 without a key, with what to set."""
    settings.CLERK_SECRET_KEY = ""
    status, out, err = sync()
    assert (status, out) == (2, "")
    assert "CLERK_SECRET_KEY is empty" in err


def test_status__wrong_key(clerk: FakeClerk) -> None:
    """2 with a key that Clerk refuses; the key itself is not shown."""
    with override_settings(CLERK_SECRET_KEY="sk_test_of_somebody_else"):
        status, out, err = sync()
    assert (status, out) == (2, "")
    assert "401" in err
    assert "somebody_else" not in err


def test_status__another_sync(clerk: FakeClerk) -> None:
    """3 while another sync is at work; the message names it."""
    with leases.hold("full") as lease:
        status, out, err = sync()
    assert (status, out) == (3, "")
    assert lease.holder in err


def test_status__refused(clerk: FakeClerk) -> None:
    """4 when too many are gone; the command that the message gives then does it."""
    sync()
    for user in clerk.users()[:8]:
        clerk.delete_user(user["id"])
    status, _, err = sync()
    assert (status, ClerkUser.objects.deleted().count()) == (4, 0)
    assert "manage.py sync_clerk_users --allow-deletes 8" in err
    assert sync("--allow-deletes", "8")[0] == 0
    assert (ClerkUser.objects.deleted().count(), differences(clerk)) == (8, {})


def test_status__another_instance(clerk: FakeClerk) -> None:
    """4 when the key opens another instance, until told to take it."""
    sync()
    other = FakeClerk(seed=4, instance_id="ins_other", clock=clerk.clock, secret_key=clerk.secret_key)
    other.create_users(3)
    with serve(other) as served, override_settings(CLERK_API_URL=served.url):
        status, out, err = sync()
        assert (status, out) == (4, "")
        assert "--adopt-instance" in err
        sync("--adopt-instance", "--no-deletes")
    assert MirrorState.objects.get().instance_id == "ins_other"


def test_status__database_failed(clerk: FakeClerk) -> None:
    """1 with the database's own words, but without the row that it quotes."""
    small_pages(clerk)
    with trap(10):
        status, _, err = sync()
    assert (status, "the database failed: a full disk" in err) == (1, True)
    assert "maren" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rate", "0"],
        ["--rate", "fast"],
        ["--allow-deletes", "0"],
        ["--allow-deletes", "-3"],
        ["--format", "xml"],
        ["x"],
    ],
)
def test_arguments__refused(arguments: list[str]) -> None:
    """A wrong argument is refused before anything is asked or written."""
    status, out, err = sync(*arguments)
    assert (status, out) == (1, "")
    assert "rror" in err


def test_dry_run(clerk: FakeClerk) -> None:
    """It says that nothing was written, and it is true."""
    status, out, _ = sync("--dry-run")
    assert status == 0
    assert out.startswith(
        f"Key accepted: instance {clerk.instance_id}, development, 12 users. Nothing was written;"
    )
    assert everything() == [[], [], []]


def test_dry_run__in_detail(clerk: FakeClerk) -> None:
    """-v 2 shows old and new values of each user that would change, personal ones masked unless asked for."""
    sync()
    user = clerk.users()[0]
    clerk.update_user(user["id"], first_name="Jasmin", email="jasmin@harbour-works.io", banned=True)
    clerk.delete_user(clerk.users()[5]["id"])
    masked, shown = sync("--dry-run", "-v", "2")[1], sync("--dry-run", "-v", "2", "--show-values")[1]
    assert f"{user['id']} updated\n" in masked
    assert "  banned: False -> True\n" in masked
    assert "-> J***\n" in masked
    assert "-> j***@harbour-works.io\n" in masked
    assert "Jasmin" not in masked
    assert "-> Jasmin\n" in shown
    assert "-> jasmin@harbour-works.io\n" in shown
    assert masked.count(" deleted\n") == 1


def personal(clerk: FakeClerk) -> set[str]:
    """Whatever is secret or personal in Clerk."""
    found = {clerk.secret_key}
    for user in clerk.users():
        found |= {str(user[name]) for name in ("first_name", "last_name", "username", "external_id")}
        found |= {entry["email_address"] for entry in user["email_addresses"]}
        found |= {entry["phone_number"] for entry in user["phone_numbers"]}
        found |= {user.get("private_metadata", {}).get("customer", ""), user.get("image_url") or ""}
    return {text for text in found if len(text) > 3 and text != "None"}


@pytest.mark.parametrize(
    "arguments", [[], ["--dry-run"], ["--dry-run", "-v", "3"], ["-v", "2"], ["--format", "json"]]
)
def test_values__nothing_personal(clerk: FakeClerk, arguments: list[str]) -> None:
    """No output without --show-values holds a name, an address, a number, metadata or the key."""
    every_shape(clerk)
    for change in (None, "Changed", "Again"):
        for user in clerk.users()[:5] if change else ():
            clerk.update_user(user["id"], first_name=change, private_metadata={"customer": f"cus_{change}"})
        _, out, err = sync(*arguments)
        assert [text for text in personal(clerk) if text in out + err] == []
        sync()


def test_values__nothing_that_moves_the_cursor(clerk: FakeClerk) -> None:
    """Values are shown without control characters, whatever a user has put into them."""
    clerk.create_user(first_name="\x1b[31mred\r\n\u202eX")
    out = sync("--dry-run", "-v", "2", "--show-values")[1]
    assert "\\u001b[31mred\\u000d\\u000a\\u202eX" in out
    assert "\x1b" not in out


def test_user(clerk: FakeClerk) -> None:
    """Some users only; whoever is unknown is named."""
    ids = [user["id"] for user in clerk.users()]
    status, _, err = sync("--user", ids[0], "--user", ids[3], "--user", "user_nobody")
    assert (status, "user_nobody (neither in Clerk nor in the table)" in err) == (1, True)
    assert set(ClerkUser.objects.values_list("pk", flat=True)) == {ids[0], ids[3]}
    assert sync("--user", ids[0])[0] == 0


def test_no_deletes(clerk: FakeClerk) -> None:
    """--no-deletes leaves users alone whom Clerk no longer shows."""
    sync()
    clerk.delete_user(clerk.users()[0]["id"])
    assert sync("--no-deletes")[0] == 0
    assert not ClerkUser.objects.deleted().exists()
    assert sync()[0] == 0
    assert ClerkUser.objects.deleted().count() == 1


def test_force(clerk: FakeClerk) -> None:
    """--force mends columns that were changed past the mirror."""
    sync()
    ClerkUser.objects.update(banned=True)
    assert sync_json()["updated"] == 0
    assert sync_json("--force")["updated"] == 12
    assert differences(clerk) == {}


def test_placeholders(clerk: FakeClerk) -> None:
    """Placeholder data that gave way is counted."""
    sync()
    ClerkUser.objects.update(email="x@example.com")
    assert sync_json()["placeholders_replaced"] == 12


def test_resumed(clerk: FakeClerk) -> None:
    """The next call goes on where an outage cut the last one, and says so; --restart does not."""
    small_pages(clerk)
    for arguments, words in (((), "Resumed where"), (("--restart",), "seen")):
        SyncRun.objects.all().delete()
        clerk.fail("html", on=LISTS, after=1)
        assert sync()[0] == 1
        status, out, _ = sync(*arguments)
        assert (status, out.strip().startswith(words)) == (0, True)
    assert differences(clerk) == {}


def test_rate(clerk: FakeClerk, settings: Any) -> None:
    """--rate replaces the share of the settings."""
    settings.CLERKSYNC_RATE_LIMIT = 0.001
    assert sync("--rate", "1000")[0] == 0


def test_no_progress(clerk: FakeClerk) -> None:
    """Without progress Clerk is not asked how many users there are before they are read."""
    sync("--no-progress")
    assert [request.path for request in clerk.requests if request.path.endswith("/count")] == [
        "/v1/users/count"
    ]
    assert clerk.requests[0].path == "/v1/instance"


def test_incremental(clerk: FakeClerk) -> None:
    """The first one is full and says so; the next one reads who was changed, with one request."""
    status, out, _ = sync("--incremental")
    assert (status, out.splitlines()[0]) == (
        0,
        "No full sync has been completed yet, so this one was full.",
    )
    clerk.advance(seconds=300)
    clerk.create_user()
    told = sync_json("--incremental", "--allow-deletes", "3")
    assert (told["kind"], told["created"], told["note"], told["requests"]) == ("incremental", 1, "", 1)
    assert sync_json("--incremental", "--dry-run")["dry_run"] is True
    clerk.fail("order_ignored", times=None, on=LISTS)
    status, _, err = sync("--incremental")
    assert status == 1
    assert "Clerk ignored the order" in err


@pytest.mark.parametrize(
    "option", ["--pending", "--user=user_a", "--no-deletes", "--restart", "--force", "--adopt-instance"]
)
def test_incremental__not_with(clerk: FakeClerk, option: str) -> None:
    """What makes no sense together is refused before Clerk is asked anything."""
    status, _, err = sync("--incremental", option)
    assert (status, f"--incremental and {option.partition('=')[0]} do not go together" in err) == (2, True)
    assert clerk.requests == []


@pytest.mark.parametrize(
    ("chosen", "option"),
    [
        *(("--pending", option) for option in ("--user=user_a", "--no-deletes", "--restart", "--force")),
        *(("--user=user_a", option) for option in ("--no-deletes", "--restart")),
    ],
)
def test_by_id__not_with(clerk: FakeClerk, chosen: str, option: str) -> None:
    """What a read of some users would pass over is refused before Clerk is asked anything."""
    status, _, err = sync(chosen, option)
    pair = f"{chosen.partition('=')[0]} and {option.partition('=')[0]} do not go together"
    assert (status, pair in err, clerk.requests) == (2, True, [])


def test_user__force(clerk: FakeClerk) -> None:
    """Every column of this user is compared, also one that other code has written."""
    clerk_id = clerk.create_user(external_id="crm-1")["id"]
    sync()
    ClerkUser.objects.filter(pk=clerk_id).update(external_id="crm-2")
    sync("--user", clerk_id, "--force")
    assert ClerkUser.objects.get(pk=clerk_id).external_id == "crm-1"
