"""The fake on a socket, and each fault as a client meets it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from email.utils import formatdate
from http.client import HTTPConnection
from socket import create_connection
from typing import Any

import pytest
import requests

from clerksync.testing import FakeClerk, Served, serve
from tests.testing.asking import Http


def test_list__over_http(clerk: FakeClerk, http: Http) -> None:
    """A page arrives as JSON with its date and its length."""
    clerk.create_users(3)
    response = http.get()
    assert len(response.json()) == 3
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Date"] == formatdate(clerk.clock.now_ms() // 1000, usegmt=True)
    assert response.headers["Content-Length"] == str(len(response.content))


def test_query__signs_and_repetitions(clerk: FakeClerk, http: Http) -> None:
    """Repeated parameters and percent-encoded signs arrive."""
    ids = clerk.create_users(3)
    query = [("user_id", f"+{ids[0]}"), ("user_id", ids[1]), ("order_by", "+created_at")]
    assert [user["id"] for user in http.get(query=query).json()] == ids[:2]


def test_post__body(clerk: FakeClerk, served: Served, http: Http) -> None:
    """A body arrives."""
    user = http.session.post(f"{served.url}/v1/users", json={"username": "zuri"}, timeout=10).json()
    assert clerk.get(user["id"])["username"] == "zuri"


def test_connection__kept_alive(served: Served) -> None:
    """A connection stays open after an answer, also after an error."""
    with closing(HTTPConnection("127.0.0.1", served.port, timeout=10)) as connection:
        connection.request("GET", "/v1/nowhere")
        connection.getresponse().read()
        socket = connection.sock
        connection.request("GET", "/v1/nowhere")
        connection.getresponse().read()
        assert connection.sock is socket is not None


def test_many_clients__at_once(clerk: FakeClerk, http: Http) -> None:
    """Eight connections are served side by side while users are created."""
    clerk.create_users(100)
    headers = {"Authorization": f"Bearer {clerk.secret_key}"}

    def ask(_: int) -> int:
        clerk.create_user()
        return len(requests.get(f"{http.url}/v1/users?limit=500", headers=headers, timeout=10).json())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(32)))
    assert all(100 < count <= 132 for count in found)
    assert len(clerk) == 132


def test_serve__ends_with_the_block(clerk: FakeClerk) -> None:
    """Nothing is left behind: no thread, no open port, whoever keeps a connection open."""
    before = threading.active_count()
    with requests.Session() as session:
        with serve(clerk) as served:
            session.get(f"{served.url}/v1/jwks", timeout=10)
        assert threading.active_count() == before
        with pytest.raises(requests.ConnectionError):
            session.get(f"{served.url}/v1/jwks", timeout=10)


def test_serve__cuts_slow_answers(clerk: FakeClerk) -> None:
    """An answer that is being delayed does not delay the end."""
    clerk.fail("slow", seconds=60)
    with serve(clerk) as served, requests.Session() as session:
        with pytest.raises(requests.ReadTimeout):
            session.get(f"{served.url}/v1/users", timeout=0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 5


def test_serve__shows_mistakes_of_the_test(
    clerk: FakeClerk, http: Http, capfd: pytest.CaptureFixture[str]
) -> None:
    """A callback that raises cuts the connection and prints why."""
    clerk.fail("callback", call=lambda _: [][0])
    with pytest.raises(requests.ConnectionError):
        http.get()
    assert http.get().status_code == 200
    assert "IndexError" in capfd.readouterr().err


def test_serve__refuses_what_is_no_http(clerk: FakeClerk, served: Served) -> None:
    """A line that is no HTTP request is answered with 400 and reaches no fake."""
    with create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(b"hello there, Clerk\r\n\r\n")
        assert b"400" in connection.recv(1000)
    assert clerk.requests == []


def test_pages__little_cpu(clerk: FakeClerk, http: Http) -> None:
    """Twenty pages of 500 users take far less than a second of CPU."""
    clerk.create_users(2_000)
    http.get(query=[("limit", "500")])
    started = time.process_time()
    for number in range(20):
        assert len(http.get(query=[("limit", "500"), ("offset", str(number % 4 * 500))]).content) > 1_000_000
    assert time.process_time() - started < 2


@pytest.mark.parametrize("kind", ["reset", "close"])
def test_fault__cut_connection(clerk: FakeClerk, http: Http, kind: str) -> None:
    """A cut connection is an error without an answer; the next request has one."""
    clerk.fail(kind)
    with pytest.raises(requests.ConnectionError, match="reset" if kind == "reset" else "without response"):
        http.get()
    assert http.get().status_code == 200
    assert [request.status for request in clerk.requests] == [0, 200]


def test_fault__slow(clerk: FakeClerk, http: Http) -> None:
    """A slow answer comes late, and past the client's patience not at all."""
    clerk.fail("slow", seconds=0.2)
    started = time.monotonic()
    assert http.get().status_code == 200
    assert time.monotonic() - started >= 0.2
    clerk.fail("slow", seconds=5)
    with pytest.raises(requests.ReadTimeout):
        http.get(timeout=0.1)


