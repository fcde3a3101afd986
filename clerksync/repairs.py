"""Mends what an audit has found in the mirror: reads just the users concerned, by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from clerksync.audit import Audit
from clerksync.client import ClerkClient
from clerksync.findings import MENDABLE, Finding, FindingKind
from clerksync.records import Outcome
from clerksync.refresh import OnPage, sync_users
from clerksync.tally import Report


class Repair:
    """One repair: note whom the findings concern, then read these users and judge them again.

    Args:
        audit: The audit whose findings they are.
        dry_run: Tell what would change, and write nothing.
        on_page: Called with the changes.
    """

    def __init__(self, audit: Audit, *, dry_run: bool = False, on_page: OnPage | None = None) -> None:
        self.audit = audit
        self.dry_run = dry_run
        self.on_page = on_page
        self._concerned: dict[str, None] = {}
        self._others: Counter[tuple[str, FindingKind]] = Counter()

    def noting(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The same findings; at their end it is known whom to read."""
        for finding in findings:
            if finding.kind in MENDABLE:
                self._concerned[finding.clerk_id] = None
            else:
                self._others[finding.clerk_id, finding.kind] += 1
            yield finding

    def mend(self, client: ClerkClient) -> Report | None:
        """Read the users concerned; the audit's summary then says what was done, and what is left if it asks.

        Nobody is buried past the breaker's limit: the report has the error.

        Returns:
            The sync's report; None if there is nothing to mend.

        Raises:
            ClerkError: Clerk could not be asked.
        """
        ids, summary, report = list(self._concerned), self.audit.summary, None
        summary.repaired = {}
        if ids:
            report = sync_users(client, ids, compare_all=True, dry_run=self.dry_run, on_page=self.on_page)
            told = report.as_dict()
            summary.repaired = {outcome.value: told[outcome] for outcome in Outcome if told[outcome]}
        if summary.left is not None:
            for finding in self.audit.judge_again(ids):
                summary.left[finding.kind] += 1
            for (clerk_id, kind), number in self._others.items():
                summary.left[kind] += 0 if clerk_id in self._concerned else number
        summary.requests = client.requests
        return report
