"""What is asked of a large table: pages and answers by group; one more group is one more pair of figures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.test.utils import override_settings

from tests.benchmarks.filling import clerk_id, email

Ask = Callable[[], object]

#: 503: ``health`` tells of users in doubt and of events that wait, as there are.
_ANSWERED = (200, 503)
_USERS, _EVENTS, _API = "/admin/clerksync/clerkuser/", "/admin/clerksync/webhookevent/", "/api/users/"


def _cursor(number: int) -> str:
    """Of the API's page behind this user, in the order of ids."""
    said = json.dumps(["clerk_id", clerk_id(number), None, False], separators=(",", ":"))
    return base64.urlsafe_b64encode(said.encode()).rstrip(b"=").decode()


#: The group whose pages take other queries where many fit, and how many those may be at the most.
SEARCH, SEARCH_QUERIES = "search for users", 60
#: Titles of figures, and the addresses that each is made of.
PAGES: Mapping[str, Mapping[str, str]] = {
    "admin list of users": {
        "first page": _USERS,
        "last page": f"{_USERS}?p=100",
        "deleted": f"{_USERS}?state__exact=deleted",
        "incomplete": f"{_USERS}?state__exact=incomplete",
        "banned": f"{_USERS}?banned__exact=1",
        "not verified": f"{_USERS}?email_verified__exact=0",
        "with e-mail": f"{_USERS}?has_email=yes",
        "without e-mail": f"{_USERS}?has_email=no",
        "in doubt": f"{_USERS}?needs_refresh=yes",
        "not in doubt": f"{_USERS}?needs_refresh=no",
        "placeholders": f"{_USERS}?placeholder=found",
        "of a year": f"{_USERS}?created=2026",
        "two filters": f"{_USERS}?state__exact=deleted&has_email=no",
        "few of a filter in doubt": f"{_USERS}?needs_refresh=yes&banned__exact=1",
        "one user": f"{_USERS}{clerk_id(777).replace('_', '_5F')}/change/",
    },
    SEARCH: {
        "an id": f"{_USERS}?q={clerk_id(777)}",
        "beginning of an id": f"{_USERS}?q={clerk_id(777_000)[:-3]}",
        "an address": f"{_USERS}?q={email(777)}",
        "beginning of an address": f"{_USERS}?q=first7.77",
        "a username": f"{_USERS}?q=name778",
        "an external id": f"{_USERS}?q=customer-777",
        "a first name": f"{_USERS}?q=First7",
        "a last name": f"{_USERS}?q=Last77",
        "a full name": f"{_USERS}?q=First7+Last7",
        "a full name, turned": f"{_USERS}?q=last777+first27",
        "a name and an address": f"{_USERS}?q=Last777+first27.7",
        "three words": f"{_USERS}?q=First7+Last7+name7",
        "what all have": f"{_USERS}?q=First+Last",
        "what all have but one word": f"{_USERS}?q=First+Last+nobody",
        "one letter": f"{_USERS}?q=f",
        "a name in a filter": f"{_USERS}?q=First7+Last7&state__exact=deleted",
        "nobody": f"{_USERS}?q=nobody-at-all",
        "nobody by two words": f"{_USERS}?q=nobody+at-all",
        "nobody of a first name": f"{_USERS}?q=First7+nobody",
        "nobody of a last name": f"{_USERS}?q=Last77+nobody",
        "an address in the API": f"{_API}?search={email(777)}",
        "a full name in the API": f"{_API}?search=First7+Last7",
        "a full name in the API, by id": f"{_API}?search=First7+Last7&ordering=clerk_id",
        "nobody in the API": f"{_API}?search=nobody+at-all",
    },
    "admin list of events": {
        "first page": _EVENTS,
        "last page": f"{_EVENTS}?p=100",
        "parked": f"{_EVENTS}?state__exact=parked",
        "ignored": f"{_EVENTS}?state__exact=ignored",
        "applied": f"{_EVENTS}?state__exact=applied",
        "of a type": f"{_EVENTS}?type=user.created",
        "of a type that there is not": f"{_EVENTS}?type=user.vanished",
        "applied of a type": f"{_EVENTS}?state__exact=applied&type=session.created",
        "parked of a type": f"{_EVENTS}?state__exact=parked&type=user.created",
        "of an hour": f"{_EVENTS}?received=hour",
        "of a day": f"{_EVENTS}?received=day",
        "of a user": f"{_EVENTS}?q={clerk_id(777)}",
        "by its Svix id": f"{_EVENTS}?q={clerk_id(777).replace('user', 'msg')}",
        "of nobody": f"{_EVENTS}?q=nobody-at-all",
        "runs": "/admin/clerksync/syncrun/",
        "failed runs": "/admin/clerksync/syncrun/?state__exact=failed",
        "rejected deliveries": "/admin/clerksync/rejecteddeliveries/",
    },
    "admin page Clerk sync": {"Clerk sync": "/admin/clerksync/mirrorstate/", "index": "/admin/"},
    "API list of users": {
        "first page": _API,
        "by id": f"{_API}?ordering=clerk_id",
        "far behind": f"{_API}?ordering=clerk_id&cursor={_cursor(500_000)}",
        "oldest first": f"{_API}?ordering=created_at",
        "200 at once": f"{_API}?page_size=200",
        "deleted": f"{_API}?state=deleted",
        "incomplete": f"{_API}?state=incomplete",
        "banned": f"{_API}?banned=true",
        "banned by id": f"{_API}?banned=true&ordering=clerk_id",
        "none by id": f"{_API}?state=incomplete&ordering=clerk_id",
        "unverified": f"{_API}?email_verified=false",
        "in doubt": f"{_API}?needs_refresh=true",
        "in doubt by id": f"{_API}?needs_refresh=true&ordering=clerk_id",
        "of a time": f"{_API}?created_after=2026-01-01&created_before=2026-02-01",
        "of a time by id": f"{_API}?created_after=2026-03-01T00:00&created_before=2026-03-02&ordering=clerk_id",
        "the latest by id": f"{_API}?created_after=2026-11-01&ordering=clerk_id",
        "of an address": f"{_API}?email={email(777)}",
        "of a username": f"{_API}?username=name778",
        "of an external id": f"{_API}?external_id=customer-777",
        "one user": f"{_API}{clerk_id(777)}/",
    },
    "health/ and metrics/": {"health": "/clerk/health/", "metrics": "/clerk/metrics/"},
}


def questions(client: Client) -> dict[str, dict[str, Ask]]:
    """What is asked, by title and name."""
    pages = {
        title: {name: _page(client, address) for name, address in group.items()}
        for title, group in PAGES.items()
    }
    return {**pages, "clerk_status": {"clerk_status": _status}}


def staff() -> Client:
    """Somebody who may see everything."""
    client = Client(raise_request_exception=True)
    known = User.objects.filter(username="rhona").first()
    client.force_login(known or User.objects.create_superuser("rhona"))
    return client


def _page(client: Client, address: str) -> Ask:
    def ask() -> None:
        with override_settings(CLERKSYNC_METRICS_NETWORKS=("127.0.0.0/8",)):
            response = client.get(
                address, follow=True
            )  # the admin's answer to a page that a small table lacks
        if response.status_code not in _ANSWERED:
            raise AssertionError(f"{address}: {response.status_code} {response.content[:300]!r}")

    return ask


def _status() -> None:
    with suppress(SystemExit):  # for the same
        call_command("clerk_status", stdout=io.StringIO())
