"""The README: what it shows is run, and what it lists is what there is."""

from __future__ import annotations

import ast
import inspect
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from argparse import SUPPRESS
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from asgiref.sync import async_to_sync
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.test import Client, RequestFactory, override_settings
from django.utils.module_loading import import_string

from clerksync import exceptions, foreign, reasons, signals, status, verdicts
from clerksync.breaker import default_limit
from clerksync.comparing import broken_rules
from clerksync.conf import Settings, settings
from clerksync.doctor.examination import Report
from clerksync.doctor.findings import GROUP_OF
from clerksync.events import off
from clerksync.findings import Cause, Finding, FindingKind, Summary
from clerksync.linkreports import ProblemKind
from clerksync.linkrules import parse_rule
from clerksync.logs import Log
from clerksync.models import WebhookEvent
from clerksync.placeholders import PlaceholderRules
from clerksync.probe import DO_NOT_TICK, MAY_TICK, TICK
from clerksync.testing import FakeClerk, RealClock, every_shape
from project.defaults import BASE_DIR
from tests import batch, demos
from tests.batch import Done
from tests.deliveries import USER, WEBHOOK_SECRET, changed, deliver, now_ms
from tests.links import add_row, linking_on

README = (BASE_DIR / "README.md").read_text(encoding="utf-8")
SYNCS = ("sync_clerk_users", "audit_clerk_users")
COMMANDS = (
    *SYNCS,
    "check_clerk",
    "replay_clerk_events",
    "prune_clerk_data",
    "clerk_status",
    "run_clerk_scheduler",
    "link_clerk_users",
    "anonymize_clerk_user",
    "export_clerk_user",
)
#: Commands of the demo, which runs in a terminal of its own.
DEMO = "python manage.py send_clerk_event "

_VENV = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/python"
#: They install something, so no test runs them; the CI script does the same and is the test of it.
INSTALLING = [
    f"{_VENV} manage.py demo",
    f"{_VENV} -m tests",
    "uv run --extra dev manage.py demo",
    "uv run --extra dev python -m tests",
    ".venv/bin/python -m tests --matrix",
]


def blocks(language: str) -> list[str]:
    """The fenced blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def lines() -> list[str]:
    """All command lines."""
    return [line for block in blocks("shell") for line in block.splitlines()]


def section(title: str) -> str:
    """The text under a heading, up to the next one."""
    _, found, text = README.partition(f"# {title}\n")
    assert found, f"the README has no section {title!r}"
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str, *, heading: str) -> list[list[str]]:
    """The cells of the table with this first heading."""
    table = text.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def names(text: str, *, heading: str) -> list[str]:
    """What stands as code in the first column of a table."""
    return [name for first, *_ in rows(text, heading=heading) for name in re.findall(r"`([^`]+)`", first)]


def command(name: str) -> BaseCommand:
    """A management command."""
    found: BaseCommand = import_module(f"clerksync.management.commands.{name}").Command()
    return found


def test_languages__known() -> None:
    """No command hides in a block that the tests below do not read."""
    assert set(re.findall(r"^```(\w*)", README, re.MULTILINE)) == {"", "shell", "text", "python", "yaml"}


def test_installing__two_commands() -> None:
    """The commands that install are the known ones, and the CI script runs what they are made of."""
    assert [line for line in lines() if not line.startswith("python manage.py ")] == INSTALLING
    script = (BASE_DIR / ".ci" / "run").read_text()
    assert all(part in script for part in ("-m venv", "-e '.[dev]'", "-m tests"))


def test_demo__output(tmp_path: Path) -> None:
    """The demo prints what the README shows."""
    done = demos.run(tmp_path / "demo.sqlite3")
    assert demos.normalise(done.stdout) == demos.normalise(blocks("text")[0])


@pytest.fixture
def new_project(tmp_path: Path) -> Path:
    """A project as Django starts it, with the README's lines at the end of its settings."""
    start = [sys.executable, "-m", "django", "startproject", "harbour", str(tmp_path)]
    subprocess.run(start, check=True)
    with (tmp_path / "harbour" / "settings.py").open("a") as file:
        file.write(blocks("python")[0])
        for part in ("MIDDLEWARE += ", "CLERKSYNC_LINK_USERS = "):
            file.write(next(block for block in blocks("python") if part in block))
    with (tmp_path / "harbour" / "urls.py").open("a") as file:
        file.write(blocks("python")[1])
    return tmp_path


