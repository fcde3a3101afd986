"""Look at the set-up."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clerksync import probe
from clerksync.management.output import errors_as_exit_status

_NO_URL = "Give the address: manage.py check_clerk --probe https://your.site/clerk/webhook/"


class Command(BaseCommand):
    """``manage.py check_clerk``."""

    help = "Try out the webhook. Exit status: 0 it works, 1 it does not, 2 wrong use."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--probe",
            nargs="?",
            const="",
            metavar="URL",
            required=True,
            help="send a signed, harmless event to the webhook at this address",
        )

    def handle(self, *args: Any, probe: str, **options: Any) -> None:
        """Say what to enter at Clerk, send the event, and tell what came back."""
        with errors_as_exit_status():
            self._probe(probe)

    def _probe(self, given: str) -> None:
        url = given or probe.default_url()
        if url is None:
            raise CommandError(_NO_URL, returncode=2)
        self.stdout.write(f"Enter at Clerk (Configure, Webhooks): {url}")
        self.stdout.write(f"Tick: {', '.join(probe.TICK)}; if you like: {', '.join(probe.MAY_TICK)}")
        self.stdout.write(f"Do not tick: {', '.join(probe.DO_NOT_TICK)} (they carry one-time codes)")
        outcome = probe.send(url)
        if not outcome.succeeded:
            raise CommandError(outcome.message, returncode=1)
        self.stdout.write(outcome.message)
