"""Page loads under real servers: several processes and threads, and an event loop, over HTTP."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clerksync.conf import settings
from clerksync.models import ClerkUser
from clerksync.testing import FakeClerk
from tests import servers
from tests.servers import GUNICORN, UVICORN, Server
from tests.syncing import READS

pytestmark = pytest.mark.django_db(transaction=True)

*_OPTIONS, _APPLICATION = GUNICORN
THREADED = (*_OPTIONS, "--worker-class", "gthread", "--threads", "8", _APPLICATION)


@pytest.fixture(
    params=[
        pytest.param(
            THREADED,
            id="gunicorn",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows"),
        ),
        pytest.param(UVICORN, id="uvicorn"),
    ]
)
def server(request: Any, clerk: FakeClerk) -> Iterator[Server]:
    """A server of the pages, with this test's Clerk."""
    with servers.serve(
        request.param,
        DJANGO_SETTINGS_MODULE="tests.page_settings",
        CLERK_API_URL=settings.CLERK_API_URL,
        CLERK_SECRET_KEY=settings.CLERK_SECRET_KEY,
        CLERK_PUBLISHABLE_KEY=settings.CLERK_PUBLISHABLE_KEY,
    ) as running:
        yield running


@pytest.mark.timeout(90)
def test_new_users__many_at_once(server: Server, clerk: FakeClerk) -> None:
    """6 new users x 16 threads at once: 96 answers 200 with the right name, 6 rows, 6 reads; at both kinds of views."""
    users = [clerk.create_user(first_name=name) for name in ("Isla", "Marin", "Bo", "Ada", "Sol", "Kim")]
    visits = list(zip(users, ["/user/", "/user-async/"] * 3, strict=True))
    clerk.fail("slow", seconds=0.2, times=None, on=READS)

    def visit(number: int) -> list[str]:
        shifted = visits[number % 6 :] + visits[: number % 6]
        answers = [server.get(path, clerk.bearer(user)) for user, path in shifted]
        assert {answer.status for answer in answers} == {200}
        names = [json.loads(answer.body)["name"] or "" for answer in answers]
        return [name for name, (user, _) in zip(names, shifted, strict=True) if user["first_name"] in name]

    with ThreadPoolExecutor(16) as threads:
        right = [name for names in threads.map(visit, range(16)) for name in names]
    assert len(right) == 96
    assert ClerkUser.objects.filter(state="active").count() == 6
    reads = Counter(request.path for request in clerk.requests if request.path.startswith("/v1/users/"))
    assert reads == {f"/v1/users/{user['id']}": 1 for user in users}
