"""What all tests of crashes need: processes that fork, and work to be killed in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clerksync.testing import FakeClerk
from tests import processes
from tests.crash.scene import Scene
from tests.crash.scenes import SCENES
from tests.forked_syncs import Forks, forking


@pytest.fixture(scope="module")
def forker(django_db_setup: None) -> Iterator[subprocess.Popen[str]]:
    """A process that forks, on the databases of these tests."""
    with forking(processes.environment()) as process:
        yield process


@pytest.fixture
def forks(forker: subprocess.Popen[str], tmp_path: Path) -> Forks:
    """Starts work in processes of its own."""
    return Forks(forker, tmp_path / "output")


@pytest.fixture
def stage(clerk: FakeClerk, forks: Forks, settings: Any, tmp_path: Path) -> Callable[[str], Scene]:
    """Prepares a scene, with its settings."""

    def prepared(name: str) -> Scene:
        scene = SCENES[name](clerk, forks, tmp_path / "book")
        for setting, value in scene.settings.items():
            setattr(settings, setting, value)
        scene.prepare()
        return scene

    return prepared
