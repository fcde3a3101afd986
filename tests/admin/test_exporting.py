"""Exports of the list of users: streamed, filtered, and safe to open."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import AsyncClient, Client, override_settings
from django.test.utils import CaptureQueriesContext

from clerksync.admin.exporting import CHUNK
from clerksync.models import ClerkUser
from tests.admin.staff import LIST, add_user, html, log_in

pytestmark = pytest.mark.django_db

ALLOWED = ("view_clerkuser", "export_clerkuser")


def body(client: Client, kind: str, query: str = "") -> str:
    """What is downloaded."""
    response: Any = client.get(f"{LIST}export/{kind}/{query}")
    assert (response.status_code, response.streaming) == (200, True)
    return b"".join(response.streaming_content).decode()


def rows(client: Client, query: str = "") -> list[dict[str, str]]:
    """The rows of the CSV."""
    return list(csv.DictReader(io.StringIO(body(client, "csv", query))))


@pytest.mark.parametrize("permissions", [("view_clerkuser",), ("export_clerkuser",), ("change_clerkuser",)])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_permission__its_own(permissions: tuple[str, ...], kind: str) -> None:
    """It takes the permission to export, and the one to look; the list offers nothing to others."""
    client = log_in(*permissions)
    assert client.get(f"{LIST}export/{kind}/").status_code == 403
    if permissions != ("export_clerkuser",):
        assert "Export as" not in html(client, LIST)


def test_csv__columns(admin_client: Client) -> None:
    """Every column of Clerk's is in it; times are in ISO 8601, flags words, metadata JSON."""
    add_user("user_a", email="ada@harbour-works.io", banned=True, public_metadata={"plan": "pro"})
    (row,) = rows(admin_client)
    assert (row["clerk_id"], row["email"], row["banned"]) == ("user_a", "ada@harbour-works.io", "true")
    assert (row["locked"], row["phone_number"], row["public_metadata"]) == ("false", "", '{"plan": "pro"}')
    assert row["created_at"].startswith("20")
    assert row["created_at"].endswith("+00:00")
    assert "payload_text" not in row


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_csv__formulas(admin_client: Client, start: str) -> None:
    """A cell that a spreadsheet would take for a formula has an apostrophe in front."""
    add_user("user_a", first_name=f"{start}HYPERLINK(1)", last_name='="a",b')
    (row,) = rows(admin_client)
    assert (row["first_name"], row["last_name"]) == (f"'{start}HYPERLINK(1)", '\'="a",b')


def test_jsonl__objects(admin_client: Client) -> None:
    """One object a line, with the values as they are."""
    add_user("user_a", first_name="=SUM(1)", unsafe_metadata={"a": [1, None]})
    add_user("user_b", first_name="Zoë\n")
    told = [json.loads(line) for line in body(admin_client, "jsonl").splitlines()]
    assert {one["clerk_id"]: one["first_name"] for one in told} == {"user_a": "=SUM(1)", "user_b": "Zoë\n"}
    assert told[-1]["unsafe_metadata"] in ({"a": [1, None]}, {})


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_filtered__by_a_value_that_there_is_not(admin_client: Client, kind: str) -> None:
    """An address that was made by hand is a bad request, and no error that mails the admins."""
    add_user("user_a")
    assert admin_client.get(f"{LIST}export/{kind}/?banned__exact=zzz").status_code == 400
    assert admin_client.get(f"{LIST}export/{kind}/?nobody__exact=1").status_code == 400


def test_filtered__as_the_list(admin_client: Client) -> None:
    """Filters and the search decide whom it holds, however many pages there are."""
    add_user("user_a", email="ada@harbour-works.io", banned=True)
    add_user("user_b", email="bea@harbour-works.io")
    assert [row["clerk_id"] for row in rows(admin_client, "?banned__exact=1")] == ["user_a"]
    assert [row["clerk_id"] for row in rows(admin_client, "?q=bea@harbour-works.io")] == ["user_b"]
    assert f"{LIST}export/csv/?banned__exact=1" in html(admin_client, f"{LIST}?banned__exact=1")


def test_private_metadata__by_its_own_permission() -> None:
    """Without it the column is not there."""
    add_user("user_a", private_metadata={"note": "hush"})
    assert "private_metadata" not in rows(log_in(*ALLOWED))[0]
    User.objects.all().delete()
    client = log_in(*ALLOWED, "view_private_metadata")
    assert rows(client)[0]["private_metadata"] == '{"note": "hush"}'


def test_masked__for_those_who_may_only_look() -> None:
    """With CLERKSYNC_ADMIN_MASK an export shows no more than the list."""
    add_user("user_a", email="ada@harbour-works.io", first_name="Ada", public_metadata={"note": "hush"})
    with override_settings(CLERKSYNC_ADMIN_MASK=True):
        (row,) = rows(log_in(*ALLOWED, "view_private_metadata"))
    assert (row["email"], row["first_name"]) == ("a***@harbour-works.io", "A***")
    assert not {"public_metadata", "private_metadata", "unsafe_metadata"} & row.keys()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_streamed__constant_statements(admin_client: Client, kind: str) -> None:
    """Many users cost no more statements than few, and come in pieces."""
    users = [ClerkUser(clerk_id=f"user_{number:05}", first_seen="2026-01-01T00:00Z",
                       last_written="2026-01-01T00:00Z", created_ms=number) for number in range(3 * CHUNK)]  # fmt: skip
    ClerkUser.objects.bulk_create(users)
    with CaptureQueriesContext(connection) as queries:
        response: Any = admin_client.get(f"{LIST}export/{kind}/")
        pieces = list(response.streaming_content)
    assert len(pieces) >= 3
    assert b"".join(pieces).count(b"user_") == 3 * CHUNK
    assert (
        len([one for one in queries if 'FROM "clerksync_clerkuser"' in one["sql"]]) <= 6
    )  # the list's own, and one


def test_headers__not_cached(admin_client: Client) -> None:
    """A download with a name, which no cache keeps."""
    response = admin_client.get(f"{LIST}export/csv/")
    assert response["Content-Disposition"].startswith('attachment; filename="clerk-users-20')
    assert "no-store" in response["Cache-Control"]
    assert response["X-Content-Type-Options"] == "nosniff"


def test_post__refused(admin_client: Client) -> None:
    """It changes nothing, and is not to be posted to."""
    assert admin_client.post(f"{LIST}export/csv/").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_asgi__streamed() -> None:
    """Under ASGI the pieces are not collected before the first is sent."""
    add_user("user_a", first_name="Ada")
    client = AsyncClient()
    client.cookies = log_in(*ALLOWED).cookies

    async def download() -> str:
        response: Any = await client.get(f"{LIST}export/jsonl/")
        assert response.is_async
        text = b"".join([piece async for piece in response.streaming_content]).decode()
        await sync_to_async(connections.close_all)()  # those of the thread that the view was run in
        return text

    assert json.loads(asyncio.run(download()))["first_name"] == "Ada"
