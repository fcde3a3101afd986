"""The client against the fake Clerk, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from clerksync.answers import Page
from clerksync.client import ClerkClient, Instance
from clerksync.exceptions import (
    ClerkRejected,
    FilterIgnored,
    InvalidResponse,
    KeyRejected,
    NotFound,
    PayloadError,
    SyncIncomplete,
)
from clerksync.testing import FakeClerk, Request, VirtualClock
from clerksync.throttle import Throttle
from tests.clocks import VirtualTime


@dataclass(frozen=True)
class User:
    """A user as a walk sees them."""

    clerk_id: str
    created_ms: int | None


def decode(page: Page) -> list[User]:
    return [User(user["id"], user["created_at"]) for user in json.loads(page.body)]


@pytest.fixture
def client(clerk_server: FakeClerk) -> Iterator[ClerkClient]:
    """A client whose waits pass at once."""
    throttle = Throttle(rate=1_000_000, scope="tests", clock=VirtualTime().clock)
    with ClerkClient(throttle=throttle) as client:
        yield client


def walk_ids(client: ClerkClient, **options: Any) -> list[str]:
    pages = client.iter_pages(decode=decode, **options)
    return [user.clerk_id for page in pages for user in page.items]


def test_client__no_key(settings: Any) -> None:
    """Without a key nothing is asked: the error says what to set."""
    settings.CLERK_SECRET_KEY = ""
    with pytest.raises(ImproperlyConfigured, match=r"CLERK_SECRET_KEY is empty: set it to a secret key"):
        ClerkClient()


@pytest.mark.parametrize("key", ["sk_test_with a space", "sk_test_line\n", "sk_test_é"])
def test_client__key_that_is_none(key: str) -> None:
    """A key that no header can carry is refused before http.client quotes it in an error."""
    with pytest.raises(ImproperlyConfigured) as caught:
        ClerkClient(secret_key=key)
    assert key.strip() not in str(caught.value)


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_client__api_url(clerk_server: FakeClerk, settings: Any, ending: str) -> None:
    """The URL may end in /v1, in a slash, in both or in none."""
    with ClerkClient(api_url=settings.CLERK_API_URL + ending) as client:
        assert client.count() == 0
    assert clerk_server.requests[0].path == "/v1/users/count"


@pytest.mark.parametrize(
    "url",
    ["", "api.clerk.com", "ftp://api.clerk.com", "https://", "https://me:word@clerk.test", "https://a?b"],
)
def test_client__api_url_that_is_none(url: str) -> None:
    """What is no URL of an API is a configuration error, and a password in it is not shown."""
    with pytest.raises(ImproperlyConfigured, match="CLERK_API_URL") as caught:
        ClerkClient(api_url=url)
    assert "word" not in str(caught.value)


def test_list_users__page(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """A page is a JSON array as bytes; signs and repeated keys arrive as they were meant."""
    made = clerk_server.create_users(5)
    page = client.list_users(limit=3, order_by="+created_at", starting_after=made[0], user_ids=made[:2])
    assert [user["id"] for user in json.loads(page.body)] == made[1:2]
    assert clerk_server.requests[0].query == (
        ("limit", "3"),
        ("order_by", "+created_at"),
        ("starting_after", made[0]),
        ("user_id", made[0]),
        ("user_id", made[1]),
    )


@pytest.mark.parametrize(("asked", "sent"), [(501, "500"), (0, "1"), (-3, "1"), (7, "7")])
def test_list_users__limit(client: ClerkClient, clerk_server: FakeClerk, asked: int, sent: str) -> None:
    """The limit stays within 1 and 500: above, Clerk silently gives 10."""
    client.list_users(limit=asked, offset=0)
    assert clerk_server.requests[0].query == (("limit", sent), ("offset", "0"))


def test_list_users__wrapped(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """A list inside of an object is taken out of it."""
    made = clerk_server.create_users(3)
    clerk_server.fail("wrapped")
    assert sorted(user.clerk_id for user in decode(client.list_users(limit=9))) == sorted(made)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("html", r"GET /v1/users: an HTML page, not JSON \(status 200"),
        ("not_json", r"no JSON array \(status 200"),
        ("json_null", "no JSON array"),
    ],
)
def test_list_users__no_list(client: ClerkClient, clerk_server: FakeClerk, fault: str, words: str) -> None:
    """An answer that is no list is refused at once, and none of it is shown."""
    clerk_server.fail(fault)
    with pytest.raises(InvalidResponse, match=words) as caught:
        client.list_users(limit=1)
    assert "moment" not in str(caught.value)
    assert client.requests == 1


def test_list_users__other_object(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """An object without ``data`` is no list."""
    clerk_server.fail(
        "callback", call=lambda request: clerk_server.handle(replace(request, path="/v1/instance"))
    )
    with pytest.raises(InvalidResponse, match="not the JSON that the API documents"):
        client.list_users(limit=1)


def test_get_user__one(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """One user comes as the bytes of one object, with the time of the snapshot."""
    user = clerk_server.create_user(first_name="Maren")
    page = client.get_user(user["id"])
    assert json.loads(page.body) == user
    assert page.observed_ms == clerk_server.clock.now_ms() - 1000


def test_get_user__nobody(client: ClerkClient) -> None:
    """A user who is not there is NotFound, with Clerk's code and trace id."""
    with pytest.raises(NotFound, match="No user was found with id user_x") as caught:
        client.get_user("user_x")
    assert (caught.value.status, caught.value.code) == (404, "resource_not_found")
    assert caught.value.trace_id in str(caught.value)


