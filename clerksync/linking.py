"""Which Django user is whose: for one row on demand, and kept in step with what is written.

The link is a column of ours; the table of Django users gets no new one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DatabaseError, IntegrityError
from django.db.models import F

from clerksync import linkbatches, mirror
from clerksync.conf import settings
from clerksync.linkbatches import BATCH, Batch
from clerksync.linkreports import Report
from clerksync.logs import Log, clean, told, where
from clerksync.models import ClerkUser, SyncRun

logger = logging.getLogger(__name__)

#: Two processes may want the same Django user for two rows; the second one then looks again.
MAX_ROUNDS = 3


def user_for(row: ClerkUser, *, create: bool = True) -> AbstractBaseUser | None:
    """The Django user of a row: the linked one, else one whom the rules find, else a new one.

    Costs no statement if ``row.user`` is loaded and has what the row says; any other work
    is done once for each revision of the row. Of several processes that come at once with
    the same new user one creates the Django user. The user may be inactive: whoever signs
    somebody in looks at ``is_active``.

    Returns:
        None if linking is off, if it is not clear who the user is, and if nobody could be
        created; the log says why.

    Raises:
        django.db.Error: The database failed, and nobody is linked.
    """
    if not settings.LINK_USERS:
        return None
    linked: AbstractBaseUser | None = row.user
    if linked is not None and row.user_revision == row.revision:
        return linked
    try:
        batch = _link_one(row.pk, create=create)
    except DatabaseError as error:
        if linked is None:
            raise
        logger.error(
            "the Django user of %s was not brought up to date",
            row.pk,
            exc_info=where(error),
            extra=told(Log.LINK_FAILED, clerk_id=row.pk),
        )
        return linked
    log(batch.report)
    for found in batch.rows:
        row.user, row.user_revision, row.user_deactivated = (
            found.user,
            found.user_revision,
            found.user_deactivated,
        )
    return row.user


def _link_one(clerk_id: str, *, create: bool) -> Batch:
    for _ in range(MAX_ROUNDS - 1):
        try:
            return linkbatches.link([clerk_id], create=create)
        except IntegrityError:
            logger.info(
                "%s: another process was faster", clerk_id, extra=told(Log.LINK_LEFT, clerk_id=clerk_id)
            )
    return linkbatches.link([clerk_id], create=create)


def keep_in_step(sender: object, clerk_ids: Sequence[str], **kwargs: Any) -> None:
    """Receive ``users_written``: bring the Django users of those who are linked up to date.

    Nobody is linked here, so that an initial sync does not search their table for every page.
    """
    if not settings.LINK_USERS:
        return
    users = ClerkUser.objects.using(mirror.database())
    for start in range(0, len(clerk_ids), BATCH):
        linked = users.filter(pk__in=clerk_ids[start : start + BATCH], user__isnull=False)
        if ids := list(linked.values_list("pk", flat=True)):
            log(linkbatches.link(ids, create=False).report)


def catch_up(sender: object, run: SyncRun, **kwargs: Any) -> None:
    """Receive ``sync_completed``: after a full sync, bring those up to date of whom nobody was told.

    A process that is killed between its commit and its signals leaves Django users behind, who may be of
    users who are gone.
    """
    if not settings.LINK_USERS or run.kind != SyncRun.Kind.FULL:
        return
    users = ClerkUser.objects.using(mirror.database())
    behind = users.filter(user__isnull=False).exclude(user_revision=F("revision")).order_by("pk")
    last = ""
    while ids := list(behind.filter(pk__gt=last).values_list("pk", flat=True)[:BATCH]):
        log(linkbatches.link(ids, create=False).report)
        last = ids[-1]


def log(report: Report) -> None:
    """Tell of what was left, without personal data."""
    for problem in report.problems:
        logger.warning(
            "%s: %s %s: %s",
            clean(problem.clerk_id),
            problem.kind,
            problem.field,
            clean(problem.reason),
            extra=told(Log.LINK_LEFT, clerk_id=clean(problem.clerk_id), kind=problem.kind.value),
        )
