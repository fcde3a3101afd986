"""Webhooks and replays in the middle of which processes are killed."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any, ClassVar

from django.utils import timezone

from clerksync.models import ClerkUser, MirrorState, WebhookEvent
from clerksync.testing.deliveries import Delivery
from tests.crash.scene import Scene
from tests.deliveries import post
from tests.syncing import Syncer


class Webhooks(Scene):
    """Deliveries of a new, a changed and a deleted user, with a handler; Svix delivers again what is not answered."""

    points: ClassVar[tuple[str, ...]] = (
        "webhook.verified",
        "webhook.before-record",
        "webhook.recorded",
        "webhook.before-apply",
        "writer.before-write",
        "writer.written",
        "webhook.applied",
        "writer.committed",
        "webhook.committed",
        "webhook.handled",
        "webhook.finished",
        "webhook.before-answer",
    )
    settings = {"ROOT_URLCONF": "project.urls"}

    def prepare(self) -> None:
        """The deliveries, each of a message of its own."""
        ids = self.clerk.create_users(10)
        self.clerk.advance(seconds=60)
        Syncer(self.clerk).full()
        self.clerk.advance(seconds=60)
        new, gone = self.clerk.create_user(first_name="Isla"), self.clerk.get(ids[1])
        self.clerk.delete_user(ids[1])
        told = [
            ("user.created", new),
            ("user.updated", self.clerk.update_user(ids[0], first_name="Jasmin")),
            ("user.deleted", gone),
        ]
        self.deliveries = [
            self.clerk.sign_webhook(name, user, svix_id=f"msg_{number}")
            for number, (name, user) in enumerate(told)
        ]

    def start(self, *, tries: int = 1, **kill: Any) -> int:
        """Deliver; what is not answered with 2xx is tried again, so many times in all."""
        sent = [(delivery.body.decode(), delivery.headers) for delivery in self.deliveries]
        work = ("tests.crash.works:deliver", {"deliveries": sent, "book": str(self.book), "tries": tries})
        return self.forks.start(work=work, settings=self.all_settings(), **kill)

    def check_kept(self) -> None:
        """I5: whatever was answered with 2xx is recorded, applied and handled."""
        for svix_id in self.noted("answered"):
            event = WebhookEvent.objects.get(svix_id=svix_id)
            assert (event.state, event.handled) == ("applied", True)

    def check(self) -> None:
        """Everything has arrived."""
        super().check()
        assert self.noted("answered").keys() == self.noted("handled").keys() == {"msg_0", "msg_1", "msg_2"}
        assert WebhookEvent.objects.filter(state="applied", handled=True).count() == 3
        # Applied once each, whatever was delivered: the revision counts the writes of a row.
        assert ClerkUser.objects.get(first_name="Isla").revision == 1

    def noted(self, what: str) -> Counter[str]:
        """How often which message was answered or handled."""
        lines = self.book.read_text().splitlines() if self.book.exists() else []
        return Counter(line.split()[1] for line in lines if line.startswith(what))


class Replay(Webhooks):
    """Events that were parked, or whose handler had failed, are replayed."""

    points = (
        "replay.before-event",
        "webhook.before-record",
        "webhook.recorded",
        "webhook.applied",
        "webhook.committed",
        "webhook.handled",
        "webhook.finished",
        "replay.event-done",
    )

    def prepare(self) -> None:
        """Two events were taken for another instance's; of one the handler had failed."""
        super().prepare()
        self._deliver_with_failing_handler(self.deliveries[0])
        MirrorState.objects.update(instance_id="ins_of_others")
        for delivery in self.deliveries[1:]:
            assert post(delivery).json() == {"status": "parked"}
        MirrorState.objects.update(instance_id=self.clerk.instance_id)
        assert Counter(WebhookEvent.objects.values_list("state", flat=True)) == {"parked": 2, "failed": 1}

    def _deliver_with_failing_handler(self, delivery: Delivery) -> None:
        assert post(delivery).status_code == 200
        WebhookEvent.objects.update(state=WebhookEvent.State.FAILED, reason="a handler", handled=True)

    def start(self, **kill: Any) -> int:
        """Replay."""
        return self.forks.start(
            work=("tests.crash.works:replay", {"book": str(self.book)}), settings=self.all_settings(), **kill
        )

    def pass_time(self) -> None:
        """Those that were being handled are not any more."""
        super().pass_time()
        WebhookEvent.objects.update(finished_at=timezone.now() - timedelta(minutes=10))

    def check(self) -> None:
        """Each event was applied, and given to the handler."""
        Scene.check(self)
        assert self.noted("handled").keys() == {"msg_0", "msg_1", "msg_2"}
        assert WebhookEvent.objects.filter(state="applied", handled=True).count() == 3
