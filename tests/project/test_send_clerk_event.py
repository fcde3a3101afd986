"""Webhooks of the demo's fake Clerk, sent from another terminal to the demo's site."""

from __future__ import annotations

import re
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


def sent(database: Path, *events: list[str]) -> list[str]:
    """What the command prints of each event when all is well."""
    done = demos.run_all(database, [[NAME, *event] for event in events])
    assert [(one.status, one.stderr) for one in done] == [(0, "")] * len(events)
    return [one.stdout for one in done]


def created(told: str) -> str:
    """Of whom it tells."""
    return told.split()[2].rstrip(":")


def page(database: Path) -> str:
    """The first page of the site."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    text: str = opener.open((database.parent / "url").read_text()).read().decode()
    return text


def test_updated__is_seen(database: Path) -> None:
    """The newest user is meant unless one is named; a changed name is in the table when the command ends.

    A sign-in tells of its user as well.
    """
    first, second, third = sent(
        database,
        ["user.created", "--first-name", "Ruddock"],
        ["user.updated", "--first-name", "Finlay"],
        ["session.created"],
    )
    clerk_id = created(first)
    assert second == f"user.updated of {clerk_id}: applied\n"
    assert third.endswith(": applied\n")
    names = ["--first-name", "Marin", "--last-name", "Weir"]
    [told] = sent(database, ["user.updated", "--user", clerk_id, *names])
    assert told == f"user.updated of {clerk_id}: applied\n"
    assert re.search(rf">Marin Weir</bdi>.*{clerk_id}</code>", page(database))


def test_deleted__leaves_clerk_too(database: Path) -> None:
    """The user is deleted in the fake Clerk, and marked so in the table."""
    clerk_id = created(sent(database, ["user.created", "--first-name", "Ruddock"])[0])
    deleted, again = demos.run_all(
        database, [[NAME, event, "--user", clerk_id] for event in ("user.deleted", "user.updated")]
    )
    assert deleted == (0, f"user.deleted of {clerk_id}: applied\n", "")
    assert re.search(rf"{clerk_id}</code></td><td>deleted</td>", page(database))
    assert (again.status, again.stdout) == (2, "")
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
