"""Processes that are killed anywhere: at a random statement, fail point or moment, several times in a row (I6).

A failing run prints the command that repeats it; what depends on the moment may need several tries.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests import databases, profiles
from tests.crash.scene import Scene
from tests.crash.scenes import SCENES
from tests.figures import tell

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor these signals"),
]

SEED = "CLERKSYNC_TEST_SEED"
RUNS = profiles.pick(short=6, long=200)
#: Whatever the work, it has fewer statements, and takes less time on a machine that has nothing else to do.
STATEMENTS, SECONDS = 60, 0.8


@pytest.mark.parametrize("number", range(RUNS))
def test_kill__at_random(stage: Callable[[str], Scene], number: int) -> None:
    """One to three kills somewhere on the way of some work; then a restart completes it."""
    seed = os.environ.get(SEED) or profiles.pick(short=str(number), long=secrets.token_hex(4))
    print(  # noqa: T201  # shown if it fails
        f"{SEED}={seed} {databases.KIND}={databases.kind()} {profiles.NAME}={os.environ.get(profiles.NAME, 'short')} "
        f"python -m pytest -p no:randomly '{__file__}::test_kill__at_random[{number}]'"
    )
    chance = random.Random(seed)
    scene = stage(chance.choice(sorted(SCENES)))
    for _ in range(chance.randint(1, 3)):
        status = _run_and_kill(scene, chance)
        assert status in (-signal.SIGKILL, 0, 1), scene.forks.said()
        tell("points killed", status == -signal.SIGKILL)
        scene.check_kept()
        scene.pass_time()
    scene.recover()
    scene.check()


def _run_and_kill(scene: Scene, chance: random.Random) -> int:
    how: dict[str, Any] = {}
    match chance.choice(["statement", "point", "moment"]):
        case "statement":
            how = {"kill_at": chance.randrange(STATEMENTS)}
        case "point":
            how = {"fail_at": f"{chance.choice(scene.points)}:{chance.randint(1, 4)}"}
        case _:
            child = scene.start()
            time.sleep(chance.uniform(0, SECONDS))
            os.kill(child, signal.SIGKILL)
            return scene.forks.wait(child)
    return scene.run(**how)
