"""Why Clerk cannot be reached."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clerksync.doctor import clerk, reach


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Take connections on a port: with TLS, or to answer something that is none."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                connection = server.accept()[0]
            except OSError:
                return
            with connection, suppress(OSError):
                if context is not None:
                    context.wrap_socket(connection, server_side=True).close()
                else:
                    connection.sendall(b"220 mail.harbour.test\r\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@pytest.fixture
def homemade(tmp_path: Path) -> ssl.SSLContext:
    """A certificate that nobody vouches for."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    path = tmp_path / "both.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_connection__taken() -> None:
    """Somebody listens."""
    with listening() as port:
        assert reach.find_trouble(f"https://127.0.0.1:{port}", seconds=2) is None


def test_connection__refused() -> None:
    """Nobody does."""
    assert reach.find_trouble("https://127.0.0.1:9", seconds=2) == reach.Trouble(
        "127.0.0.1:9 takes no connection (ConnectionRefusedError).",
        "Check CLERK_API_URL, the firewall and the proxy.",
    )


def test_name__unknown() -> None:
    """No address belongs to the name, which no name server has to be asked for: one of its labels is empty."""
    trouble = reach.find_trouble("https://a..invalid", seconds=2)
    assert trouble is not None
    assert trouble.sentence == "No address is known for a..invalid:443."


def test_proxy__down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is named, without what it takes to log in."""
    monkeypatch.setenv("https_proxy", "http://maren:harbour@127.0.0.1:9")
    trouble = reach.find_trouble("https://api.clerk.com", seconds=2)
    assert trouble == reach.Trouble(
        "the proxy 127.0.0.1:9 takes no connection (ConnectionRefusedError).",
        "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
    )
    assert reach.find_tls_trouble("https://api.clerk.com", seconds=2) is None


def test_tls__certificate(homemade: ssl.SSLContext) -> None:
    """A certificate that is not trusted is called that."""
    with listening(homemade) as port:
        trouble = reach.find_tls_trouble(f"https://127.0.0.1:{port}", seconds=2)
    assert trouble is not None
    assert trouble.sentence.startswith(f"The certificate of 127.0.0.1:{port} is not accepted: ")


def test_tls__none() -> None:
    """A server of another kind."""
    with listening() as port:
        trouble = reach.find_tls_trouble(f"https://127.0.0.1:{port}", seconds=2)
        assert reach.find_tls_trouble(f"http://127.0.0.1:{port}", seconds=2) is None
    assert trouble is not None
    assert f"127.0.0.1:{port} does not speak TLS" in trouble.sentence


def test_clerk__certificate(homemade: ssl.SSLContext, settings: pytest.FixtureRequest) -> None:
    """As the doctor says it."""
    with listening(homemade) as port:
        settings.CLERK_API_URL = f"https://127.0.0.1:{port}"  # type: ignore[attr-defined]
        first, *others = clerk.ask(seconds=4).findings
    assert (first.id, first.state, "is not accepted" in first.sentence) == ("clerk", "problem", True)
    assert [one.state for one in others] == ["skipped", "skipped"]
