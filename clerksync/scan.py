"""The head scan: the users that were changed since the last one, compared with the table page by page.

Clerk's list in the order of changes is read from its head until the changes are older than what is known;
what that costs grows with what has changed, not with the table. It says nothing about who is gone.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from clerksync import mirror
from clerksync.client import ClerkClient
from clerksync.exceptions import SyncIncomplete
from clerksync.head import HeadPage, read_head
from clerksync.models import ClerkUser
from clerksync.pages import Checkpoint, PageWriter, SweptPage, unreadable
from clerksync.payloads import Observation


class Scan:
    """One reading of the head.

    Args:
        client: Clerk.
        checkpoint: Counts what is committed; nothing to resume from.
        writer: How pages are written.
        until_ms: The time of Clerk's clock down to which changes are read.
    """

    def __init__(
        self, client: ClerkClient, checkpoint: Checkpoint, writer: PageWriter, *, until_ms: int
    ) -> None:
        self.client = client
        self.checkpoint = checkpoint
        self.writer = writer
        self.until_ms = until_ms

    def pages(self) -> Generator[SweptPage]:
        """Read to the end; each page is committed before it is yielded.

        Raises:
            SyncIncomplete: There is no head to trust.
        """
        head = read_head(
            fetch=self.client.list_users,
            decode=self.writer.decode,
            count=self.client.count,
            until_ms=self.until_ms,
        )
        for page in head:
            if not page.items and self.checkpoint.seen == 0 and ClerkUser.objects.active().exists():
                raise SyncIncomplete(
                    "Clerk's list of users is empty, but this table holds users. Check the secret key, "
                    "and run a full sync: manage.py sync_clerk_users"
                )
            swept = self.writer.write(partial(self._apply, page))
            self.checkpoint.move_to(swept.checkpoint or self.checkpoint)
            yield swept

    def _apply(self, page: HeadPage[Observation]) -> SweptPage:
        rows = mirror.read({item.clerk_id for item in page.items if item.clerk_id})
        changes = self.writer.apply(page.items, rows)
        skipped = unreadable(page.items, place="of the last changes")
        return SweptPage(page.items, rows, changes, skipped, checkpoint=self._advanced(page))

    def _advanced(self, page: HeadPage[Observation]) -> Checkpoint:
        before = self.checkpoint
        started_ms = page.observed_ms if before.seen == 0 else before.started_ms
        return Checkpoint(seen=before.seen + len(page.items), started_ms=started_ms)
