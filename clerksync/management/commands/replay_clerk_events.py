"""Apply recorded events again."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from clerksync.alarms import looked_at_afterwards
from clerksync.management.output import errors_as_exit_status, moment, printable
from clerksync.models import WebhookEvent
from clerksync.replay import replay, select_events

State = WebhookEvent.State


class Command(BaseCommand):
    """``manage.py replay_clerk_events``."""

    help = (
        "Apply parked events again and call failed handlers again, in the order the events happened. "
        "Exit status: 0 nothing is parked or failed any more, 1 something still is, 2 wrong use."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add(
            "--id",
            action="append",
            default=[],
            metavar="SVIX_ID",
            help="this event, whatever its state; repeatable",
        )
        add("--type", action="append", default=[], help="events of this type only; repeatable")
        add(
            "--state",
            default="failed,parked",
            help="of these states, with commas between them (default: %(default)s)",
        )
        add("--since", type=moment, metavar="TIME", help="received since then, in ISO 8601")
        add("--dry-run", action="store_true", help="list them only")

    def handle(
        self,
        *args: Any,
        id: list[str],
        type: list[str],
        state: str,
        since: datetime | None,
        dry_run: bool,
        **options: Any,
    ) -> None:
        """Replay, tell of each event, and sum up."""
        states = [name for name in state.split(",") if name]
        if unknown := set(states) - set(State.values):
            known = ", ".join(State.values)
            raise CommandError(
                f"unknown state: {', '.join(sorted(unknown))}; known are: {known}", returncode=2
            )
        chosen = select_events(ids=id, types=type, states=states, since=since)
        if dry_run:
            self._list(chosen)
            return
        with looked_at_afterwards():
            self._replay(chosen)

    def _replay(self, chosen: QuerySet[WebhookEvent]) -> None:
        counts: Counter[str] = Counter()
        with errors_as_exit_status():
            for event, became, reason in replay(chosen):
                counts[became] += 1
                self.stdout.write(f"{event.svix_id} {event.type} {became} {printable(reason)}".rstrip())
        self.stdout.write(
            ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing to replay"
        )
        if counts[State.PARKED] or counts[State.FAILED]:
            raise CommandError("some events could not be applied; their reasons are above", returncode=1)

    def _list(self, chosen: Any) -> None:
        with errors_as_exit_status():
            for event in chosen.iterator(chunk_size=200):
                self.stdout.write(
                    f"{event.svix_id} {event.type} {event.state} {printable(event.reason)}".rstrip()
                )
        self.stdout.write("Nothing was replayed.")
