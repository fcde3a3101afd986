"""Members of the staff, and users for them to look at."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from clerksync.models import ClerkUser

LIST = "/admin/clerksync/clerkuser/"
RUNS = "/admin/clerksync/syncrun/"


def log_in(*permissions: str, **values: Any) -> Client:
    """A client of a member of the staff with these permissions."""
    user = User.objects.create_user("rhona", **{"is_staff": True} | values)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def add_user(clerk_id: str, **columns: Any) -> ClerkUser:
    """A user in the table, as if it had been synced."""
    now = timezone.now()
    synced = {"state": "active", "created_at": now, "created_ms": int(now.timestamp() * 1000)}
    return ClerkUser.objects.create(
        clerk_id=clerk_id, **{**synced, "first_seen": now, "last_written": now, **columns}
    )


def page_of(clerk_id: str) -> str:
    """The address of a user's page."""
    return f"{LIST}{clerk_id.replace('_', '_5F')}/change/"


def listed(client: Client, query: str = "") -> list[str]:
    """The ids in the list, in their order."""
    return [user.pk for user in client.get(LIST + query).context["cl"].result_list]


def html(client: Client, address: str) -> str:
    """The page at an address that must be there."""
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def field(page: str, name: str) -> str:
    """What the reader sees in a column or a field; of the first row if there are several."""
    match = re.search(
        rf'(?:<t[dh] class="|form-row )field-{name}[" ].*?>(.*?)(?:</t[dh]>|\n *</div>)', page, re.DOTALL
    )
    assert match is not None, name
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", match[1])).split())


def read_again(client: Client, *clerk_ids: str, **data: str) -> list[tuple[str, str]]:
    """Run the action on these users; returns its messages with their levels."""
    chosen = {"action": "read_users_again", "_selected_action": clerk_ids, "index": "0", **data}
    return told(client.post(LIST, chosen))


def told(response: Any) -> list[tuple[str, str]]:
    """The messages of a response with their levels."""
    return [(message.level_tag, str(message)) for message in get_messages(response.wsgi_request)]
