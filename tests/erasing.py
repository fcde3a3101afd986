"""A user with content in every table, for tests of what is left of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk
from tests import databases
from tests.deliveries import body_of, deliver
from tests.syncing import Syncer

#: Of the user's own; whoever reads the files must not find one of them.
VALUES = (
    "quillane@harbour-works.io",
    "old.quillane@harbour-works.io",
    "+4930555018273",
    "quillane_handle",
    "Quillane",
    "Brackwater-Oduya",
    "crm-77412-quillane",
    "likes kelp and lanterns",
    "Straße der Quillen 4",
)


def add_person(clerk: FakeClerk, *, events: bool = True) -> str:
    """A user whose values are in the row, in the payload and in events of all kinds; and three others."""
    clerk.create_users(3)
    user = clerk.create_user(
        first_name="Quillane", last_name="Brackwater-Oduya", email="old.quillane@harbour-works.io"
    )
    clerk_id: str = user["id"]
    Syncer(clerk).full()
    clerk.update_user(
        clerk_id,
        email="quillane@harbour-works.io",
        phone_number="+4930555018273",
        username="quillane_handle",
        external_id="crm-77412-quillane",
        public_metadata={"note": "likes kelp and lanterns"},
        unsafe_metadata={"address": {"street": "Straße der Quillen 4"}},
    )
    clerk.advance(seconds=60)
    Syncer(clerk).incremental()
    if events:
        send_events(clerk, clerk_id)
    clerk.advance(seconds=600)
    return clerk_id


def send_events(clerk: FakeClerk, clerk_id: str) -> None:
    """Events about the user: of the user, of a session, of a membership, and one that knows the address only."""
    user = next(user for user in clerk.users() if user["id"] == clerk_id)
    now = clerk.clock.now_ms()
    member = {"user_id": clerk_id, "identifier": "quillane@harbour-works.io", "first_name": "Quillane"}
    for event_type, data in (
        ("user.updated", user),
        ("session.created", {"object": "session", "id": "sess_1", "user_id": clerk_id, "user": user}),
        ("organizationMembership.created", {"id": "orgmem_1", "public_user_data": member}),
        ("organizationInvitation.created", {"id": "orginv_1", "email_address": "quillane@harbour-works.io"}),
        ("organization.created", {"id": "org_1", "name": "Harbour", "members": [clerk_id, "Quillane"]}),
    ):
        deliver(body_of(event_type, data, at=now, instance_id=clerk.instance_id))


def row(clerk_id: str) -> ClerkUser:
    """The row as it is now."""
    return ClerkUser.objects.get(pk=clerk_id)


def in_files(*values: str) -> set[str]:
    """Those of these values that stand in some file of the database: plain, or as JSON writes them."""
    forms = {form: value for value in values for form in _forms(value)}
    pattern = re.compile(b"|".join(re.escape(form) for form in forms))
    places = {path: set(pattern.findall(path.read_bytes())) for path in _files()}
    print(*(f"{_table_of(path)}: {len(found)}" for path, found in places.items() if found), sep="\n")  # noqa: T201  # shown if a test fails
    return {forms[form] for found in places.values() for form in found}


def _files() -> list[Path]:
    if connection.vendor == "sqlite":
        name = Path(settings.DATABASES["default"]["NAME"])
        return [path for path in name.parent.glob(f"{name.name}*") if path.is_file()]
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
        cursor.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
        directory = databases.directory() / "pg" / "base" / str(cursor.fetchone()[0])
    return [path for path in directory.iterdir() if path.is_file()]


def _table_of(path: Path) -> str:
    """The table, index or the like that is kept in a file of PostgreSQL's."""
    node = path.name.partition(".")[0].partition("_")[0]
    if connection.vendor != "postgresql" or not node.isdecimal():
        return path.name
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_filenode_relation(0, %s)::regclass", [node])
        return f"{path.name} ({cursor.fetchone()[0]})"


def _forms(value: str) -> set[bytes]:
    escaped: Any = value.encode("ascii", "backslashreplace").replace(b"\\xdf", b"\\u00df")
    return {value.encode(), escaped}
