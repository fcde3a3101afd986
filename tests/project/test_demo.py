"""The demo: the table that it prepares, the story that it tells, and the command in processes of its own."""

from __future__ import annotations

import http.cookiejar
import io
import os
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from django.core.management.base import CommandError, OutputWrapper
from django.utils import timezone

from clerksync.conf import settings
from clerksync.models import ClerkUser, SyncRun
from clerksync.testing import FakeClerk
from project import demo_story
from project.defaults import BASE_DIR
from project.demo_table import Prepared, prepare
from tests import demos

SUM = "54 in Clerk. 32 created or updated, 22 already right, 1 deleted, 0 placeholders."


def told(prepared: Prepared) -> str:
    """What the story says before it ends, well or not."""
    out = io.StringIO()
    try:
        demo_story.tell(prepared, OutputWrapper(out))
    except CommandError as error:
        out.write(f"CommandError: {error}")
    return out.getvalue()


@pytest.mark.django_db
def test_prepare__wrong_in_many_ways(clerk_server: FakeClerk) -> None:
    """The table lacks users, holds invented ones beside right ones, and one whom Clerk has no more."""
    prepared = prepare(clerk_server)
    assert (prepared.wrong, prepared.right, prepared.gone) == (32, 22, 1)
    rows = ClerkUser.objects.in_bulk()
    assert len(clerk_server) - sum(clerk_id in clerk_server for clerk_id in rows) == prepared.missing
    assert [clerk_id in clerk_server for clerk_id in rows].count(False) == prepared.gone
    invented = [row for row in rows.values() if row.email == f"{row.clerk_id}@example.com"]
    assert [row.state for row in invented].count("incomplete") == prepared.invented
    assert [row.state for row in invented].count("active") == prepared.overwritten


@pytest.mark.django_db
def test_prepare__drops_what_was_there(clerk_server: FakeClerk) -> None:
    """The demo can be run again: it starts from the same table each time."""
    now = timezone.now()
    ClerkUser.objects.create(clerk_id="user_before", first_seen=now, last_written=now)
    SyncRun.objects.create(kind=SyncRun.Kind.FULL, started_at=now, progressed_at=now)
    prepare(clerk_server)
    assert not ClerkUser.objects.filter(pk="user_before").exists()
    assert not SyncRun.objects.filter(kind=SyncRun.Kind.FULL).exists()


@pytest.mark.django_db
def test_tell__comes_true(clerk_server: FakeClerk) -> None:
    """Audit, sync, audit: found, mended, clean; the last line says what was done."""
    story = told(prepare(clerk_server))
    assert [line for line in story.splitlines() if line.startswith(("$", "Exit status"))] == [
        f"$ {demo_story.FIRST_AUDIT}",
        "Exit status 1: the audit found something, and only looked.",
        f"$ {demo_story.SYNC}",
        "Exit status 0.",
        f"$ {demo_story.AUDIT}",
        "Exit status 0.",
    ]
    assert story.splitlines()[-1] == SUM


@pytest.mark.django_db
def test_tell__counts_what_happened(clerk_server: FakeClerk) -> None:
    """The sum is of the commands' own reports, and another one than was prepared is a failure."""
    prepared = prepare(clerk_server)
    right = ClerkUser.objects.active().exclude(email__endswith="@example.com").values_list("pk", flat=True)
    here = [clerk_id for clerk_id in right if clerk_id in clerk_server]
    clerk_server.delete_user(here[0])
    clerk_server.update_user(here[1], first_name="Marin")
    clerk_server.create_user()
    assert told(prepared).splitlines()[-2:] == [
        "54 in Clerk. 34 created or updated, 20 already right, 2 deleted, 0 placeholders.",
        f"CommandError: That is not what should have happened: {SUM}",
    ]


@pytest.mark.django_db
def test_tell__placeholder_in_clerk(clerk_server: FakeClerk) -> None:
    """What Clerk itself holds is found by the last audit, and is no success."""
    prepared = prepare(clerk_server)
    clerk_server.create_user(first_name="New", last_name="User")
    story = told(prepared).splitlines()
    assert story[-4] == "Exit status 1: the audit found something, and only looked."
    assert story[-2] == "55 in Clerk. 33 created or updated, 22 already right, 1 deleted, 2 placeholders."
    assert story[-1].startswith("CommandError")


@pytest.mark.django_db
def test_tell__clerk_fails(clerk_server: FakeClerk) -> None:
    """A Clerk that refuses is told as such; nothing is made up."""
    prepared = prepare(clerk_server)
    clerk_server.fail(401, times=None, on="*")
    story = told(prepared)
    assert "0 in Clerk. 0 created or updated" in story
    assert "CommandError: That is not what should have happened" in story


def test_demo__twice(tmp_path: Path) -> None:
    """Run again, with or without --reset, it tells the same story, on this machine alone."""
    database = tmp_path / "demo.sqlite3"
    stories = [demos.run(database, *options) for options in ([], [], ["--reset"])]
    assert [(done.returncode, done.stderr) for done in stories] == [(0, "")] * 3
    first, *others = (demos.normalise(done.stdout) for done in stories)
    assert [first, first] == others
    assert first.splitlines().count(SUM) == 1


