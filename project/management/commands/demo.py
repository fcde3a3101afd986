"""Show what clerksync does, against a fake Clerk and in a database of its own."""

from __future__ import annotations

import base64
import os
import secrets
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.test.utils import override_settings

from clerksync.testing import FakeClerk, RealClock, serve
from project.demo_clerk import playing
from project.demo_past import invent_past
from project.demo_site import serve_site
from project.demo_story import tell
from project.demo_table import Prepared, prepare

_BEGINNING = """\
A fake Clerk with {0.in_clerk} users answers at {1}.
The local table is as home-made integrations leave it: {0.missing} of these users are not in it, {0.invented}
have only an id and invented data, {0.overwritten} were right until they were overwritten, {0.right} are right;
and {0.gone} user is in it who has left Clerk.

"""
_NEXT = """
Next, look around in a browser:

  python manage.py demo --serve

or use your own Clerk: copy .env.example to .env, set CLERK_SECRET_KEY in it, and

  python manage.py migrate
  python manage.py sync_clerk_users --dry-run
"""


class Command(BaseCommand):
    """``manage.py demo``."""

    help = (
        "Audit, sync and audit again a table that is wrong in many ways, against a fake Clerk on this machine. "
        "Exit status: 0 everything went as it should, 1 it did not."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--reset", action="store_true", help="delete the demo's database file first")
        parser.add_argument("--serve", action="store_true", help="go on with a site to look around in")

    def handle(self, *args: Any, reset: bool, serve: bool, **options: Any) -> None:
        """Prepare, tell the story, and say what can be done next."""
        if not getattr(settings, "DEMO", False):
            raise CommandError(
                "The demo replaces all users of its table, so it runs with project.demo_settings alone; "
                "leave --settings and DJANGO_SETTINGS_MODULE to manage.py.",
                returncode=2,
            )
        if reset:
            _delete_database()
        with _fake_clerk() as (clerk, url):
            call_command("migrate", verbosity=0)
            prepared = prepare(clerk)
            if serve:
                invent_past(clerk)
            self._introduce(prepared, url)
            if serve:
                with playing(clerk):
                    serve_site(self.stdout.write)
            else:
                self.stdout.write(_NEXT)

    def _introduce(self, prepared: Prepared, url: str) -> None:
        self.stdout.write(_BEGINNING.format(prepared, url))
        tell(prepared, self.stdout)


@contextmanager
def _fake_clerk() -> Iterator[tuple[FakeClerk, str]]:
    """Serve an empty Clerk on a free port of the loopback address and point the settings at it."""
    # A proxy of the environment would be asked for the loopback address, too.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    key = f"sk_test_{secrets.token_hex(16)}"
    clerk = FakeClerk(environment="development", secret_key=key, clock=RealClock())
    keys = {
        "CLERK_SECRET_KEY": key,
        "CLERK_PUBLISHABLE_KEY": clerk.publishable_key,
        "CLERK_WEBHOOK_SIGNING_SECRET": _new_signing_secret(),
    }
    with serve(clerk) as served, override_settings(CLERK_API_URL=served.url, **keys):
        yield clerk, served.url


def _new_signing_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def _delete_database() -> None:
    connection.close()
    for ending in ("", "-wal", "-shm"):
        Path(f"{connection.settings_dict['NAME']}{ending}").unlink(missing_ok=True)