@pytest.mark.parametrize(
    "clerk_id", ["", "a/b", "..", ".", "count", "-user_x", "+user_x", "user\n", "\ud800"]
)
def test_get_user__id_that_is_none(client: ClerkClient, clerk_id: str) -> None:
    """An id that would become another URL, or turn a filter round, is never sent."""
    with pytest.raises(PayloadError):
        client.get_user(clerk_id)
    with pytest.raises(PayloadError):
        client.users_by_id([clerk_id], decode=decode)
    assert client.requests == 0


def test_get_user__odd_id(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """An id with a question mark stays one part of the path."""
    clerk_server.create_user(clerk_id="user?x#y%z")
    assert json.loads(client.get_user("user?x#y%z").body)["id"] == "user?x#y%z"


def test_users_by_id__some(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """Those who exist come; the limit is always sent, for without it only 10 would."""
    made = clerk_server.create_users(40)
    page, users = client.users_by_id([*made, "user_gone"], decode=decode)
    assert sorted(user.clerk_id for user in users) == sorted(made)
    assert page.observed_ms is not None
    assert clerk_server.requests[0].query[0] == ("limit", "100")


def test_users_by_id__filter_ignored(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """Somebody who was not asked for means that the filter was ignored."""
    made = clerk_server.create_users(3)
    clerk_server.fail("filter_ignored")
    with pytest.raises(FilterIgnored, match="2 users came who were not asked for"):
        client.users_by_id(made[:1], decode=decode)


@pytest.mark.parametrize("number", [0, 101])
def test_users_by_id__number(client: ClerkClient, number: int) -> None:
    """No id at all would ask for everybody, and more than 100 are refused by Clerk."""
    with pytest.raises(ValueError, match="1 to 100 ids"):
        client.users_by_id([f"user_{n}" for n in range(number)], decode=decode)


def test_count__all(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """The count is asked for without a filter."""
    clerk_server.create_users(12)
    assert client.count() == 12
    assert clerk_server.requests[0].query == ()


def test_instance__of_the_key(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """The instance is what the key opens."""
    assert client.instance() == Instance(clerk_server.instance_id, "development")


def test_instance__other_shape(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """An instance without an id is refused."""
    clerk_server.fail("wrong_instance", on="GET /v1/instance", instance_id=None)
    with pytest.raises(InvalidResponse, match="GET /v1/instance: not the JSON"):
        client.instance()


def test_jwks__bytes(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """The key set comes as it is."""
    assert json.loads(client.jwks())["keys"][0]["kid"] == clerk_server.instance_id


def test_client__counts_requests(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """Every try is counted, and every 429."""
    clerk_server.fail(429, on="GET /v1/users/count", times=2, retry_after=3)
    clerk_server.fail(503, on="GET /v1/users/count", after=2)
    client.count()
    assert (client.requests, client.throttled) == (4, 2)


def test_client__repr(client: ClerkClient) -> None:
    """A client shows its URL, not its key."""
    assert repr(client) == f"<ClerkClient sync {client.api_url}>"


def test_client__now(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """The present is Clerk's, not ours, as soon as Clerk has told it."""
    assert abs(client.now_ms() - time.time() * 1000) < 60_000
    client.count()
    assert client.now_ms() == clerk_server.clock.now_ms() - 1000


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        ("limit_ignored", None),
        ("cursor_ignored", None),
        ("cursor_ignored", 1),
        ("shuffle_ties", None),
        ("wrapped", None),
        ("gzip", None),
        ("truncated", 1),
        ("reset", 2),
        ("half_page", 3),
        ("empty_list", 1),
        (429, 2),
        (500, 2),
    ],
)
def test_iter_pages__faults(
    client: ClerkClient, clerk_server: FakeClerk, fault: str | int, times: Any
) -> None:
    """Whatever goes wrong on the way, everybody comes."""
    made = clerk_server.create_users(100)
    clerk_server.create_users(3, first_created_at=clerk_server.get(made[49])["created_at"], spacing_ms=0)
    clerk_server.fail(fault, times=times, after=1)
    assert sorted(set(walk_ids(client, limit=50))) == sorted(user["id"] for user in clerk_server.users())


@pytest.mark.parametrize("unknown_cursor", ["error", "ignored", "empty"])
def test_iter_pages__border_deleted(
    client: ClerkClient, clerk_server: FakeClerk, unknown_cursor: Any
) -> None:
    """Users who are deleted while their page is in use take nobody with them."""
    made = clerk_server.create_users(60)
    clerk_server.unknown_cursor = unknown_cursor

    def delete(request: Request) -> None:
        for clerk_id in made[17:20]:
            clerk_server.delete_user(clerk_id)

    clerk_server.fail("callback", call=delete, after=1)
    assert set(walk_ids(client, limit=20)) >= set(made[:17] + made[20:])


def test_iter_pages__order_ignored(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """Pages in another order fail the walk."""
    clerk_server.create_users(5)
    clerk_server.fail("order_ignored", times=None)
    with pytest.raises(SyncIncomplete):
        walk_ids(client)


def test_iter_pages__resumed(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """A walk that was stopped goes on behind the page that was committed last."""
    made = clerk_server.create_users(100)
    pages = client.iter_pages(decode=decode, limit=30)
    first = next(pages)
    pages.close()
    rest = walk_ids(client, after=first.cursor, after_ms=first.cursor_ms, limit=30)
    assert [user.clerk_id for user in first.items] + rest == made


def test_iter_pages__one_ahead(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """While a page is in use the next one is read, and no further one."""
    clerk_server.create_users(100)
    pages = client.iter_pages(decode=decode, limit=10)
    next(pages)
    _wait_until(lambda: client.requests == 2)
    time.sleep(0.1)
    assert client.requests == 2
    pages.close()


def test_iter_pages__error_in_its_place(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """A page that came before an error is yielded before the error."""
    clerk_server.create_users(100)
    clerk_server.fail(403, after=1)
    pages = client.iter_pages(decode=decode, limit=10)
    assert len(next(pages).items) == 10
    with pytest.raises(ClerkRejected):
        next(pages)
    assert _workers() == []


def test_iter_pages__closed_early(clerk_server: FakeClerk) -> None:
    """Closing a walk ends its thread, also one that waits to try again."""
    clerk_server.create_users(100)
    clerk_server.fail(429, times=None, after=1, retry_after=60)
    with ClerkClient(rate=1_000_000) as client:
        pages = client.iter_pages(decode=decode, limit=10)
        next(pages)
        _wait_until(lambda: client.throttled == 1)
        started = time.monotonic()
        pages.close()
    assert time.monotonic() - started < 2
    assert _workers() == []


def test_iter_pages__never_begun(client: ClerkClient) -> None:
    """A walk that nobody begins asks nothing."""
    client.iter_pages(decode=decode).close()
    assert client.requests == 0


def test_iter_pages__rate_limit(settings: Any, clerk: FakeClerk, clerk_server: FakeClerk) -> None:
    """Asking at Clerk's own pace costs no 429 and hardly more time than the limit takes."""
    limited = FakeClerk(secret_key=clerk.secret_key, rate_limit=(20, 10), clock=clerk.clock)
    limited.create_users(400)
    clerk_server.fail("callback", call=limited.handle, times=None, on="*")
    assert isinstance(clerk.clock, VirtualClock)
    virtual = VirtualTime(on_sleep=lambda seconds: _advance(clerk, seconds))
    with ClerkClient(throttle=Throttle(rate=20, scope="paced", clock=virtual.clock)) as client:
        assert len(walk_ids(client, limit=5)) == 400
        assert client.throttled == 0
        assert virtual.slept <= 1.1 * (client.requests / 20) * 10


def test_client__key_rejected(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """A wrong key is told at once."""
    clerk_server.secret_key = "sk_test_another"
    with pytest.raises(KeyRejected, match="status 401 clerk_key_invalid") as caught:
        client.count()
    assert (caught.value.status, caught.value.code, client.requests) == (401, "clerk_key_invalid", 1)


def _advance(clerk: FakeClerk, seconds: float) -> None:
    assert isinstance(clerk.clock, VirtualClock)
    clerk.clock.advance(seconds=seconds)


def _workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("clerksync-ahead")]


def _wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
