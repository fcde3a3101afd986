"""Processes that are killed at every named place on their way, and what a restart makes of it (I5, I6, I7)."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import pytest

from tests import failpoints, profiles
from tests.crash.scene import Scene
from tests.crash.scenes import SCENES
from tests.figures import tell

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor these signals"),
]

#: The first run is killed at the first of these times that the place is reached, the next run at the second, ...
TIMES: tuple[tuple[int, ...], ...] = profiles.pick(short=((1, 2),), long=((1, 2), (3, 1), (2, 5), (4, 4, 4)))


def test_names__all_resolve() -> None:
    """Each fail point is a function of the product, and on the way of some work that is killed there."""
    for point in failpoints.FAIL_POINTS.values():
        assert callable(failpoints.find(point)[2])
    assert {name for scene in SCENES.values() for name in scene.points} == failpoints.FAIL_POINTS.keys()


@pytest.mark.parametrize("times", TIMES, ids=str)
@pytest.mark.parametrize(
    ("name", "point"), [(name, point) for name in SCENES for point in SCENES[name].points]
)
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
