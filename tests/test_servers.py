"""Webhooks at the project under real servers: several processes, or asynchronous, behind a proxy, over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clerksync.models import ClerkUser, WebhookEvent
from tests import listening, servers
from tests.deliveries import URL, USER, changed, now_ms, signed
from tests.servers import GUNICORN, UVICORN, Server

pytestmark = pytest.mark.django_db(transaction=True)

#: What a proxy adds that has ended HTTPS.
PROXY = {"X-Forwarded-Proto": "https"}


_unix = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows")


@pytest.fixture(
    params=[pytest.param(GUNICORN, id="gunicorn", marks=_unix), pytest.param(UVICORN, id="uvicorn")]
)
def server(request: Any, db: None) -> Iterator[Server]:
    """A server with ATOMIC_REQUESTS, and redirects to HTTPS."""
    with servers.serve(request.param, DJANGO_SETTINGS_MODULE="tests.server_settings") as running:
        yield running


@pytest.mark.timeout(90)
def test_webhook__under_a_server(server: Server) -> None:
    """Events come one by one, and many at once."""
    check_answers(server)
    check_many_at_once(server)


def check_answers(server: Server) -> None:
    """Accepted with a slash or without, refused if forged or not from the proxy; committed before the answer."""
    first, second = (signed(changed(now_ms(), first_name=name)) for name in ("Isla", "Marin"))
    for path, delivery in ((URL, first), (URL.rstrip("/"), second)):
        answer = server.post(path, delivery, PROXY)
        assert (answer.status, answer.body) == (200, b'{"status": "applied"}')
    assert ClerkUser.objects.get(pk=USER).first_name == "Marin"
    assert server.post(URL, second, PROXY).body == b'{"status": "duplicate"}'
    forged = signed(changed(now_ms()), secret="whsec_MTIz")
    assert server.post(URL, forged, PROXY).status == 400
    unproxied = server.post(URL, signed(changed(now_ms())))
    assert (unproxied.status, unproxied.location) == (301, f"https://{listening.HOST}:{server.port}{URL}")
    assert WebhookEvent.objects.count() == 2


def check_many_at_once(server: Server) -> None:
    """One message delivered eight times at once is applied once, and another user's events beside it, too."""
    at = now_ms()
    ids = [f"{USER}{number}" for number in range(9)]
    same = [signed(changed(at, clerk_id=ids[8]), svix_id="msg_at_once")] * 8
    others = [signed(changed(at, clerk_id=clerk_id)) for clerk_id in ids[:8]]
    mixed = [one for pair in zip(same, others, strict=True) for one in pair]
    with ThreadPoolExecutor(8) as threads:
        answers = [answer.body for answer in threads.map(lambda one: server.post(URL, one, PROXY), mixed)]
    assert sorted(answers) == [b'{"status": "applied"}'] * 9 + [b'{"status": "duplicate"}'] * 7
    assert WebhookEvent.objects.get(svix_id="msg_at_once").attempts == 8
    assert set(ClerkUser.objects.filter(pk__in=ids).values_list("revision", flat=True)) == {1}
