"""The whole examination: every part is asked, none for too long, and none that fails keeps the others from it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from msgspec import Struct
from msgspec.structs import replace

from clerksync import webhooks
from clerksync.conf import settings
from clerksync.doctor import (
    books,
    cache,
    clerk,
    database,
    deliveries,
    keys,
    linking,
    proxies,
    runs,
    system,
    web,
)
from clerksync.doctor.books import Books
from clerksync.doctor.clerk import Told
from clerksync.doctor.database import DatabaseFacts
from clerksync.doctor.findings import GROUP_OF, Finding, State, problem, skipped
from clerksync.doctor.limits import TookTooLong, within
from clerksync.logs import Log, told

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Seconds for everything, and for one part.
LIMIT, PART_LIMIT = 30.0, 10.0

#: Who is told to be skipped if the tables cannot be read.
_FROM_BOOKS = ("last_event", "endpoint", "rejected", "full_sync", "incremental_sync", "scheduler")

_DATABASE = "Look at DATABASES and at the server; manage.py check --database default says more."


class Report(Struct, frozen=True):
    """All findings, in the order of ``findings.GROUPS``."""

    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> int:
        """0 nothing is wrong, 1 something is."""
        return int(any(finding.is_wrong for finding in self.findings))

    def count(self, state: State) -> int:
        """How many findings are of this state."""
        return sum(finding.state is state for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "exit_status": self.exit_status,
            "counts": {state.value: self.count(state) for state in State},
            "findings": [finding.as_dict() for finding in self.findings],
        }


def examine(
    *, seconds: float = LIMIT, part_seconds: float = PART_LIMIT, ignore: Collection[str] = ()
) -> Report:
    """Look at everything; it writes nothing but a key in the cache, and takes it out again.

    Args:
        seconds: For all of it.
        part_seconds: For one part.
        ignore: Ids of findings that do not count.
    """
    return report(_Examination(seconds, part_seconds).findings(), ignore=ignore)


def report(findings: Iterable[Finding], *, ignore: Collection[str] = ()) -> Report:
    """Put findings in order, and take out what says less than another of the same name."""
    found = list(findings)
    wrong = {finding.id for finding in found if finding.is_wrong}
    kept = {_clean(finding) for finding in found if finding.is_wrong or finding.id not in wrong}
    order, states = list(GROUP_OF), list(State)
    in_order = sorted(kept, key=lambda one: (order.index(one.id), -states.index(one.state), one.sentence))
    return Report(tuple(_ignored(one) if one.id in ignore and one.is_wrong else one for one in in_order))


class _Examination:
    def __init__(self, seconds: float, part_seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._part_seconds = part_seconds
        self._found: list[Finding] = []

    def findings(self) -> list[Finding]:
        """What needs nobody comes first, then what needs the database, then Clerk."""
        for name, part in (
            ("settings", system.examine),
            ("web", web.examine),
            ("proxies", proxies.examine),
            ("cache", cache.examine),
        ):
            self._look(name, part)
        facts = self._ask_database()
        read = self._read_books(facts)
        told = self._ask_clerk()
        ours = None if read is None else read.instance_id
        self._look("keys", lambda: keys.judge(told, instance_id=ours))
        if facts is not None:
            sound = not any(finding.id == "linking" for finding in self._found)
            self._look("linking", lambda: linking.examine(are_rules_sound=sound))
        if read is not None:
            instance_id = told.instance.id if told.instance else read.instance_id
            self._look("deliveries", lambda: deliveries.judge(read, instance_id=instance_id))
            self._look("runs", lambda: runs.judge(read))
        return self._found

    @property
    def _seconds(self) -> float:
        """What the next part may take."""
        return max(0.1, min(self._part_seconds, self._end - time.monotonic()))

    def _look(self, name: str, part: Callable[[], Iterable[Finding]]) -> None:
        self._found += self._ask(name, lambda: list(part())) or []

    def _ask(self, name: str, question: Callable[[], T]) -> T | None:
        """The answer; None, and a finding, if there is none."""
        seconds = self._seconds
        try:
            return within(seconds, question)
        except TookTooLong:
            self._fail(name, f"took longer than {seconds:.2g} seconds")
        except Exception as error:  # whatever is broken in a project, the others are to be told of
            logger.debug(
                "the part %s of the examination failed",
                name,
                exc_info=True,
                extra=told(Log.EXAMINATION_FAILED, part=name),
            )
            self._fail(name, f"failed unexpectedly ({type(error).__name__})")
        return None

    def _fail(self, name: str, how: str) -> None:
        advice = (
            "Look at the settings that this part is about; the log of clerksync.doctor (DEBUG) says where."
        )
        self._found.append(problem("failed_part", f"The part {name!r} {how}.", advice))

    def _ask_database(self) -> DatabaseFacts | None:
        why, seconds = "The database could not be asked.", self._seconds
        facts = self._ask("database", lambda: _database(seconds * 0.9))
        if isinstance(facts, DatabaseFacts):
            self._found += database.judge(facts)
            return facts
        self._found += database.unasked(facts or skipped("database", why), why)
        self._found += [skipped(id, why) for id in _FROM_BOOKS]
        return None

    def _read_books(self, facts: DatabaseFacts | None) -> Books | None:
        if facts is None:
            return None
        if any(name.startswith("clerksync.") for name in facts.pending):
            why = "The tables are not those of this version: see migrations."
            self._found += [skipped(id, why) for id in _FROM_BOOKS]
            return None
        return self._ask("books", books.read)

    def _ask_clerk(self) -> Told:
        why, seconds = "Clerk could not be asked.", self._seconds
        told = self._ask("clerk", lambda: _clerk(seconds * 0.9)) or clerk.unasked(why)
        self._found += told.findings
        return told


def _database(seconds: float) -> DatabaseFacts | Finding:
    """The facts, or the finding that there are none."""
    try:
        return within(seconds, database.ask)
    except (DatabaseError, ImproperlyConfigured) as error:
        return problem("database", f"The database cannot be asked ({type(error).__name__}).", _DATABASE)
    except TookTooLong:
        return problem("database", f"The database does not answer within {seconds:.2g} seconds.", _DATABASE)


def _clerk(seconds: float) -> Told:
    """What Clerk told; a name server may take longer than any connection."""
    try:
        return within(seconds, lambda: clerk.ask(seconds=seconds * 0.9))
    except TookTooLong:
        sentence = f"Clerk could not be asked within {seconds:.2g} seconds."
        advice = "Check the name server of this machine, the proxy and the firewall."
        return clerk.unasked("Clerk could not be reached.", problem("clerk", sentence, advice))


def _clean(finding: Finding) -> Finding:
    """Without a secret, should one have come back in somebody's words."""
    sentence, advice = finding.sentence, finding.advice
    for secret in _secrets():
        sentence, advice = sentence.replace(secret, "***"), advice.replace(secret, "***")
    return replace(finding, sentence=sentence, advice=advice)


def _secrets() -> list[str]:
    # A value of a wrong type is told of as ``settings``.
    key: object = settings.CLERK_SECRET_KEY
    keys = [key] if isinstance(key, str) and key else []
    try:
        return [*keys, *webhooks.configured_secrets()]
    except TypeError:
        return keys


def _ignored(finding: Finding) -> Finding:
    return replace(finding, state=State.SKIPPED, sentence=f"Ignored: {finding.sentence}")
