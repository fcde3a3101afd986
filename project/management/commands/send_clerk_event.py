"""Send a webhook from the demo's fake Clerk to the demo's site."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from project import demo_sender, demo_state

_NOT_RUNNING = "No demo is running. Start one in another terminal: python manage.py demo --serve"


class Command(BaseCommand):
    """``manage.py send_clerk_event``."""

    help = (
        "Sign an event of a user of the demo's fake Clerk and post it to the site of manage.py demo --serve. "
        "Exit status: 0 the site accepted it, 1 it did not, 2 wrong use or no such site or user."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("type", choices=demo_sender.TYPES, help="of the event", metavar="TYPE")
        add("--user", metavar="ID", help="about this user (default: the newest; user.created makes one)")
        add("--first-name", metavar="NAME", help="give the user this name in the fake Clerk before")
        add("--last-name", metavar="NAME", help="the same for the last name")

    def handle(self, *args: Any, type: str, user: str | None, **options: Any) -> None:
        """Send, and print what the site answered."""
        if not getattr(settings, "DEMO", False):
            raise CommandError("Leave --settings and DJANGO_SETTINGS_MODULE to manage.py.", returncode=2)
        running = demo_state.find()
        if running is None:
            raise CommandError(_NOT_RUNNING, returncode=2)
        changes = {name: options[name] for name in ("first_name", "last_name") if options[name] is not None}
        try:
            sent = demo_sender.send(running, type, clerk_id=user, changes=changes)
        except demo_sender.NotRunning as error:
            raise CommandError(_NOT_RUNNING, returncode=2) from error
        except demo_sender.Refused as error:
            raise CommandError(str(error), returncode=2) from error
        if not sent.accepted:
            raise CommandError(f"The site answered {sent.answer}.", returncode=1)
        self.stdout.write(f"{type} of {sent.clerk_id}: {sent.answer}")
