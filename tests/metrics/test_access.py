"""Who may read the metrics."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Error, Warning
from django.db import connection
from django.test import Client, RequestFactory

from clerksync import metrics_checks
from clerksync.metrics import access
from clerksync.metrics_checks import check_metrics

pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

URL = "/clerk/metrics/"
TOKEN = "of-twenty-characters-or-more"

pytestmark = pytest.mark.django_db


def test_off__by_default(client: Client) -> None:
    """Without a setting there are no metrics, and no word about them."""
    assert client.get(URL).status_code == 404


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer", 401),
        ("Bearer ünï", 401),
        (TOKEN, 401),
        ("", 401),
    ],
)
def test_token(client: Client, settings: Any, given: str, status: int) -> None:
    """It is given as a bearer token, whole."""
    settings.CLERKSYNC_METRICS_TOKEN = TOKEN
    answer = client.get(URL, headers={"Authorization": given})
    assert answer.status_code == status
    assert (answer.headers.get("WWW-Authenticate") is None) == (status == 200)


def test_token__empty_is_none(client: Client, settings: Any) -> None:
    """Where only networks are set, no token opens."""
    settings.CLERKSYNC_METRICS_NETWORKS = ["192.0.2.0/24"]
    assert client.get(URL, headers={"Authorization": "Bearer "}).status_code == 401


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::7", True),
        ("10.2.0.1", False),
        ("2001:db9::7", False),
        ("", False),
        ("unix:", False),
    ],
)
def test_networks(settings: Any, rf: RequestFactory, address: str, *, expected: bool) -> None:
    """The address is the connection's; one of IPv4 may be written as one of IPv6."""
    settings.CLERKSYNC_METRICS_NETWORKS = ["10.1.0.0/16", "2001:db8::/32"]
    assert access.is_allowed(rf.get(URL, REMOTE_ADDR=address)) is expected


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_networks__through_a_proxy(settings: Any, client: Client, name: str) -> None:
    """What a proxy has passed on has the proxy's address: only the token opens."""
    settings.CLERKSYNC_METRICS_NETWORKS = ["127.0.0.0/8"]
    assert client.get(URL).status_code == 200
    assert client.get(URL, headers={name: "127.0.0.1"}).status_code == 401
    settings.CLERKSYNC_METRICS_TOKEN = TOKEN
    headers = {name: "127.0.0.1", "Authorization": f"Bearer {TOKEN}"}
    assert client.get(URL, headers=headers).status_code == 200


def test_method(client: Client, settings: Any) -> None:
    """It is read, and never kept."""
    settings.CLERKSYNC_METRICS_NETWORKS = ["127.0.0.1"]
    assert client.post(URL).status_code == 405
    assert "no-store" in client.head(URL).headers["Cache-Control"]


@pytest.mark.django_db(transaction=True)
def test_database__away(client: Client, settings: Any) -> None:
    """A scrape that cannot be answered fails, in few words."""
    settings.CLERKSYNC_METRICS_NETWORKS = ["127.0.0.1"]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE clerksync_totalcount RENAME TO elsewhere")
    try:
        answer = client.get(URL)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO clerksync_totalcount")
    assert (answer.status_code, answer.content) == (503, b"The database cannot be read.\n")


def test_checks(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library, a token that can be guessed, and a proxy whose address all requests have."""
    assert check_metrics(None) == []
    settings.CLERKSYNC_METRICS_TOKEN = TOKEN
    assert check_metrics(None) == []
    settings.CLERKSYNC_METRICS_TOKEN = "short"
    settings.CLERKSYNC_METRICS_NETWORKS = ["10.0.0.0/8"]
    settings.USE_X_FORWARDED_HOST = True
    monkeypatch.setattr(metrics_checks, "find_spec", lambda name: None)
    found = check_metrics(None)
    assert [message.id for message in found] == ["clerksync.E050", "clerksync.W050", "clerksync.W051"]
    assert [type(message) for message in found] == [Error, Warning, Warning]
    assert not any("short" in message.msg for message in found)
    settings.CLERKSYNC_METRICS_NETWORKS = ["nowhere"]
    assert check_metrics(None) == []  # told by the check of types