def test_loopback__guards(tmp_path: Path) -> None:
    """The fence around the demo's processes keeps a script in that asks for another host."""
    script = tmp_path / "script.py"
    script.write_text("import urllib.request; urllib.request.urlopen('http://192.0.2.1:9', timeout=1)")
    done = subprocess.run(
        [sys.executable, "-m", "tests.loopback", str(script)],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "RuntimeError: socket.getaddrinfo of '192.0.2.1'" in done.stderr


def test_demo__reset(tmp_path: Path) -> None:
    """--reset starts from a new file, whatever state the old one is in."""
    database = tmp_path / "demo.sqlite3"
    database.write_text("no database at all, and long enough to be told from an empty one")
    assert demos.run(database).returncode == 1
    assert demos.run(database, "--reset").returncode == 0


def test_demo__next_steps(tmp_path: Path, clerk_server: FakeClerk) -> None:
    """What the demo advises works: a copy of the example with a key in it, and the commands after that."""
    clerk_server.create_users(3)
    changes = {
        "CLERK_SECRET_KEY": clerk_server.secret_key,
        "CLERK_API_URL": settings.CLERK_API_URL,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'users.sqlite3'}",
    }
    text = (BASE_DIR / ".env.example").read_text(encoding="utf-8")
    for name, value in changes.items():
        text = text.replace(f"\n{name}=\n", f"\n{name}={value}\n")
    (tmp_path / "env").write_text(text, encoding="utf-8")
    advice = re.findall(r"^  python manage.py (.+)$", demos.run(tmp_path / "demo.sqlite3").stdout, re.M)
    assert advice[0] == "demo --serve"
    for line in advice[1:]:
        done = subprocess.run(
            [sys.executable, "manage.py", *line.split()],
            cwd=BASE_DIR,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "project.settings",
                "ENV_FILE": str(tmp_path / "env"),
            },
            capture_output=True,
            text=True,
            check=True,
        )
    assert "3 users" in done.stdout


def test_demo__no_other_settings() -> None:
    """With the settings of a real project, named anyhow, the demo touches nothing."""
    done = subprocess.run(
        [sys.executable, "manage.py", "demo", "--settings", "tests.settings"],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "project.demo_settings alone" in done.stderr


def test_serve__first_page_and_sign_in(tmp_path: Path) -> None:
    """The site shows the users and lets in who has the password of this run; then a user signs in."""
    with demos.site(tmp_path / "demo.sqlite3") as (_, url, password):
        check_pages(url, password)
        check_sign_in(url)


def check_pages(url: str, password: str) -> None:
    """The users are shown, escaped; the admin has its charts."""
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPCookieProcessor(cookies := http.cookiejar.CookieJar()),
    )
    page = opener.open(url).read().decode()
    assert page.count("<tr>") == 1 + 55
    assert "&lt;b&gt;Fergus&lt;/b&gt;" in page
    opener.open(f"{url}admin/login/").read()
    token = next(cookie.value for cookie in cookies if cookie.name == "csrftoken")
    form = {"username": "demo", "password": password, "csrfmiddlewaretoken": token, "next": "/admin/"}
    answer = opener.open(f"{url}admin/login/", urllib.parse.urlencode(form).encode())
    assert answer.url == f"{url}admin/"
    dashboard = opener.open(f"{url}admin/clerksync/mirrorstate/").read().decode()
    assert dashboard.count('class="clerksync-chart"') == 4
    assert opener.open(f"{url}static/admin/css/base.css").status == 200


def check_sign_in(url: str) -> None:
    """Signed in by a token of the fake Clerk, a change of the name arrives by a real webhook."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPCookieProcessor(cookies := http.cookiejar.CookieJar()),
    )

    def post(path: str, **form: str) -> str:
        token = next(cookie.value or "" for cookie in cookies if cookie.name == "csrftoken")
        data = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": token}).encode()
        page: str = opener.open(url + path, data).read().decode()
        return page

    clerk_id = re.findall(r'name="clerk_id" value="(\w+)"', opener.open(url).read().decode())[0]
    assert "<h1>You are" in post("session/sign-in/", clerk_id=clerk_id)
    page = post("name/", first_name="Marin", last_name="Dahl", how="webhook")
    assert page.count("<bdi>Marin Dahl</bdi>") == 3
    assert "by a webhook" in page


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to all processes of a console")
def test_serve__ctrl_c(tmp_path: Path) -> None:
    """Ctrl-C ends the site at once and without an error; the next site has another password.

    The file with the keys is there, for its owner alone, while the site runs, and no longer.
    """
    passwords, keys = set(), tmp_path / "demo.json"
    for _ in range(2):
        with demos.site(tmp_path / "demo.sqlite3") as (process, _, password):
            passwords.add(password)
            assert keys.stat().st_mode & 0o077 == 0
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=10)
            assert (process.returncode, rest, keys.exists()) == (0, "Stopped.\n", False)
    assert len(passwords) == 2
