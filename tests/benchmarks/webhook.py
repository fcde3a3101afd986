"""Our webhook against views by hand (P9).

All are served by one gunicorn with two workers, on PostgreSQL that keeps what it commits, and get
the same signed events over four connections, in turns. Ratios are of medians over the rounds. The
client and the database share the machine with the site.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from clerksync.testing import FakeClerk, RealClock
from tests import servers
from tests.benchmarks import webhook_views
from tests.benchmarks.results import Result
from tests.benchmarks.suites import Sizes

CONTESTANTS = {
    "empty view": "/empty/",
    "floor": "/floor/",
    "inbox_upsert": "/inbox_upsert/",
    "ours": "/clerk/webhook/",
}
CONNECTIONS = 4
USERS = 500
#: One more is sent first, and not counted.
ROUNDS_PER_TURN = 4


def measure(sizes: Sizes) -> Iterator[Result]:
    """Yield the figures."""
    with connection.cursor() as cursor:
        cursor.execute(webhook_views.TABLES)
    statements = _count_statements()
    found = _measure(sizes.requests, max(2, sizes.turns // ROUNDS_PER_TURN))
    base_rate, base_p99 = _medians(found["inbox_upsert"])
    for name, results in found.items():
        rate, p99 = _medians(results)
        rates = [one for one, _ in results]
        told = (
            f"{rate:.0f} req/s, {min(rates):.0f} to {max(rates):.0f} in {len(rates)} rounds; p99 {p99:.1f} ms"
        )
        if name == "inbox_upsert":
            continue
        target = 0.67 if name == "ours" else None
        what = f"webhook, {name}: requests a second, against record and upsert by hand"
        yield Result(row="P9", what=what, measured=rate / base_rate, at_least=target, detail=told)
        if name == "ours":
            what = "webhook, ours: p99 against the same"
            yield Result(row="P9", what=what, measured=p99 / base_p99, at_most=2, detail=told)
    what = "statements of an event beside BEGIN and COMMIT"
    yield Result(row="P9", what=what, measured=statements, at_most=3)


def _count_statements() -> int:
    """Of one event about a user whom the table knows."""
    clerk = FakeClerk(seed=7, clock=RealClock())
    user = clerk.create_user()
    for event_type in ("user.created", "user.updated"):
        user = clerk.update_user(user["id"], first_name=event_type)
        with CaptureQueriesContext(connection) as queries:
            assert clerk.send_webhook(event_type, user).json()["status"] == "applied"
    return sum(not query["sql"].startswith(("BEGIN", "COMMIT")) for query in queries)


def _measure(requests: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Requests per second and p99 in ms, of each round of each contestant."""
    *command, application = servers.GUNICORN
    threaded = (*command, "--worker-class", "gthread", "--threads", "2", "--keep-alive", "60", application)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with servers.serve(threaded, DJANGO_SETTINGS_MODULE="tests.benchmarks.webhook_settings") as server:
        events = _events()
        for _ in range(rounds + 1):
            signed = [next(events) for _ in range(requests)]
            for name, path in CONTESTANTS.items():
                found[name].append(_send(server.port, [_request(path, one) for one in signed]))
    return {name: results[1:] for name, results in found.items()}  # the first round warms everything up


def _events() -> Iterator[Any]:
    """Signed events of users who have changed, each about another one of many."""
    clerk = FakeClerk(clock=RealClock())
    ids = clerk.create_users(USERS)
    while True:
        for clerk_id in ids:
            user = clerk.update_user(clerk_id, first_name=f"Name {time.monotonic_ns()}")
            yield clerk.sign_webhook("user.updated", user)


def _request(path: str, delivery: Any) -> bytes:
    headers = {"Host": "localhost", "Content-Type": "application/json", **delivery.headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*lines, f"Content-Length: {len(delivery.body)}", "", ""])
    return head.encode() + bytes(delivery.body)


def _send(port: int, requests: Sequence[bytes]) -> tuple[float, float]:
    """Send all, and return requests per second and p99 in ms."""
    times: list[float] = []
    threads = [
        threading.Thread(target=_send_in_turn, args=(port, requests[start::CONNECTIONS], times))
        for start in range(CONNECTIONS)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if len(times) != len(requests):
        raise AssertionError(f"{len(times)} of {len(requests)} requests were answered with 200")
    return len(requests) / seconds, statistics.quantiles(times, n=100)[98] * 1000


def _send_in_turn(port: int, requests: Sequence[bytes], times: list[float]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            started = time.perf_counter()
            connection.sendall(request)
            if not _answered(connection).startswith(b"HTTP/1.1 200"):
                return
            times.append(time.perf_counter() - started)


def _answered(connection: socket.socket) -> bytes:
    """Read one answer."""
    received = b""
    while True:
        head, found, body = received.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            return received
        chunk = connection.recv(65_536)
        if not chunk:
            return b""
        received += chunk


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))


def _medians(results: list[tuple[float, float]]) -> tuple[float, float]:
    rates, p99s = zip(*results, strict=True)
    return statistics.median(rates), statistics.median(p99s)