def manage(project: Path, *commands: Sequence[str]) -> list[tuple[Sequence[str], Done]]:
    """Run commands of a project against the fake Clerk, and against nothing else, up to the first that fails."""
    keys = {
        "CLERK_SECRET_KEY": settings.CLERK_SECRET_KEY,
        "CLERK_PUBLISHABLE_KEY": settings.CLERK_PUBLISHABLE_KEY,
        "CLERK_API_URL": settings.CLERK_API_URL,
        "CLERK_WEBHOOK_SIGNING_SECRET": WEBHOOK_SECRET,
        "DJANGO_SETTINGS_MODULE": "harbour.settings",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    done = batch.run_all(project / "manage.py", commands, {**os.environ, **keys})
    return list(zip(commands, done, strict=False))


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(360)  # there are many
def test_commands__in_a_new_project(new_project: Path, clerk_server: FakeClerk, live_server: Any) -> None:
    """Every other command line works in a project that is set up as the README says, in its order."""
    every_shape(clerk_server)
    clerk_server.clock = RealClock()
    site = live_server.url.replace("localhost", "127.0.0.1")
    ours = [line for line in lines() if line not in INSTALLING and not line.startswith(DEMO)]
    commands = [shlex.split(line.replace("https://your.site", site))[2:] for line in ours]
    last = [["audit_clerk_users"], ["shell", "--command", blocks("python")[2]]]
    done = manage(new_project, *commands, *last)
    assert [(line, end.status, end.stderr) for line, end in done] == [
        (line, 0, "") for line in (*commands, *last)
    ]
    (_, audit), (_, shell) = done[-2:]
    assert "Clean: 54 users" in audit.stdout
    assert shell.stdout.count("\nuser_") + shell.stdout.startswith("user_") == 10


def test_commands__of_the_demo(tmp_path: Path) -> None:
    """The events that the README sends to the demo's site are applied."""
    with demos.site(tmp_path / "demo.sqlite3"):
        commands = [shlex.split(line)[2:] for line in lines() if line.startswith(DEMO)]
        done = demos.run_all(tmp_path / "demo.sqlite3", commands)
    assert [(end.status, end.stdout.split()[-1]) for end in done] == [(0, "applied")] * len(commands)


def test_commands__checked_settings(new_project: Path, clerk_server: FakeClerk) -> None:
    """The system checks find nothing to say about the README's settings, even in a strict mood."""
    [(_, done)] = manage(new_project, ["check", "--fail-level", "WARNING"])
    assert "no issues" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_options__all_named(name: str) -> None:
    """The table of a command names its options, all of them and no others."""
    ours, base = (
        {option for action in parser._actions if action.help != SUPPRESS for option in action.option_strings}
        for parser in (one.create_parser("manage.py", "") for one in (command(name), BaseCommand()))
    )
    listed = [option.split()[0] for option in names(section(f"`{name}`"), heading="Option")]
    assert sorted(listed) == sorted(ours - base)


@pytest.mark.parametrize("name", COMMANDS)
def test_options__formats(name: str) -> None:
    """All formats are named, and which one is the default."""
    text = section(f"`{name}`")
    for action in command(name).create_parser("manage.py", "")._actions:
        if "--format" in action.option_strings:
            first, *others = action.choices or ()
            assert f"`{first}` (the default)" in text
            assert all(f"`{choice}`" in text for choice in others)


def statuses(name: str) -> set[int]:
    """The statuses that the README gives a command."""
    table = rows(section("Exit statuses"), heading="Status")
    return {int(status.strip("`")) for status, *meanings in table if meanings[COMMANDS.index(name)] != "-"}


@pytest.mark.parametrize("name", COMMANDS)
def test_statuses__as_in_the_help(name: str) -> None:
    """The README and the command's own help know the same statuses."""
    told = re.findall(r"\b(\d+) [\w ]", command(name).help.partition("Exit status: ")[2])
    assert statuses(name) == {int(status) for status in told}


def test_statuses__of_every_error() -> None:
    """Every error that there is ends a sync with a status of the table."""
    errors = [error for error in vars(exceptions).values() if hasattr(error, "exit_status")]
    assert statuses("sync_clerk_users") == {0, 2, *(error.exit_status for error in errors)}


@pytest.mark.django_db
def test_json__of_a_sync(clerk_server: FakeClerk) -> None:
    """The keys of a sync's JSON are the documented ones."""
    clerk_server.create_user()
    out = io.StringIO()
    call_command("sync_clerk_users", "--format", "json", "--no-progress", stdout=out)
    text = section("JSON of `sync_clerk_users --format json`")
    assert sorted(names(text, heading="Key")) == sorted(json.loads(out.getvalue()))


@pytest.mark.django_db
@pytest.mark.parametrize("name", SYNCS)
def test_json__wrong_key(name: str, clerk_server: FakeClerk) -> None:
    """A key that Clerk does not accept ends with 2: a sync tells no object, an audit an incomplete one."""
    clerk_server.secret_key = "sk_test_another"
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command(name, "--format", "json", stdout=out)
    assert caught.value.returncode == 2
    told = json.loads(out.getvalue() or "null")
    assert told is None if name == "sync_clerk_users" else told["summary"]["complete"] is False


def test_json__of_an_audit() -> None:
    """The keys of an audit's JSON and the kinds of findings are the documented ones."""
    text = section("JSON of `audit_clerk_users --format json`")
    for heading, kind in (("Key of a finding", Finding), ("Key of the summary", Summary)):
        assert names(text, heading=heading) == list(kind.__struct_fields__)
    kinds = names(section("`audit_clerk_users`"), heading="Kind of finding")
    assert kinds == [kind.value for kind in FindingKind]
    assert names(section("`audit_clerk_users`"), heading="Cause of a finding") == [
        cause.value for cause in Cause
    ]


def test_settings__named_with_defaults() -> None:
    """The table has every setting with its default."""
    listed = rows(section("Settings"), heading="Setting")
    told = [(name.strip("`"), ast.literal_eval(default.strip("`"))) for name, default, _ in listed]
    assert told == [(setting.name, setting.default) for setting in Settings.declared()]


@pytest.mark.django_db
def test_linking__as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The lines of section 7 answer Django users."""
    add_row("user_a")
    with linking_on():
        exec(next(block for block in blocks("python") if "linking.user_for" in block), {})  # noqa: S102  # our own
    assert capsys.readouterr().out == "user_a user_a\n"


def test_linking__rules_and_reasons() -> None:
    """The tables name all rules and all reasons."""
    told = names(section("7. Linking to Django users"), heading="Rule")
    assert [parse_rule(rule.strip('"')) for rule in told if rule.startswith('"')]
    kinds = names(section("`link_clerk_users`"), heading="What was left")
    assert kinds == [kind.value for kind in ProblemKind]


@pytest.mark.django_db(transaction=True)
def test_handler__as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The handler of section 5 is called for an event."""
    module: dict[str, Any] = {}
    exec(blocks("python")[3], module)  # noqa: S102  # our own README
    try:
        assert deliver(changed(now_ms(), event_type="user.created")) == "applied"
    finally:
        off(module["greet"])
    assert capsys.readouterr().out.startswith(f"user.created: {USER} at ")


def python_of(heading: str) -> list[str]:
    """The Python blocks of a section of the second level, with its subsections."""
    text = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.django_db
def test_middleware__as_shown(clerk: FakeClerk, rf: RequestFactory) -> None:
    """The settings of section 6 are sound, and its views let in who is signed in."""
    middleware, views, *_of_the_api = python_of("6. Page loads")
    module: dict[str, Any] = {"MIDDLEWARE": ["django.contrib.auth.middleware.AuthenticationMiddleware"]}
    exec(middleware, module)  # noqa: S102  # our own README
    exec(views, module)  # noqa: S102
    names = {name: module[name] for name in ("MIDDLEWARE", "CLERKSYNC_AUTHORIZED_PARTIES")}
    user = clerk.create_user(first_name="Isla", last_name="Berg")
    with override_settings(**names):
        assert run_checks(tags=["clerksync"]) == []
        load = import_string(names["MIDDLEWARE"][-1])
        headers = clerk.bearer(user, org_role="org:admin", org_slug="harbour")
        account = load(module["account"])(rf.get("/", headers=headers))
        team = async_to_sync(load(module["team"]))(rf.get("/", headers=headers))
    assert (account.content, team.content) == (b"Hello Isla Berg", b"Organisation harbour")


def test_alarms__as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The receiver of section 8 is told of alarms."""
    module: dict[str, Any] = {}
    exec(next(block for block in blocks("python") if "alarm_raised.connect" in block), module)  # noqa: S102  # our own
    try:
        signals.alarm_raised.send(
            None, code="stale", text="No sync.", since=datetime(2026, 6, 1, 3, tzinfo=UTC)
        )
    finally:
        signals.alarm_raised.disconnect(module["tell_chat"])
        signals.alarm_resolved.disconnect(module["tell_chat"])
    assert capsys.readouterr().out == "stale since 03:00: No sync.\n"


def test_answers__all_named() -> None:
    """The table has everything that an accepted event is answered with; a handler's failure is no answer."""
    told = names(section("What is answered"), heading="Answer")
    assert sorted(told) == sorted({*WebhookEvent.State.values, "duplicate"} - {"failed"})


def test_status__reasons() -> None:
    """The table has every reason that the status gives."""
    told = names(section("Is it right now?"), heading="Reason")
    given = [
        code
        for module in (status, verdicts)
        for code in re.findall(r'Reason\(\s*f?"([a-z_{}]+)"', inspect.getsource(module))
    ]
    expanded = {code.format(state=state) for code in given for state in ("parked", "failed")}
    assert sorted(told) == sorted(reasons.CODES) == sorted(expanded)


def test_doctor__findings() -> None:
    """The table has every finding of check_clerk, in the order in which they are shown."""
    assert names(section("`check_clerk`"), heading="Finding") == list(GROUP_OF)
    keys = names(section("JSON of `check_clerk --format json`"), heading="Key")
    assert keys == list(Report(()).as_dict())


@pytest.mark.django_db
def test_health__all_named(client: Client) -> None:
    """The table has every key of the health URL and of the status as JSON."""
    told = set(names(section("Health"), heading="Key"))
    assert told == set(client.get("/clerk/health/").json())
    assert set(status.read().as_dict()) - told == {"holders"}


@pytest.mark.django_db
def test_health_check__as_shown() -> None:
    """The page of django-health-check answers."""
    pytest.importorskip("health_check", reason="django-health-check is not installed")
    shown: dict[str, Any] = {}
    exec(next(block for block in blocks("python") if "HealthCheckView" in block), shown)  # noqa: S102  # our own
    [pattern] = shown["urlpatterns"]
    answer = async_to_sync(pattern.callback)(RequestFactory().get("/health/?format=json"))
    assert (answer.status_code, b"No full sync has been completed yet" in answer.content) == (500, True)


def test_logs__all_named() -> None:
    """The table has every name of a record."""
    assert sorted(names(section("Logs"), heading="Event")) == sorted(log.value for log in Log)


@pytest.mark.django_db
def test_metrics__all_named(clerk: FakeClerk) -> None:
    """The table has every metric with its type and labels, and the rules name no other."""
    collector: Any = pytest.importorskip("clerksync.metrics.collector", reason="no prometheus-client here")
    clerk.create_user()
    call_command("sync_clerk_users", "--no-progress", stdout=io.StringIO())
    families = list(collector.ClerkSyncCollector().collect())
    suffixes = {"counter": "_total", "info": "_info"}
    exposed = {f"{family.name}{suffixes.get(family.type, '')}": family for family in families}
    listed = rows(section("Metrics"), heading="Metric")
    assert [name.strip("`") for name, *_ in listed] == list(exposed)
    for (_, kind, labels, _), family in zip(listed, exposed.values(), strict=True):
        assert family.type == kind
        told = set(re.findall(r"`(\w+)`", labels))
        assert all(told == sample.labels.keys() - {"le"} for sample in family.samples), family.name
    expressions = " ".join(
        rule["expr"] for group in yaml.safe_load(blocks("yaml")[0])["groups"] for rule in group["rules"]
    )
    named = set(re.findall(r"clerksync_\w+", expressions))
    assert len(named) > 5
    assert named <= exposed.keys() | {sample.name for family in families for sample in family.samples}
    for name, value in re.findall(r'\b(state|outcome)="(\w+)"', expressions):
        assert any(sample.labels.get(name) == value for family in families for sample in family.samples), (
            value
        )


def test_events__to_tick() -> None:
    """What to tick, and what not, is what check_clerk says."""
    found = re.findall(r"`([\w.]+\.created|user\.\w+)`", section("5. Webhooks"))
    assert found == [*TICK, *MAY_TICK, *DO_NOT_TICK]


def test_versions__as_declared() -> None:
    """The supported versions are those that the package declares."""
    told = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["classifiers"]
    for name, prefix in (
        ("Python", "Programming Language :: Python :: "),
        ("Django", "Framework :: Django :: "),
    ):
        declared = [found[1] for line in told if (found := re.fullmatch(rf"{prefix}(\d+\.\d+)", line))]
        assert f"| {name} | {', '.join(declared)} |" in README


def test_limit__of_deletes() -> None:
    """The breaker's limit is the one that is promised."""
    promised = re.findall(r"([\d,]+)(?: in a\s+table)? of ([\d,]+)", section("2. What it does and does not"))
    pairs = [tuple(int(number.replace(",", "")) for number in pair) for pair in promised]
    assert pairs == [(default_limit(active), active) for active in (10, 100, 1000, 10_000)]


def test_audit__settings_as_shown() -> None:
    """The settings of section 9 pass the checks, and its rule finds what it says."""
    shown: dict[str, Any] = {}
    for block in blocks("python"):
        if block.startswith(("CLERKSYNC_AUDIT_MODELS", "CLERKSYNC_PLACEHOLDER_RULES")):
            exec(block, shown)  # noqa: S102  # our own README
    named = {name: shown[name] for name in ("CLERKSYNC_AUDIT_MODELS", "CLERKSYNC_PLACEHOLDER_RULES")}
    with override_settings(**named):
        assert run_checks(tags=["clerksync"]) == []
        assert list(foreign.from_settings()[0].fields.values()) == ["email", "first_name", "last_name"]
        found = broken_rules("user_a", {"first_name": "TBD"}, PlaceholderRules.from_settings())
    assert found == {"first_name": "to_be_done"}


def test_promises__shown_by_tests() -> None:
    """Each test that is to show a promise is there."""
    told = rows(section("What is promised, and the test that shows it"), heading="Promise")
    named = [name for _, shown in told for name in re.findall(r"`([^`]+)`", shown)]
    assert len(named) >= len(told)
    for name in named:
        path, _, function = name.partition("::")
        assert (BASE_DIR / path).exists(), name
        assert not function or re.search(rf"^def {function}\(", (BASE_DIR / path).read_text(), re.MULTILINE)
