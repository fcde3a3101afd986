"""HTTP as it goes wrong: tries, waits, odd bodies, and the secret key that must not get out."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
import traceback
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clerksync import __version__
from clerksync.client import ClerkClient
from clerksync.exceptions import ClerkError, ClerkRejected, ClerkUnavailable, InvalidResponse
from clerksync.testing import FakeClerk, Request, Response, VirtualClock, serve
from clerksync.throttle import Throttle
from clerksync.transport import MAX_BODY
from tests.clocks import VirtualTime

COUNT = "GET /v1/users/count"


@pytest.fixture
def virtual() -> VirtualTime:
    """The time of the client."""
    return VirtualTime()


@pytest.fixture
def client(clerk_server: FakeClerk, virtual: VirtualTime) -> Iterator[ClerkClient]:
    """A client whose waits pass at once."""
    with ClerkClient(throttle=Throttle(rate=1_000_000, scope="tests", clock=virtual.clock)) as client:
        yield client


class Recorder:
    """A server that says [] to everything and remembers what it was asked, by which connection."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections: set[int] = set()

    def handle(self, request: Request) -> Response:
        self.requests.append(request)
        self.connections.add(threading.get_ident())
        return Response(200, {"Content-Type": "application/json", "Set-Cookie": "edge=1; Path=/"}, b"[]")


@pytest.mark.parametrize("fault", [408, 409, 500, 502, 503, 504, "reset", "close", "truncated"])
def test_get__tries_again(
    client: ClerkClient, clerk_server: FakeClerk, virtual: VirtualTime, fault: Any
) -> None:
    """What may pass is tried again, after waits that grow."""
    clerk_server.fail(fault, times=3, on=COUNT)
    assert client.count() == 0
    assert client.requests == 4
    assert 0.5 * 3.5 <= virtual.slept <= 3.5


