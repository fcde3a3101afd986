"""PostgreSQL that restarts, cuts connections, cancels statements and ends idle transactions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from django.db import connection, transaction

from clerksync.models import ClerkUser, SyncRun, WebhookEvent
from tests import databases, profiles, proxies
from tests.crash.event_scenes import Webhooks
from tests.crash.own_servers import connected_to, own_server
from tests.crash.scene import Scene
from tests.crash.situations import until
from tests.postgresql import Running
from tests.syncing import LISTS

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor these signals"),
    pytest.mark.skipif(databases.kind() != "postgresql", reason="SQLite is a file: it has no server"),
]

#: Which work, and at which of its commits.
COMMITS = profiles.pick(
    short=[("full", 1), ("full", 4), ("incremental", 3), ("webhooks", 1), ("pages", 2), ("linking", 1)],
    long=list(product(["full", "incremental", "webhooks", "pages", "linking"], range(1, 9))),
)


@pytest.fixture(scope="module")
def server(django_db_setup: None, django_db_blocker: Any) -> Iterator[Running]:
    """A server of this module's own."""
    with django_db_blocker.unblock(), own_server() as running:
        yield running


@pytest.fixture
def own(server: Running, transactional_db: None, stage: Callable[[str], Scene]) -> Iterator[Running]:
    """This test works on it, here and in its children."""
    with connected_to(HOST=str(server.path)):
        yield server
        tables = "clerksync_clerkuser, clerksync_mirrorstate, clerksync_syncrun, clerksync_webhookevent"
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {tables}, auth_user CASCADE")


@pytest.fixture
def proxy() -> Iterator[proxies.Proxy]:
    """A proxy in front of the server that all tests share."""
    found = proxies.Proxy(databases.directory() / "pg" / ".s.PGSQL.5432")
    found.up()
    yield found
    found.down()


def through(proxy: proxies.Proxy) -> dict[str, Any]:
    """The settings of a database behind a proxy."""
    return {"HOST": proxies.HOST, "PORT": str(proxy.port)}


@pytest.mark.parametrize("is_passed", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize(("name", "number"), COMMITS)
def test_commit__nobody_knows(
    stage: Callable[[str], Scene],
    proxy: proxies.Proxy,
    name: str,
    number: int,
    is_passed: bool,  # noqa: FBT001
) -> None:
    """The connection ends at a commit, which the server has done or not: an error, and the next run comes out right."""
    scene = stage(name)
    proxy.cut = proxies.Cut(b"COMMIT", number, is_passed)
    status = scene.run(database=through(proxy))
    said = scene.forks.said()
    if not proxy.cut.is_done.is_set():
        assert (status, number > 1) == (0, True), said
    # A page is served whatever happens.
    assert status in ((0,) if name == "pages" else (0, 1)), said
    # A web server's log has the traceback.
    assert name == "webhooks" or "Traceback" not in said, said
    scene.check_kept()
    scene.pass_time()
    scene.recover()
    scene.check()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart(stage: Callable[[str], Scene], own: Running, mode: Any) -> None:
    """The server restarts in the middle of a sync and of webhooks: clear errors, and nothing of what was answered is lost."""
    scene, host = stage("full"), {"HOST": str(own.path)}
    scene.clerk.fail("slow", seconds=0.5, times=None, on=LISTS)
    webhooks = Webhooks(scene.clerk, scene.forks, scene.book)
    webhooks.deliveries = [
        scene.clerk.sign_webhook("user.updated", user, svix_id=f"msg_{number}")
        for number, user in enumerate(scene.clerk.users()[:20])
    ]
    sync, delivering = scene.start(database=host), webhooks.start(database=host, tries=100)
    until(lambda: SyncRun.objects.filter(state="running", checkpoint__seen__gt=0).exists())
    connection.close()
    own.restart(mode)
    assert (scene.forks.wait(sync), scene.forks.wait(delivering)) == (1, 0), scene.forks.said()
    assert "the database failed: " in scene.forks.said()
    answered = webhooks.noted("answered")
    assert WebhookEvent.objects.filter(svix_id__in=answered, handled=True).count() == len(answered) == 20
    scene.clerk.clear_faults()
    scene.pass_time()
    assert scene.run(database=host) == 0, scene.forks.said()
    scene.check()


@pytest.mark.parametrize("option", ["statement_timeout", "lock_timeout"])
def test_timeout__of_a_statement(stage: Callable[[str], Scene], option: str) -> None:
    """A statement that waits too long for somebody's lock is cancelled: an error, and the next run comes out right."""
    scene = stage("full")
    gone = ClerkUser.objects.exclude(pk__in=[user["id"] for user in scene.clerk.users()])
    with transaction.atomic():
        list(ClerkUser.objects.filter(pk=gone.order_by("created_ms")[0].pk).select_for_update())
        status = scene.run(database={"OPTIONS": {"options": f"-c {option}=300"}})
    assert status == 1
    assert "the database failed: canceling statement due to " in scene.forks.said()
    assert "Traceback" not in scene.forks.said()
    scene.pass_time()
    scene.recover()
    scene.check()


def test_timeout__of_a_webhook(stage: Callable[[str], Scene]) -> None:
    """Svix is told to come again, and nothing was recorded; a page is served."""
    scene = stage("webhooks")
    assert isinstance(scene, Webhooks)
    user = ClerkUser.objects.get(pk=scene.clerk.users()[0]["id"])
    scene.deliveries = scene.deliveries[1:2]
    with transaction.atomic():
        list(ClerkUser.objects.filter(pk=user.pk).select_for_update())
        assert scene.run(database={"OPTIONS": {"options": "-c lock_timeout=300"}}) == 1
    assert "webhook not recorded: the database failed" in scene.forks.said()
    assert not WebhookEvent.objects.exists()
    assert scene.run() == 0
    assert WebhookEvent.objects.get().state == "applied"


def test_timeout__of_idle_transactions(stage: Callable[[str], Scene]) -> None:
    """Transactions never wait for Clerk: a server that ends idle ones soon is no trouble, however slow Clerk is."""
    scene = stage("full")
    scene.clerk.fail("slow", seconds=2, times=2, on=LISTS)
    scene.clerk.fail("slow", seconds=2, on="GET /v1/users/{id}")
    options = {"options": "-c idle_in_transaction_session_timeout=1000"}
    assert scene.run(database={"OPTIONS": options}) == 0, scene.forks.said()
    scene.check()
