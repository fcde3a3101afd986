"""Page loads and linking in the middle of which processes are killed."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from clerksync.models import ClerkUser
from tests.crash.scene import LINKED, Scene
from tests.syncing import Syncer


class PageLoads(Scene):
    """Page loads of users who are new, changed and gone, with linking."""

    points = (
        "capture.marked",
        "capture.claimed",
        "capture.before-apply",
        "writer.before-write",
        "writer.written",
        "writer.committed",
        "capture.applied",
        "capture.done",
        "link.before-batch",
        "link.before-commit",
        "link.committed",
    )
    settings = {
        **LINKED,
        "ROOT_URLCONF": "tests.pages",
        "CLERKSYNC_REFRESH_AFTER": 0,
        "CLERKSYNC_REFRESH_TIMEOUT": 1,
    }

    def prepare(self) -> None:
        """Two of ten users are changed and one is deleted; three are new."""
        ids = self.clerk.create_users(10)
        self.clerk.advance(seconds=600)
        Syncer(self.clerk).full()
        self.clerk.advance(seconds=600)
        changed = [self.clerk.update_user(clerk_id, first_name="Jasmin") for clerk_id in ids[:2]]
        gone = self.clerk.get(ids[2])
        self.clerk.delete_user(ids[2])
        self.visitors = [*self._new(), *changed, gone]
        self.clerk.advance(seconds=300)

    def _new(self) -> list[dict[str, Any]]:
        return [self.clerk.create_user(first_name=name) for name in ("Isla", "Marin", "Bo")]

    def start(self, **kill: Any) -> int:
        """Everybody loads two pages."""
        visits = [
            (path, self.clerk.bearer(user, expires_in=600))
            for user in self.visitors
            for path in ("/user/", "/django-user/")
        ]
        return self.forks.start(
            work=("tests.crash.works:load_pages", {"visits": visits}), settings=self.all_settings(), **kill
        )

    def recover(self) -> None:
        """They come again; a full sync reads who is still in doubt."""
        super().recover()
        self.clerk.advance(seconds=60)
        assert Syncer(self.clerk).full().exit_status == 0

    def check(self) -> None:
        """Each visitor has one Django user, and nobody else has any."""
        super().check()
        linked = ClerkUser.objects.filter(user__isnull=False)
        assert set(linked.values_list("pk", flat=True)) >= {user["id"] for user in self.visitors[:-1]}
        assert User.objects.count() == linked.count()
        assert not linked.deleted().filter(user__is_active=True).exists()


class Linking(Scene):
    """Everybody is linked at once."""

    points = ("link.before-batch", "link.before-commit", "link.committed")
    settings = LINKED
    command = ("link_clerk_users", "--create")

    def prepare(self) -> None:
        """Thirty users without Django users."""
        self.clerk.create_users(30)
        self.clerk.advance(seconds=60)
        Syncer(self.clerk).full()

    def check(self) -> None:
        """One Django user each."""
        super().check()
        assert User.objects.count() == ClerkUser.objects.filter(user__isnull=False).count() == 30