def test_get__cut_json_without_length(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """JSON that ends early is a broken connection, even if its length was announced so."""
    clerk_server.create_users(5)
    cut = Response(200, {"Content-Type": "application/json"}, b'[{"id": "user_')
    clerk_server.fail("callback", call=lambda request: cut)
    assert client.list_users(limit=5).body.startswith(b"[{")
    assert client.requests == 2


@pytest.mark.parametrize("status", [400, 402, 403, 410, 422])
def test_get__refused(client: ClerkClient, clerk_server: FakeClerk, status: int) -> None:
    """What another try would not change is told at once, with Clerk's words."""
    clerk_server.fail(status, on=COUNT, code="some_code", message="Some words")
    with pytest.raises(ClerkRejected, match=f"{COUNT}: status {status} some_code .*: Some words") as caught:
        client.count()
    assert (caught.value.status, caught.value.code, client.requests) == (status, "some_code", 1)


def test_get__refused_without_json(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """An error page of the edge has no code; its ray is the trace."""
    page = Response(403, {"Content-Type": "text/html", "cf-ray": "8f2-FRA"}, b"<html>Access denied</html>")
    clerk_server.fail("callback", call=lambda request: page, on=COUNT)
    with pytest.raises(ClerkRejected, match=r"status 403 \(trace 8f2-FRA\)$") as caught:
        client.count()
    assert (caught.value.code, caught.value.trace_id) == ("", "8f2-FRA")


def test_get__deadline(client: ClerkClient, clerk_server: FakeClerk, virtual: VirtualTime) -> None:
    """After the deadline the error names the last cause."""
    clerk_server.fail(503, times=None, on=COUNT)
    with pytest.raises(
        ClerkUnavailable, match=r"the last of \d+ tries: status 503 service_unavailable \(trace"
    ):
        client.count()
    assert 90 < virtual.slept <= 120


def test_get__web_deadline(clerk_server: FakeClerk, virtual: VirtualTime) -> None:
    """A web process gives up after seconds."""
    clerk_server.fail("close", times=None, on=COUNT)
    throttle = Throttle(rate=1_000_000, scope="tests", clock=virtual.clock)
    with (
        ClerkClient(purpose="web", throttle=throttle) as client,
        pytest.raises(ClerkUnavailable, match="tries"),
    ):
        client.count()
    assert virtual.slept < 5


def test_get__nobody_listens(virtual: VirtualTime) -> None:
    """A refused connection is named as such."""
    with serve(Recorder()) as served:
        url = served.url
    throttle = Throttle(rate=1_000_000, scope="tests", clock=virtual.clock)
    with (
        ClerkClient(api_url=url, throttle=throttle) as client,
        pytest.raises(ClerkUnavailable, match="refused"),
    ):
        client.count()


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_get__drips(framing: bytes) -> None:
    """A body that drips in byte by byte, each in time, is given up at the deadline."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    piece = b" " if b"Length" in framing else b"1\r\n \r\n"

    def drip(listener: socket.socket) -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(head + framing + b"\r\n\r\n")
            for _ in range(100):
                connection.sendall(piece)
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        began = time.monotonic()
        with (
            ClerkClient(
                api_url=url, timeout=(1, 1), deadline=0.4, throttle=Throttle(rate=9, scope="drip")
            ) as client,
            pytest.raises(ClerkUnavailable, match="takes too long"),
        ):
            client.count()
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("retry_after", [{"retry_after": 7}, {"retry_after_date": 7}])
def test_get__throttled(
    client: ClerkClient, clerk_server: FakeClerk, virtual: VirtualTime, retry_after: Any
) -> None:
    """A 429 is waited out for exactly as long as Clerk says, in seconds or as a date by Clerk's clock."""
    clerk_server.fail(429, on=COUNT, **retry_after)
    client.count()
    assert virtual.slept == pytest.approx(7)
    assert (client.requests, client.throttled) == (2, 1)


def test_get__throttled_without_a_time(
    client: ClerkClient, clerk_server: FakeClerk, virtual: VirtualTime
) -> None:
    """A 429 that names no time is waited out like any other trouble."""
    clerk_server.fail(429, on=COUNT)
    client.count()
    assert 0.25 <= virtual.slept <= 0.5


def test_get__throttled_too_long(client: ClerkClient, clerk_server: FakeClerk, virtual: VirtualTime) -> None:
    """A Retry-After beyond the deadline is not waited for."""
    clerk_server.fail(429, on=COUNT, retry_after=600)
    with pytest.raises(ClerkUnavailable, match="status 429 too_many_requests"):
        client.count()
    assert virtual.slept == 0


def test_get__no_token_before_the_deadline(clerk_server: FakeClerk, virtual: VirtualTime) -> None:
    """Where the rate leaves no room before the deadline, nothing is sent."""
    throttle = Throttle(rate=1, scope="tests", clock=virtual.clock)
    with ClerkClient(purpose="web", throttle=throttle) as client:
        client.count()
        with pytest.raises(ClerkUnavailable, match="the rate limit leaves no room"):
            client.count()
        assert client.requests == 1


def test_get__read_timeout(clerk_server: FakeClerk, virtual: VirtualTime) -> None:
    """An answer that does not come in time is asked for again."""
    clerk_server.fail("slow", seconds=5, on=COUNT)
    throttle = Throttle(rate=1_000_000, scope="tests", clock=virtual.clock)
    with ClerkClient(timeout=(1, 0.2), throttle=throttle) as client:
        assert client.count() == 0
        assert client.requests == 2


def test_get__headers(virtual: VirtualTime) -> None:
    """Requests say who asks, in which version of the API; cookies are not kept; the connection is."""
    recorder = Recorder()
    throttle = Throttle(rate=1_000_000, scope="tests", clock=virtual.clock)
    with serve(recorder) as served, ClerkClient(api_url=served.url, throttle=throttle) as client:
        for _ in range(3):
            client.list_users(limit=1)
    headers = recorder.requests[-1].headers
    assert headers["Authorization"] == "Bearer sk_test_invented_for_the_tests_0123456789"
    assert headers["Clerk-API-Version"] == "2026-05-12"
    assert headers["User-Agent"] == f"clerksync/{__version__}"
    assert "Cookie" not in headers
    assert len(recorder.connections) == 1


def test_get__netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clerk_server: FakeClerk) -> None:
    """A .netrc entry for the host does not replace the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with ClerkClient() as client:
        assert client.count() == 0


def test_get__proxy(monkeypatch: pytest.MonkeyPatch, virtual: VirtualTime) -> None:
    """The proxy of the environment is used."""
    recorder = Recorder()
    throttle = Throttle(rate=1_000_000, scope="tests", clock=virtual.clock)
    with serve(recorder) as served:
        monkeypatch.setenv("http_proxy", served.url)
        with ClerkClient(api_url="http://clerk.localhost", throttle=throttle) as client:
            client.list_users(limit=1)
    assert recorder.requests[0].path == "http://clerk.localhost/v1/users"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_get__redirect(client: ClerkClient, clerk_server: FakeClerk, status: int) -> None:
    """A redirect is not followed, so that the key reaches no other host."""
    recorder = Recorder()
    with serve(recorder) as served:
        clerk_server.fail("redirect", on=COUNT, to=f"{served.url}/v1/users/count?next=1", status=status)
        with pytest.raises(
            InvalidResponse, match=f"status {status}.* a redirect to 127.0.0.1, not followed$"
        ):
            client.count()
    assert (recorder.requests, client.requests) == ([], 1)


def test_get__other_success(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """Only 200 is an answer."""
    clerk_server.fail("callback", call=lambda request: Response(204), on=COUNT)
    with pytest.raises(InvalidResponse, match="status 204, 200 was expected"):
        client.count()


def test_get__gzip(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """A packed body is unpacked."""
    clerk_server.create_users(20)
    clerk_server.fail("gzip")
    assert client.list_users(limit=20).body.count(b'"object":"user"') == 20


def test_get__gzip_bomb(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """A body that unpacks to more than 64 MiB is given up, and not asked for again."""
    clerk_server.fail("gzip_bomb")
    with pytest.raises(InvalidResponse, match="more than 67108864 bytes"):
        client.list_users(limit=20)
    assert client.requests == 1


@pytest.mark.parametrize("packing", ["deflate", "br", "zstd", "gzip, gzip", "x-\x1b[31mrot13", "gzip;q=1"])
def test_get__packed_otherwise(client: ClerkClient, clerk_server: FakeClerk, packing: str) -> None:
    """Only gzip is asked for, whatever else is installed; what is packed otherwise is refused, and not unpacked."""
    packed = Response(
        200, {"Content-Type": "application/json", "Content-Encoding": packing}, zlib.compress(b"[]")
    )
    clerk_server.fail("callback", call=lambda request: packed)
    with pytest.raises(InvalidResponse, match=r"packed as .*, which was not asked for") as caught:
        client.list_users(limit=20)
    assert str(caught.value).isprintable()
    assert client.requests == 1
    sent = {name.lower(): value for name, value in clerk_server.requests[-1].headers.items()}
    assert sent["accept-encoding"] == "gzip"


def test_get__error_packed_otherwise(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """What an error says counts more than how it is packed."""
    busy = Response(503, {"Content-Encoding": "br"}, b"?")
    clerk_server.fail("callback", call=lambda request: busy)
    client.list_users(limit=20)
    assert client.requests == 2


def test_get__too_large(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """A plain body that is too large is given up as well."""
    large = Response(200, {"Content-Type": "application/json"}, b"[" + b" " * MAX_BODY + b"]")
    clerk_server.fail("callback", call=lambda request: large)
    with pytest.raises(InvalidResponse, match="more than 67108864 bytes"):
        client.list_users(limit=20)


def test_get__broken_gzip(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """A body that cannot be unpacked is asked for again."""
    broken = Response(200, {"Content-Encoding": "gzip"}, b"no gzip at all")
    clerk_server.fail("callback", call=lambda request: broken)
    client.list_users(limit=20)
    assert client.requests == 2


def test_observed_ms__start_of_the_request(clerk_server: FakeClerk) -> None:
    """A snapshot is as old as the start of its request, in Clerk's clock, less a second of rounding."""
    clerk_server.fail("slow", seconds=0.3)
    with ClerkClient() as client:
        observed_ms = client.list_users(limit=1).observed_ms
    assert observed_ms is not None
    latest = clerk_server.clock.now_ms() // 1000 * 1000 - 1000 - 300
    assert latest - 2000 < observed_ms <= latest


def test_observed_ms__of_the_try_that_answered(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """After failures the time is that of the last try."""

    def go_by(request: Request) -> None:
        assert isinstance(clerk_server.clock, VirtualClock)
        clerk_server.clock.advance(seconds=60)

    clerk_server.fail("callback", call=go_by)
    clerk_server.fail(503)
    before = clerk_server.clock.now_ms()
    assert client.list_users(limit=1).observed_ms == before + 59_000


def test_observed_ms__no_date(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """Without Clerk's clock the time is not known."""
    clerk_server.fail("no_date")
    assert client.list_users(limit=1).observed_ms is None


@pytest.mark.parametrize(
    "fault",
    [401, 403, 422, 503, "reset", "truncated", "html", "not_json", "gzip_bomb", "redirect"],
)
def test_secret_key__nowhere(
    client: ClerkClient, clerk_server: FakeClerk, caplog: pytest.LogCaptureFixture, fault: Any
) -> None:
    """No error, log line, or local variable of a traceback shows the key."""
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = {"to": "http://127.0.0.1:9/elsewhere"} if fault == "redirect" else {}
    clerk_server.fail(fault, times=None, **options)
    with pytest.raises(ClerkError) as caught:
        client.list_users(limit=1)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert clerk_server.secret_key not in "".join(shown.format())
    assert clerk_server.secret_key not in caplog.text
    assert caught.value.__context__ is None


def test_secret_key__echoed(client: ClerkClient, clerk_server: FakeClerk) -> None:
    """A server that sends the key back does not get it into our error."""
    body = f'{{"errors": [{{"code": "odd", "message": "{clerk_server.secret_key} is odd"}}]}}'.encode()
    clerk_server.fail("callback", call=lambda request: Response(400, {}, body))
    with pytest.raises(ClerkRejected, match=r": \*\*\* is odd$"):
        client.list_users(limit=1)


def test_get__tls(tmp_path: Path, virtual: VirtualTime) -> None:
    """A certificate that nobody vouches for ends the call at once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path))
    throttle = Throttle(rate=1_000_000, scope="tests", clock=virtual.clock)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_shake_hands, args=(server, context))
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with ClerkClient(api_url=url, throttle=throttle) as client:
            with pytest.raises(ClerkUnavailable, match="certificate verify failed"):
                client.count()
            assert client.requests == 1
        thread.join()


def _shake_hands(server: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = server.accept()
    with connection, contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True):
        pass


def _self_signed(folder: Path) -> Path:
    """Write a key and a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return path
