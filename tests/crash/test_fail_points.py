"""Processes that are killed at every named place on their way, and what a restart makes of it (I5, I6, I7)."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from clerksync.models import ClerkUser
from tests import failpoints, profiles
from tests.crash.event_scenes import Webhooks
from tests.crash.scene import DRAIN, WRITER, Scene
from tests.crash.scenes import SCENES
from tests.figures import tell
from tests.syncing import Syncer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor these signals"),
]

#: The first run is killed at the first of these times that the place is reached, the next run at the second, ...
TIMES: tuple[tuple[int, ...], ...] = profiles.pick(short=((1, 2),), long=((1, 2), (3, 1), (2, 5), (4, 4, 4)))
#: What a few kinds of work do alike is tried in one of them, and in the others if there is a night for it.
ALIKE = profiles.pick(
    short={"audit": (*DRAIN, *WRITER), "refresh": WRITER, "scheduler": ("sync.closed",)}, long={}
)
PAIRS = [
    (name, point) for name in SCENES for point in SCENES[name].points if point not in ALIKE.get(name, ())
]


def test_names__all_resolve() -> None:
    """Each fail point is a function of the product, and on the way of some work that is killed there."""
    for point in failpoints.FAIL_POINTS.values():
        assert callable(failpoints.find(point)[2])
    assert {name for scene in SCENES.values() for name in scene.points} == failpoints.FAIL_POINTS.keys()


@pytest.mark.parametrize("times", TIMES, ids=str)
@pytest.mark.parametrize(("name", "point"), PAIRS)
def test_kill__at(stage: Callable[[str], Scene], name: str, point: str, times: tuple[int, ...]) -> None:
    """After SIGKILL there, and another on the way of the second run, a restart completes the work."""
    scene = stage(name)
    statuses = []
    for number in times:
        statuses.append(scene.run(fail_at=f"{point}:{number}"))
        assert statuses[-1] in (-signal.SIGKILL, 0, 1), scene.forks.said()
        scene.check_kept()
        scene.pass_time()
    assert times[0] > 1 or statuses[0] == -signal.SIGKILL
    tell("points killed", statuses.count(-signal.SIGKILL))
    scene.recover()
    scene.check()


@pytest.mark.parametrize("point", ["sync.page-fetched", "sync.page-applied", "drain.before-confirm"])
def test_kill__beside_webhooks(stage: Callable[[str], Scene], point: str) -> None:
    """Webhooks go on while a sync is killed; what they have told stays."""
    scene = stage("full")
    clerk, told = scene.clerk, dict[str, Any]()
    beside = Webhooks(clerk, scene.forks, scene.book)
    beside.deliveries = []
    for number, user in enumerate(clerk.users()[10:25]):
        told[user["id"]] = clerk.update_user(user["id"], last_name="Changed")
        delivery = clerk.sign_webhook("user.updated", told[user["id"]], svix_id=f"msg_{number}")
        beside.deliveries.append(delivery)
    delivering = beside.start()
    assert scene.run(fail_at=f"{point}:1") == -signal.SIGKILL
    assert scene.forks.wait(delivering) == 0
    tell("points killed")
    rows = ClerkUser.objects.in_bulk(told)
    assert {clerk_id: rows[clerk_id].updated_ms for clerk_id in told} == {
        clerk_id: user["updated_at"] for clerk_id, user in told.items()
    }
    scene.pass_time()
    clerk.advance(seconds=60)
    assert Syncer(clerk).full().exit_status == 0
    Scene.check(scene)
