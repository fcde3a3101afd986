"""Syncs in the middle of which processes are killed, by hand, by a scheduler and by an audit."""

from __future__ import annotations

from django.db.models import F

from clerksync import linkruns, pagereads
from clerksync.models import ClerkUser, MirrorState, ScheduledJob, SyncRun
from tests.crash.scene import DRAIN, LINKED, WRITER, Scene
from tests.crash.situations import PAST, fall_behind
from tests.syncing import Syncer, differences, last_run


class FullSync(Scene):
    """A full sync that creates, updates and buries, and keeps Django users in step."""

    points = (
        "lease.taken",
        "lease.before-renewal",
        "lease.renewed",
        "lease.before-release",
        "lease.released",
        "sync.run-opened",
        "sync.page-fetched",
        "sync.page-waiting",
        "sync.page-applied",
        "sync.checkpoint-saved",
        "sync.page-written",
        "sync.before-count",
        "sync.before-watermark",
        "sync.watermark-set",
        "sync.watermark-committed",
        "sync.before-close",
        "sync.closed",
        "sync.reported",
        *DRAIN,
        *WRITER,
        "link.before-batch",
        "link.before-commit",
    )
    settings = LINKED
    command = ("sync_clerk_users", "--no-progress")

    def prepare(self) -> None:
        """Everybody in the table has a Django user."""
        fall_behind(self.clerk)
        linkruns.link_all(create=True)

    def check(self) -> None:
        """Nobody who is gone can log in, and nobody has an old name."""
        super().check()
        assert (ClerkUser.objects.count(), ClerkUser.objects.deleted().count()) == (33, 3)
        assert last_run().state == SyncRun.State.COMPLETED
        linked = ClerkUser.objects.filter(user__isnull=False)
        assert linked.count() == 25
        assert not linked.exclude(user_revision=F("revision")).exists()
        for row in linked.active().select_related("user"):
            assert row.user is not None
            assert row.user.first_name == (row.first_name or "")
        assert not linked.deleted().filter(user__is_active=True).exists()


class IncrementalSync(Scene):
    """A scan of three pages."""

    points = (
        "lease.taken",
        "lease.renewed",
        "sync.run-begun",
        "sync.page-fetched",
        "sync.page-applied",
        "sync.checkpoint-saved",
        "sync.page-written",
        "sync.before-watermark",
        "sync.watermark-set",
        "sync.watermark-committed",
        "sync.before-close",
        "sync.closed",
        "writer.written",
        "writer.committed",
    )
    command = ("sync_clerk_users", "--incremental")

    def prepare(self) -> None:
        """Everybody has changed."""
        ids = self.clerk.create_users(25)
        self.clerk.advance(seconds=600)
        Syncer(self.clerk).full()
        self.clerk.advance(seconds=300)
        for clerk_id in ids:
            self.clerk.update_user(clerk_id, first_name="Jasmin")
        self.clerk.fail("limit_ignored", times=None)
        self.known = MirrorState.objects.get().updates_as_of

    def check_kept(self) -> None:
        """All changes are here before anybody says so."""
        super().check_kept()
        is_known = MirrorState.objects.get().updates_as_of != self.known
        assert is_known <= (differences(self.clerk) == {})


class Refresh(Scene):
    """Users in doubt are read by id: changed ones, and two who are gone."""

    points = (*DRAIN, *WRITER, "refresh.recorded")
    command = ("sync_clerk_users", "--pending")

    def prepare(self) -> None:
        """Six users are in doubt."""
        ids = self.clerk.create_users(20)
        self.clerk.advance(seconds=600)
        Syncer(self.clerk).full()
        self.clerk.advance(seconds=60)
        for clerk_id in ids[:4]:
            self.clerk.update_user(clerk_id, first_name="Jasmin")
        for clerk_id in ids[4:6]:
            self.clerk.delete_user(clerk_id)
        for clerk_id in ids[:6]:
            pagereads.mark(clerk_id, self.clerk.clock.now_ms())
        self.clerk.advance(seconds=60)


class Scheduler(Scene):
    """A scheduler that runs everything once."""

    points = (
        "scheduler.planned",
        "scheduler.claimed",
        "scheduler.before-attempt",
        "sync.page-written",
        "sync.closed",
        "scheduler.attempted",
        "scheduler.before-finish",
        "scheduler.finished",
    )
    settings = {
        "CLERKSYNC_SCHEDULE": dict.fromkeys(
            ("incremental", "full", "pending", "events", "prune", "audit"), "0 0 1 1 *"
        )
    }
    command = ("run_clerk_scheduler", "--once")

    def prepare(self) -> None:
        """Much to do."""
        fall_behind(self.clerk)

    def pass_time(self) -> None:
        """Everything is due, again, and by Clerk's clock it is later than whatever raised a doubt."""
        super().pass_time()
        self.clerk.advance(seconds=60)
        SyncRun.objects.filter(kind="audit").update(progressed_at=PAST)
        ScheduledJob.objects.update(next_at=PAST)

    def recover(self) -> None:
        """The table is planned by the first run; what it frees is run by the next."""
        self.run()
        self.pass_time()
        super().recover()

    def check(self) -> None:
        """Every part has been run to its end."""
        super().check()
        assert set(ScheduledJob.objects.values_list("outcome", "failures")) == {("completed", 0)}


class Audit(Scene):
    """An audit that mends."""

    points = ("audit.found", *DRAIN[:6], *WRITER[1:3], "audit.mended")
    command = ("audit_clerk_users", "--fix")

    def prepare(self) -> None:
        """Three users have placeholders here, two are unknown here, one is gone."""
        ids = self.clerk.create_users(15)
        self.clerk.advance(seconds=600)
        Syncer(self.clerk).full()
        self.clerk.advance(seconds=600)
        ClerkUser.objects.filter(pk__in=ids[:3]).update(email="none@example.com")
        self.clerk.delete_user(ids[3])
        self.clerk.create_users(2)
        self.clerk.advance(seconds=600)
