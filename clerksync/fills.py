"""Audits other tables beside the mirror, and fills what it holds into their placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError

from clerksync import mirror
from clerksync.comparing import broken_rules
from clerksync.fields import WATCHED
from clerksync.findings import Finding, FindingKind, Summary
from clerksync.foreign import ForeignTable, find_field
from clerksync.guarded import Change, write
from clerksync.models import ClerkUser
from clerksync.placeholders import PlaceholderRules, fold
from clerksync.records import ACTIVE, DELETED
from clerksync.undo import UndoFile
from clerksync.userfields import reason_of

_NOT_DIGITS = re.compile(r"\D+")

#: Rows in one transaction.
BATCH = 500


class _Verdict(NamedTuple):
    """A finding, and the value that would mend it, if the mirror has one."""

    finding: Finding
    change: Change | None = None


class TableAudit:
    """The audit of one table; with a file for what is replaced it is mended as well.

    Args:
        table: Which.
        summary: What the audit's results are added to.
        undo: Where replaced values are kept; None to replace nothing.
        preview: Tell how many values would be replaced.
    """

    def __init__(
        self, table: ForeignTable, summary: Summary, *, undo: UndoFile | None = None, preview: bool = False
    ) -> None:
        self.table = table
        self.summary = summary
        self.undo = undo
        self.preview = preview
        self.rules = PlaceholderRules.from_settings()

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong, batch by batch; each batch is mended after its findings were used.

        Raises:
            OSError: The file for what is replaced cannot be written; nothing more was replaced.
        """
        summary, label = self.summary, self.table.label
        summary.rows_in_models.setdefault(label, 0)
        for rows in self._batches():
            summary.rows_in_models[label] += len(rows)
            verdicts = list(self._judge(rows))
            for verdict in verdicts:
                summary.counts[verdict.finding.kind] += 1
                yield verdict.finding
            written = self._fill([verdict.change for verdict in verdicts if verdict.change is not None])
            if summary.left is not None:
                for verdict in verdicts:
                    summary.left[verdict.finding.kind] += verdict.change not in written

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        """The rows with a Clerk id, in the order of their keys: memory is one batch."""
        clerk_id = self.table.clerk_id_field
        rows = self.table.rows().exclude(**{clerk_id: ""}).exclude(**{clerk_id: None}).order_by("pk")
        names = ("pk", clerk_id, *self.table.fields.values())
        batch = list(rows.values(*names)[:BATCH])
        while batch:
            yield batch
            batch = list(rows.filter(pk__gt=batch[-1]["pk"]).values(*names)[:BATCH])

    def _judge(self, rows: Sequence[dict[str, Any]]) -> Iterator[_Verdict]:
        known = ClerkUser.objects.using(mirror.database()).only("clerk_id", "state", *WATCHED)
        users = known.in_bulk([row[self.table.clerk_id_field] for row in rows])
        for row in rows:
            clerk_id = row[self.table.clerk_id_field]
            user = users.get(clerk_id)
            if user is None:
                yield _Verdict(self._finding(row, FindingKind.EXTRA, "not_in_mirror"))
            elif user.state != DELETED:  # who has left stays as the site has kept them
                yield from self._compare(row, user)

    def _compare(self, row: Mapping[str, Any], user: ClerkUser) -> Iterator[_Verdict]:
        ours = {name: getattr(user, name) or "" for name in self.table.fields}
        local = self._broken(user.pk, {name: row[field] for name, field in self.table.fields.items()})
        remote = self._broken(user.pk, ours)
        for name, field in self.table.fields.items():
            here, there = row[field] or "", ours[name]
            if name in local:
                yield self._judge_placeholder(row, name, local[name], there, is_remote=name in remote)
            elif user.state != ACTIVE or name in remote or _is_same(name, here, there):
                continue
            elif not fold(here):
                yield _Verdict(self._finding(row, FindingKind.STALE, "empty", field))
            else:
                yield _Verdict(self._finding(row, FindingKind.DIFFERS, "not_as_in_mirror", field))

    def _judge_placeholder(
        self, row: Mapping[str, Any], name: str, rule: str, there: str, *, is_remote: bool
    ) -> _Verdict:
        field = self.table.fields[name]
        if is_remote:
            return _Verdict(self._finding(row, FindingKind.REMOTE, rule, field))
        if not fold(there):
            return _Verdict(self._finding(row, FindingKind.PLACEHOLDER, rule, field))
        owner = (self.table.clerk_id_field, row[self.table.clerk_id_field])
        change = Change(str(row["pk"]), field, old=row[field], new=there, owner=owner)
        return _Verdict(self._finding(row, FindingKind.STALE, rule, field), change)

    def _broken(self, clerk_id: str, values: Mapping[str, str | None]) -> dict[str, str]:
        """The rules that values break; a whole name is judged as one that has no parts."""
        if "full_name" not in values:
            return broken_rules(clerk_id, values, self.rules)
        broken = broken_rules(clerk_id, {**values, "first_name": values["full_name"]}, self.rules)
        return {"full_name" if name == "first_name" else name: rule for name, rule in broken.items()}

    def _finding(
        self, row: Mapping[str, Any], kind: FindingKind, reason: str, field: str | None = None
    ) -> Finding:
        value = None if field is None else row[field]
        clerk_id = row[self.table.clerk_id_field]
        return Finding(clerk_id, kind, reason, field, value, model=self.table.label, pk=str(row["pk"]))

    def _fill(self, changes: list[Change]) -> set[Change]:
        """Replace these placeholders; which were, or with ``preview`` would be."""
        if self.undo is None and not self.preview:
            return set()
        fitting = [change for change in changes if self._fits(change)]
        problems: Mapping[Change, str] = {}
        if self.preview:
            problems = self._taken(fitting)
        elif self.undo is not None and fitting:
            self.undo.record(self.table.model, fitting)
            problems = write(self.table.model, fitting)
            self.undo.forget(list(problems))
        for change, reason in problems.items():
            self._leave(change, reason)
        written = {change for change in fitting if change not in problems}
        self.summary.filled = (self.summary.filled or 0) + len(written)
        return written

    def _fits(self, change: Change) -> bool:
        """Whether the field takes the value; if not it is told."""
        field = find_field(self.table.model, change.field)
        try:
            field.clean(change.new, None)
        except ValidationError as error:
            self._leave(change, reason_of(error, field))
            return False
        return True

    def _taken(self, changes: Sequence[Change]) -> dict[Change, str]:
        """Those of unique fields whose value another row has: what a preview can know of constraints."""
        taken: dict[Change, str] = {}
        for name in {change.field for change in changes if find_field(self.table.model, change.field).unique}:
            wanted = [change for change in changes if change.field == name]
            rows = self.table.rows().filter(**{f"{name}__in": [change.new for change in wanted]})
            seen = set(rows.values_list(name, flat=True))
            for change in wanted:
                if change.new in seen:
                    taken[change] = "another row has this value"
                seen.add(change.new)
        return taken

    def _leave(self, change: Change, reason: str) -> None:
        self.summary.leave(self.table.label, change.pk, change.field, reason)


def _is_same(name: str, here: str, there: str) -> bool:
    """Whether two values are the same to a person: spelling and the form of numbers do not count."""
    if name == "phone_number":
        here, there = (_NOT_DIGITS.sub("", value) for value in (here, there))
    return fold(here) == fold(there)
