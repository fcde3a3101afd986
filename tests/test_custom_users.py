"""User models of a project's own, which only a process of its own can have."""

from __future__ import annotations

import subprocess
import sys

import pytest

from project.defaults import BASE_DIR
from tests.processes import environment


@pytest.mark.each_database
@pytest.mark.parametrize("model", ["Member", "Resident"])
def test_cases__pass(model: str) -> None:
    """The cases of ``tests/members`` pass with this model as AUTH_USER_MODEL."""
    options = ["-q", "-p", "no:cacheprovider", "--ds", "tests.members.settings", "tests/members/cases.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=BASE_DIR,
        env=environment(CLERKSYNC_TEST_MODEL=model, DJANGO_SETTINGS_MODULE="tests.members.settings"),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