def test_fault__truncated(clerk: FakeClerk, http: Http) -> None:
    """A truncated body is shorter than announced."""
    clerk.create_users(5)
    clerk.fail("truncated", keep=100)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="100 bytes read"):
        http.get()
    assert http.get().status_code == 200


def test_fault__retry_after(clerk: FakeClerk, http: Http) -> None:
    """A 429 says when to come back: not at all, in seconds or as a date."""
    options: list[dict[str, Any]] = [{}, {"retry_after": 3}, {"retry_after_date": 5}]
    for each in options:
        clerk.fail(429, **each)
    told = [http.get().headers.get("Retry-After") for _ in options]
    assert told == [None, "3", formatdate(clerk.clock.now_ms() // 1000 + 5, usegmt=True)]


def test_fault__status_with_code(clerk: FakeClerk, http: Http) -> None:
    """A status carries the code that was asked for."""
    clerk.fail(409, code="resource_locked")
    assert http.get().json()["errors"][0]["code"] == "resource_locked"


@pytest.mark.parametrize(
    ("kind", "start", "content_type"),
    [
        ("html", b"<!DOCTYPE html>", "text/html; charset=utf-8"),
        ("not_json", b"upstream", "application/json"),
        ("json_null", b"null", "application/json"),
        ("empty_list", b"[]", "application/json"),
    ],
)
def test_fault__other_body(clerk: FakeClerk, http: Http, kind: str, start: bytes, content_type: str) -> None:
    """A 200 may hold anything."""
    clerk.create_users(2)
    clerk.fail(kind)
    response = http.get()
    assert response.status_code == 200
    assert response.content.startswith(start)
    assert response.headers["Content-Type"] == content_type


def test_fault__wrapped(clerk: FakeClerk, http: Http) -> None:
    """A list may come inside an object."""
    clerk.create_users(2)
    clerk.fail("wrapped")
    content = http.get().json()
    assert (len(content["data"]), content["total_count"]) == (2, 2)


def test_fault__count_wrong(clerk: FakeClerk, http: Http) -> None:
    """A count may be off, but never below zero."""
    clerk.create_users(2)
    clerk.fail("count_wrong", on="GET /v1/users/count", by=5)
    clerk.fail("count_wrong", on="GET /v1/users/count", by=-10)
    assert http.get("/v1/users/count").json()["total_count"] == 0


def test_fault__wrong_instance(clerk: FakeClerk, http: Http) -> None:
    """The instance may be another."""
    clerk.fail("wrong_instance", on="GET /v1/instance", instance_id="ins_other")
    assert http.get("/v1/instance").json()["id"] == "ins_other"


def test_fault__no_date(clerk: FakeClerk, http: Http) -> None:
    """The date may be missing."""
    clerk.fail("no_date")
    assert "Date" not in http.get().headers


def test_fault__gzip(clerk: FakeClerk, http: Http) -> None:
    """An answer may come compressed though nobody asked."""
    clerk.create_users(5)
    clerk.fail("gzip")
    response = http.get()
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(response.json()) == 5


def test_fault__gzip_bomb(clerk: FakeClerk, http: Http) -> None:
    """A small answer may unpack to a thousand times its size."""
    clerk.fail("gzip_bomb", size=5_000_000)
    response = http.get()
    assert int(response.headers["Content-Length"]) < 10_000
    assert len(response.content) == 5_000_000


def test_fault__redirect(clerk: FakeClerk, http: Http) -> None:
    """A request may be sent elsewhere."""
    clerk.fail("redirect", to="http://127.0.0.1:9/elsewhere", status=307)
    response = http.get()
    assert (response.status_code, response.headers["Location"]) == (307, "http://127.0.0.1:9/elsewhere")
