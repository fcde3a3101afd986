"""Links everybody at once, in batches."""

from __future__ import annotations

from collections.abc import Callable

from django.db import DatabaseError, IntegrityError

from clerksync import linkbatches, mirror
from clerksync.linkbatches import BATCH
from clerksync.linkreports import Problem, ProblemKind, Report
from clerksync.models import ClerkUser


def link_all(
    *, dry_run: bool = False, create: bool = False, on_progress: Callable[[int], object] | None = None
) -> Report:
    """Link all users, bring their Django users up to date, and tell what was left.

    A number of statements for each 500 users that does not depend on them, and a few more
    for each Django user who is created. What is done is committed after each 500. Rows
    that are not current by the mirror's own knowledge are linked as they are.

    Args:
        dry_run: Write nothing, and tell what would be done.
        create: Create Django users for those who fit none.
        on_progress: Told after each batch how many rows were looked at.
    """
    report, done, last = Report(), 0, ""
    users = ClerkUser.objects.using(mirror.database()).order_by("pk")
    while ids := list(users.filter(pk__gt=last).values_list("pk", flat=True)[:BATCH]):
        report.add(_link(ids, create=create, dry_run=dry_run))
        done, last = done + len(ids), ids[-1]
        if on_progress is not None:
            on_progress(done)
    return report


def _link(ids: list[str], *, create: bool, dry_run: bool) -> Report:
    try:
        return linkbatches.link(ids, create=create, dry_run=dry_run).report
    except IntegrityError:
        report = Report()
        for clerk_id in ids:
            report.add(_link_one(clerk_id, create=create))
        return report


def _link_one(clerk_id: str, *, create: bool) -> Report:
    """Alone, so that one whom the database refuses does not keep others back."""
    try:
        return linkbatches.link([clerk_id], create=create).report
    except DatabaseError as error:
        why = f"the database refused it ({type(error).__name__}); run it again"
        return Report(seen=1, problems=[Problem(clerk_id, ProblemKind.FAILED, why)])
