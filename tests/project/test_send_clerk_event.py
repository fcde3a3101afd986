"""Webhooks of the demo's fake Clerk, sent from another terminal to the demo's site."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from project.defaults import BASE_DIR
from tests import demos

NAME = "send_clerk_event"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The database of a demo that is serving."""
    path = tmp_path_factory.mktemp("demo") / "demo.sqlite3"
    with demos.site(path) as (_, url, _):
        (path.parent / "url").write_text(url)
        yield path


def sent(database: Path, *options: str) -> str:
    """What the command prints when all is well."""
    done = demos.run(database, *options, name=NAME)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def page(database: Path) -> str:
    """The first page of the site."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    text: str = opener.open((database.parent / "url").read_text()).read().decode()
    return text


def newest(database: Path) -> str:
    """The id of a new user, whom the table knows by an event."""
    return sent(database, "user.created", "--first-name", "Ruddock").split()[2].rstrip(":")


def test_updated__is_seen(database: Path) -> None:
    """The newest user is meant unless one is named; a changed name is in the table when the command ends."""
    clerk_id = newest(database)
    assert sent(database, "user.updated", "--first-name", "Finlay").startswith(f"user.updated of {clerk_id}")
    told = sent(database, "user.updated", "--user", clerk_id, "--first-name", "Marin", "--last-name", "Weir")
    assert told == f"user.updated of {clerk_id}: applied\n"
    assert re.search(rf">Marin Weir</bdi>.*{clerk_id}</code>", page(database))


def test_session__of_a_user(database: Path) -> None:
    """A sign-in tells of its user as well."""
    assert sent(database, "session.created").endswith(": applied\n")


def test_deleted__leaves_clerk_too(database: Path) -> None:
    """The user is deleted in the fake Clerk, and marked so in the table."""
    clerk_id = newest(database)
    assert sent(database, "user.deleted", "--user", clerk_id) == f"user.deleted of {clerk_id}: applied\n"
    assert re.search(rf"{clerk_id}</code></td><td>deleted</td>", page(database))
    again = demos.run(database, "user.updated", "--user", clerk_id, name=NAME)
    assert (again.returncode, again.stdout) == (2, "")
    assert f"No user was found with id {clerk_id}" in again.stderr


@pytest.mark.parametrize("left", [None, "of a demo that was killed", "not JSON"])
def test_no_site__says_what_to_run(tmp_path: Path, left: str | None) -> None:
    """Without a running site, whatever an earlier one has left, the command to start one is named."""
    states = {"not JSON": "{", "of a demo that was killed": _state("http://127.0.0.1:9")}
    if left:
        (tmp_path / "demo.json").write_text(states[left])
    done = demos.run(tmp_path / "demo.sqlite3", "user.updated", name=NAME)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("another terminal: python manage.py demo --serve\n")


def _state(url: str) -> str:
    return (
        f'{{"clerk_url": "{url}", "clerk_key": "", "webhook_url": "{url}", "webhook_secret": "whsec_MTIz"}}'
    )


def test_refused__by_the_site(database: Path, tmp_path: Path) -> None:
    """An answer other than 200 is shown and is a failure."""
    state = re.sub(r"whsec_[^\"]+", "whsec_MTIz", database.with_suffix(".json").read_text())
    (tmp_path / "demo.json").write_text(state)
    done = demos.run(tmp_path / "demo.sqlite3", "user.updated", name=NAME)
    assert (done.returncode, done.stdout) == (1, "")
    assert "The site answered 400" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to all processes of a console")
def test_state__removed_at_the_end(tmp_path: Path) -> None:
    """The file with the keys is there, for its owner alone, while the site runs, and no longer."""
    with demos.site(tmp_path / "demo.sqlite3") as (process, _, _):
        assert (tmp_path / "demo.json").stat().st_mode & 0o077 == 0
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert not (tmp_path / "demo.json").exists()


def test_settings__of_a_project() -> None:
    """With the settings of a real project nothing is read or sent."""
    done = subprocess.run(
        [sys.executable, "manage.py", NAME, "user.updated", "--settings", "tests.settings"],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Leave --settings" in done.stderr
