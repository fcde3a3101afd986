"""The project's settings, each read in a process of its own with an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import django
import pytest

from clerksync.conf import Settings
from project.defaults import BASE_DIR
from tests.processes import PRODUCTION

EXAMPLE = BASE_DIR / ".env.example"

_PRINT = """
import json, sys
from importlib import import_module
settings = import_module(sys.argv[1])
json.dump({name: getattr(settings, name) for name in dir(settings) if name.isupper()}, sys.stdout, default=str)
"""
KEEP = ("PATH", "PYTHONPATH", "SYSTEMROOT", "COVERAGE_")


def run(*arguments: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Python with these variables and no others that the settings read."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEEP)}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**kept, "ENV_FILE": os.devnull, **variables},
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def read(module: str = "project.settings", **variables: str) -> dict[str, Any]:
    """All settings in a production environment with these changes."""
    done = run("-c", _PRINT, module, variables=PRODUCTION | variables)
    assert done.returncode == 0, done.stderr
    settings: dict[str, Any] = json.loads(done.stdout)
    return settings


def refusal(**variables: str) -> str:
    """The last line of what is said about an environment that is refused."""
    done = run("-c", _PRINT, "project.settings", variables=PRODUCTION | variables)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1].removeprefix("django.core.exceptions.ImproperlyConfigured: ")


def test_deployment__clean() -> None:
    """With the documented variables set Django has nothing to say about a deployment."""
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", variables=PRODUCTION)
    assert (done.returncode, done.stderr) == (0, "")


def test_development__needs_nothing() -> None:
    """DEBUG alone is enough to start; clerksync then says what is missing."""
    done = run("manage.py", "check", variables={"DEBUG": "true"})
    assert done.returncode == 0
    assert "clerksync.W001" in done.stderr


def test_defaults__of_production() -> None:
    """Without DEBUG everything is strict; what is unset stays clerksync's own default."""
    settings = read()
    assert settings["DEBUG"] is False
    assert settings["SECURE_SSL_REDIRECT"] is True
    assert settings["SESSION_COOKIE_SECURE"] is True
    assert settings["CSRF_COOKIE_SECURE"] is True
    assert settings["SECURE_HSTS_SECONDS"] == 3600
    assert settings["TIME_ZONE"] == "UTC"
    assert "SECURE_PROXY_SSL_HEADER" not in settings
    ours = [name for name in settings if name.startswith("CLERKSYNC_")]
    assert ours == ["CLERKSYNC_AUTHORIZED_PARTIES"]  # which deployments are asked to set


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("DEBUG", "maybe", "true or false"),
        ("SECURE_SSL_REDIRECT", "2", "true or false"),
        ("DJANGO_ADMINS", "Operations", "e-mail addresses with commas between them"),
        ("EMAIL_URL", "mail.test:25", "smtp://, smtp+tls:// or smtp+ssl://USER:PASSWORD@HOST:PORT"),
        ("EMAIL_URL", "smtp://mail.test:x", "smtp://, smtp+tls:// or smtp+ssl://USER:PASSWORD@HOST:PORT"),
        ("CLERKSYNC_ALERT_SECRET_URLS", "slack", "addresses like service://... with spaces between them"),
        ("BEHIND_PROXY", "nginx", "true or false"),
        ("SECURE_HSTS_SECONDS", "-1", "a whole number that is not negative"),
        ("SECURE_HSTS_SECONDS", "\u0663", "a whole number that is not negative"),
        (
            "ALLOWED_HOSTS",
            "https://users.test",
            "host names alone, with commas between them: users.example.com",
        ),
        ("ALLOWED_HOSTS", "users.test:8000", "host names alone, with commas between them: users.example.com"),
        (
            "CSRF_TRUSTED_ORIGINS",
            "users.test",
            "origins with their scheme, with commas between them: https://users.example.com",
        ),
        ("TIME_ZONE", "Mars/Olympus", "a name of the time zone database such as Europe/Berlin"),
        ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("CLERKSYNC_API_TIMEOUT", "3,soon", "numbers above zero with commas between them"),
        ("CLERKSYNC_RATE_LIMIT", "nan", "a number above zero"),
        ("CLERKSYNC_RATE_SHARE", "0", "a number above zero"),
        ("CLERKSYNC_STORE_PAYLOAD", "sometimes", "true or false"),
        ("CLERKSYNC_MAX_DELETES", "many", "a whole number that is not negative"),
        (
            "CLERKSYNC_USER_FIELDS",
            "email",
            "FIELD=SOURCE or FIELD=SOURCE:blank, with commas between them",
        ),
        (
            "CLERKSYNC_USER_FIELDS",
            "email=email:never",
            "FIELD=SOURCE or FIELD=SOURCE:blank, with commas between them",
        ),
        (
            "CLERKSYNC_AUDIT_MODELS",
            "clerk_id_field=username email_field=email",
            "like app.Profile clerk_id_field=clerk_id email_field=email, with ; between models",
        ),
        (
            "CLERKSYNC_AUDIT_MODELS",
            "auth.User username",
            "like app.Profile clerk_id_field=clerk_id email_field=email, with ; between models",
        ),
        ("ENV_FILE", "no-such-file", "the path of a file that exists"),
    ],
)
def test_nonsense__refused(name: str, value: str, allowed: str) -> None:
    """A value that cannot be meant is refused by name and never read as a default."""
    assert refusal(**{name: value}) == f"The environment variable {name} must be {allowed}."


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://user:password@host/name",
        "sqlite://db.sqlite3",
        "postgres://user:password@host:port/name",
        "postgres://",
    ],
)
def test_database_url__refused(url: str) -> None:
    """Only the two databases that clerksync supports, and never a password in the message."""
    allowed = "postgres://USER:PASSWORD@HOST:PORT/NAME or sqlite:///PATH"
    assert refusal(DATABASE_URL=url) == f"The environment variable DATABASE_URL must be {allowed}."


