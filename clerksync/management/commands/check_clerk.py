"""Look at the set-up."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clerksync import probe
from clerksync.doctor import alert, examination
from clerksync.doctor.examination import Report
from clerksync.doctor.findings import GROUPS, Finding, State
from clerksync.management import diagnoses
from clerksync.management.output import errors_as_exit_status

_NO_URL = "Give the address: manage.py check_clerk --probe https://your.site/clerk/webhook/"


class Command(BaseCommand):
    """``manage.py check_clerk``."""

    help = (
        "Look at everything that can be wrong in the set-up, and say what to do; with an option, try out that "
        "alone. Exit status: 0 nothing is wrong, 1 something is, 2 wrong use."
    )
    # The examination runs ours, and what is wrong with others is no reason to say nothing.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        only = parser.add_mutually_exclusive_group()
        only.add_argument(
            "--probe",
            nargs="?",
            const="",
            metavar="URL",
            help="send a signed, harmless event to the webhook at this address, and do nothing else",
        )
        only.add_argument(
            "--send-test-alert",
            action="store_true",
            help="send a message through every channel of the alarms, and do nothing else",
        )
        parser.add_argument(
            "--ignore",
            action="append",
            default=[],
            metavar="ID",
            choices=[id for ids in GROUPS.values() for id in ids],
            help="do not count this finding; repeatable",
        )
        parser.add_argument("--format", choices=["text", "json"], default="text", help="of the findings")

    def handle(
        self,
        *args: Any,
        probe: str | None,
        send_test_alert: bool,
        ignore: list[str],
        format: str,
        **options: Any,
    ) -> None:
        """Examine, or try out what was asked for; tell, and end with a status that says whether all is well."""
        with errors_as_exit_status():
            if probe is not None:
                self._probe(probe, format=format)
                return
            found = (
                examination.report(alert.send()) if send_test_alert else examination.examine(ignore=ignore)
            )
            self._tell(found, format=format, is_colourless=options["no_color"])
        if found.exit_status:
            sys.exit(found.exit_status)

    def _tell(self, found: Report, *, format: str, is_colourless: bool) -> None:
        if format == "json":
            self.stdout.write(json.dumps(found.as_dict(), indent=2))
        else:
            in_colour = self.stdout.isatty() and not is_colourless
            self.stdout.write(diagnoses.in_words(found, in_colour=in_colour))

    def _probe(self, given: str, *, format: str) -> None:
        url = given or probe.default_url()
        if url is None:
            raise CommandError(_NO_URL, returncode=2)
        if format == "text":
            self.stdout.write(f"Enter at Clerk (Configure, Webhooks): {url}")
            self.stdout.write(f"Tick: {', '.join(probe.TICK)}; if you like: {', '.join(probe.MAY_TICK)}")
            self.stdout.write(f"Do not tick: {', '.join(probe.DO_NOT_TICK)} (they carry one-time codes)")
        outcome = probe.send(url)
        if format == "json":
            state = State.OK if outcome.succeeded else State.PROBLEM
            self._tell(
                examination.report([Finding("probe", state, outcome.message)]),
                format=format,
                is_colourless=True,
            )
        if not outcome.succeeded:
            raise CommandError(outcome.message, returncode=1)
        if format == "text":
            self.stdout.write(outcome.message)