def test_secret_key__required() -> None:
    """Only a development server runs without a key of its own."""
    assert refusal(SECRET_KEY="") == "The environment variable SECRET_KEY must be set unless DEBUG is true."
    assert read(SECRET_KEY="", DEBUG="true")["SECRET_KEY"].startswith("django-insecure-")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", BASE_DIR / "db.sqlite3"),
        ("sqlite:///data/users.sqlite3", BASE_DIR / "data/users.sqlite3"),
        ("sqlite:////var/lib/users.sqlite3", Path("/var/lib/users.sqlite3")),
        ("sqlite://:memory:", ":memory:"),
    ],
)
def test_database_url__sqlite(url: str, path: Path | str) -> None:
    """SQLite locks before it reads and keeps a journal that lets readers pass; paths start at the checkout."""
    assert read(DATABASE_URL=url)["DATABASES"]["default"] == {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def test_database_url__postgresql() -> None:
    """PostgreSQL's connections are kept and tested; options in the URL are passed on."""
    url = "postgres://ada:p%40ss@db.harbour.test:5433/users?sslmode=require"
    assert read(DATABASE_URL=url)["DATABASES"]["default"] == {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "db.harbour.test",
        "PORT": 5433,
        "NAME": "users",
        "USER": "ada",
        "PASSWORD": "p@ss",
        "OPTIONS": {"sslmode": "require"},
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


def test_clerk__passed_on_with_types() -> None:
    """Each variable arrives as the type that its setting has."""
    expected = {
        "CLERK_JWT_KEY": ("-----BEGIN-----\\nabc", "-----BEGIN-----\nabc"),
        "CLERK_WEBHOOK_SIGNING_SECRET": ("whsec_a, whsec_b", ["whsec_a", "whsec_b"]),
        "CLERK_API_URL": ("http://localhost:9000", "http://localhost:9000"),
        "CLERKSYNC_API_TIMEOUT": ("1,2.5", [1.0, 2.5]),
        "CLERKSYNC_RATE_LIMIT": ("250", 250.0),
        "CLERKSYNC_RATE_SHARE": ("0.25", 0.25),
        "CLERKSYNC_WEB_RATE_SHARE": ("0.1", 0.1),
        "CLERKSYNC_STORE_PAYLOAD": ("no", False),
        "CLERKSYNC_EXCLUDE_FIELDS": ("private_metadata,", ["private_metadata"]),
        "CLERKSYNC_MAX_DELETES": ("0", 0),
        "CLERKSYNC_OVERLAP": ("90", 90.0),
        "CLERKSYNC_MAX_STALENESS": ("600", 600),
        "CLERKSYNC_SCHEDULE": (
            "full=0,30 3 * * *; prune = None;",
            {"full": "0,30 3 * * *", "prune": None},
        ),
        "CLERKSYNC_ALERT_EMAILS": ("off", False),
        "CLERKSYNC_ALERT_SECRET_URLS": ("json://a.test/x,y  slack://b", ["json://a.test/x,y", "slack://b"]),
        "CLERKSYNC_ALERT_EVENTS": ("5", 5),
        "CLERKSYNC_METRICS_TOKEN": ("a-token", "a-token"),
        "CLERKSYNC_METRICS_NETWORKS": ("10.1.0.0/16, ::1", ["10.1.0.0/16", "::1"]),
        "CLERKSYNC_WEBHOOK_MAX_BYTES": ("2048", 2048),
        "CLERKSYNC_EVENT_RETENTION_DAYS": ("60", 60),
        "CLERKSYNC_AUTHORIZED_PARTIES": (
            "https://a.test, https://b.test",
            ["https://a.test", "https://b.test"],
        ),
        "CLERKSYNC_ALLOW_MISSING_AZP": ("no", False),
        "CLERKSYNC_ISSUER": ("None", None),
        "CLERKSYNC_AUDIENCE": ("harbour", "harbour"),
        "CLERKSYNC_CLAIM_FIELDS": (
            "mail=email, fullName=full_name",
            {"mail": "email", "fullName": "full_name"},
        ),
        "CLERKSYNC_REFRESH": ("mark", "mark"),
        "CLERKSYNC_REFRESH_AFTER": ("none", None),
        "CLERKSYNC_REFRESH_TIMEOUT": ("1.5", 1.5),
        "CLERKSYNC_EXEMPT_PATHS": ("/admin/,/staff/", ["/admin/", "/staff/"]),
        "CLERKSYNC_SIGN_IN_URL": ("https://accounts.harbour.test/sign-in",) * 2,
        "CLERKSYNC_REAL_DOMAINS": ("example.com, harbour.test", ["example.com", "harbour.test"]),
        "CLERKSYNC_ALLOW_TEST_USERS": ("TRUE", True),
        "CLERKSYNC_PLACEHOLDER_RULES": ("rules.one", ["rules.one"]),
        "CLERKSYNC_AUDIT_MODELS": (
            "auth.User clerk_id_field=username email_field=email; shop.Buyer clerk_id_field=uid name_field=name;",
            [
                {"model": "auth.User", "clerk_id_field": "username", "email_field": "email"},
                {"model": "shop.Buyer", "clerk_id_field": "uid", "name_field": "name"},
            ],
        ),
        "CLERKSYNC_LINK_USERS": ("yes", True),
        "CLERKSYNC_LINK_BY": ("external_id, verified_email", ["external_id", "verified_email"]),
        "CLERKSYNC_USER_FIELDS": (
            "email=email, first_name=first_name:blank",
            {"email": "email", "first_name": ["first_name", "blank"]},
        ),
        "CLERKSYNC_HISTORY": ("true", True),
        "CLERKSYNC_HISTORY_DAYS": ("90", 90),
        "CLERKSYNC_ON_DELETE": ("anonymize", "anonymize"),
        "CLERKSYNC_ANONYMIZE_AFTER_DAYS": ("30", 30),
        "CLERKSYNC_USER_ON_DELETE": ("shop.users.blank", "shop.users.blank"),
        "CLERKSYNC_API_PERMISSION": ("shop.access.MAY_READ",) * 2,
        "CLERKSYNC_ADMIN_PHOTOS": ("true", True),
        "CLERKSYNC_ADMIN_MASK": ("1", True),
    }
    keys = {"CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY"}
    assert {setting.name for setting in Settings.declared()} == expected.keys() | keys
    settings = read(**{name: text for name, (text, _) in expected.items()})
    assert {name: settings[name] for name in expected} == {
        name: value for name, (_, value) in expected.items()
    }


def test_clerk__one_secret_is_a_string() -> None:
    """A single signing secret stays what Clerk's own tools expect."""
    assert read(CLERK_WEBHOOK_SIGNING_SECRET="whsec_a")["CLERK_WEBHOOK_SIGNING_SECRET"] == "whsec_a"


def test_clerk__misspelt_variable() -> None:
    """A variable that nobody knows reaches the checks, which say what was meant."""
    done = run("manage.py", "check", variables=PRODUCTION | {"CLERKSYNC_MAX_DELETE": "3"})
    assert done.returncode == 1
    assert "Did you mean CLERKSYNC_MAX_DELETES?" in done.stderr


def test_mail__server_and_admins() -> None:
    """Who is mailed, by which server, and not for ever; a password may hold anything in percent-encoding."""
    settings = read(
        DJANGO_ADMINS="ops@harbour.test, it@harbour.test",
        EMAIL_URL="smtp+tls://postmaster:p%40ss%2Fword@mail.harbour.test",
        SERVER_EMAIL="clerk@harbour.test",
    )
    found = [admin if isinstance(admin, str) else admin[1] for admin in settings["ADMINS"]]
    assert found == ["ops@harbour.test", "it@harbour.test"]
    assert settings["SERVER_EMAIL"] == "clerk@harbour.test"
    if django.VERSION >= (6, 1):
        options = settings["MAILERS"]["default"]["OPTIONS"]
    else:
        names = {"username": "HOST_USER", "password": "HOST_PASSWORD"}
        keys = ("host", "port", "username", "password", "use_tls", "use_ssl", "timeout")
        options = {key: settings[f"EMAIL_{names.get(key, key.upper())}"] for key in keys}
    assert options == {
        "host": "mail.harbour.test",
        "port": 587,
        "username": "postmaster",
        "password": "p@ss/word",
        "use_tls": True,
        "use_ssl": False,
        "timeout": 10,
    }


def test_env_file__read(tmp_path: Path) -> None:
    """The file fills in what the environment does not set."""
    file = tmp_path / "env"
    file.write_text(
        "\ufeff# comment\nTIME_ZONE=Asia/Tokyo\nLOG_LEVEL='error'\n\nexport BEHIND_PROXY=yes\nSECRET_KEY=\n"
    )
    settings = read(ENV_FILE=str(file), TIME_ZONE="Europe/Berlin")
    assert settings["TIME_ZONE"] == "Europe/Berlin"
    assert settings["LOGGING"]["root"]["level"] == "ERROR"
    assert settings["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]


def test_env_file__broken_line(tmp_path: Path) -> None:
    """A line that is none is refused by its number, without the secret that it may hold."""
    file = tmp_path / "env"
    file.write_text("DEBUG=false\nCLERK_SECRET_KEY = sk_live_abc\n")
    assert refusal(ENV_FILE=str(file)) == "env, line 2, must be NAME=value or start with #."


def test_env_example__names_every_variable() -> None:
    """The example is a file that can be read, and blank lines in it change nothing."""
    blank = dict.fromkeys(("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "CLERK_SECRET_KEY", "DEBUG"), "")
    assert refusal(ENV_FILE=str(EXAMPLE), **blank).startswith("The environment variable SECRET_KEY")
    assert read(ENV_FILE=str(EXAMPLE), **blank | {"DEBUG": "true"})["LOGGING"]["root"]["level"] == "INFO"
    lines = EXAMPLE.read_text().splitlines()
    assert [setting.name for setting in Settings.declared() if f"{setting.name}=" not in lines] == []


def test_demo__reads_no_environment(tmp_path: Path) -> None:
    """The demo has a database of its own whatever the environment says."""
    settings = read("project.demo_settings", DATABASE_URL="postgres://real/users")
    assert settings["DATABASES"]["default"]["NAME"] == str(BASE_DIR / ".demo.sqlite3")
    assert settings["DEBUG"] is True
    assert "CLERK_SECRET_KEY" not in settings


def test_manage__demo_has_its_own_settings() -> None:
    """The demo command cannot run with the settings of the project, even if it is told to."""
    variables = {"DJANGO_SETTINGS_MODULE": "project.settings", "DEBUG": "nonsense"}
    done = run("manage.py", "demo", "--help", variables=variables)
    assert "DEBUG" not in done.stderr


@pytest.mark.parametrize("module", ["wsgi", "asgi"])
def test_entry_point__answers(module: str) -> None:
    """Servers find an application."""
    done = run(
        "-c", f"from project.{module} import application; assert callable(application)", variables=PRODUCTION
    )
    assert (done.returncode, done.stderr) == (0, "")
