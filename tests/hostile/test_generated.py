"""Users and events that Clerk's own schemas allow: strange ones cost only themselves (I14)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from clerksync.models import ClerkUser, WebhookEvent
from tests.deliveries import now_ms, post
from tests.figures import tell
from tests.hostile.forging import sign
from tests.hostile.generating import instances
from tests.hostile.oracles import take_event, take_user
from tests.hostile.test_users import look, settled, syncer
from tests.profiles import pick
from tests.syncing import Syncer, change, differences, table
from tests.test_event_contract import content_of, document
from tests.testing import specification

__all__ = ["syncer"]

EXAMPLES = pick(short=12, long=2_000)

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(pick(short=300, long=7_200))]

#: What a generated user keeps of the one in whose place it is sent: whoever has another id breaks the filter
#: of a list, which rightly ends a sync.
KEPT = (("id",), ("id", "created_at"), ("id", "created_at", "updated_at"))


@contextmanager
def undone() -> Iterator[None]:
    """Every example begins with the same tables."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def test_sweep__between_good_users(syncer: Syncer) -> None:
    """The good ones are stored right; a generated one is stored, in doubt or counted as skipped."""
    schema = {"$ref": "#/components/schemas/User"}
    users = instances({"User": schema}, specification.document()["components"])["User"]
    first, known, second = settled(syncer, 3)
    new = syncer.clerk.create_user()["id"]
    last = syncer.clerk.create_user()["id"]
    good = {first, second, last}

    @settings(max_examples=EXAMPLES)
    @given(generated=users, kept=st.sampled_from(KEPT), is_known=st.booleans())
    def sweep(generated: dict[str, Any], kept: tuple[str, ...], *, is_known: bool) -> None:
        place, other = (known, new) if is_known else (new, known)
        change(syncer.clerk, [first, place, second, last])
        real = syncer.clerk.get(place)
        user = {**generated, **{name: real[name] for name in kept}}
        raw = json.dumps(user).encode()
        take_user(raw)
        syncer.clerk.set_raw(place, raw)
        syncer.clerk.set_raw(other, None)
        with undone():
            report = syncer.full()
            assert report.error is None
            assert differences(syncer.clerk).keys() <= {place}
            rows = ClerkUser.objects.in_bulk()
            assert good | {known, other} <= rows.keys() <= good | {known, new}
            assert {rows[clerk_id].doubt_reason for clerk_id in good | {other}} == {""}
            assert not [row.pk for row in rows.values() if row.state == "deleted" or not look(row)]
            row = rows.get(place)
            is_stored = row is not None and row.updated_ms == user["updated_at"]
            assert is_stored or (row is not None and row.doubt_reason) or report.counts["skipped"]
            assert is_stored or kept != KEPT[-1]
        tell("users of Clerk's schema")
        tell("users of Clerk's schema, stored", is_stored)

    sweep()


def test_webhook__signed(syncer: Syncer) -> None:
    """A signed body is recorded or refused; as an event, recorded; nobody else's row is touched."""
    types = list(document()["x-webhooks"])
    bodies = instances(
        {event_type: content_of(event_type)["schema"] for event_type in types}, document()["components"]
    )
    of_users = [event_type for event_type in types if event_type.startswith(("user.", "session."))]
    settled(syncer, 3)
    before = table()

    @settings(max_examples=EXAMPLES)
    @given(
        event_type=st.sampled_from(of_users) | st.sampled_from(types), is_framed=st.booleans(), data=st.data()
    )
    def deliver(event_type: str, *, is_framed: bool, data: st.DataObject) -> None:
        body = data.draw(bodies[event_type])
        is_event = is_framed and isinstance(body, dict)
        if is_event:
            frame = {"type": event_type, "timestamp": now_ms(), "instance_id": syncer.clerk.instance_id}
            body = {**body, **frame}
        raw = json.dumps(body).encode()
        take_event(raw)
        with undone():
            status = post(sign(raw)).status_code
            assert status == 200 or (400 <= status < 500 and not is_event)
            assert WebhookEvent.objects.count() == (status == 200)
            for event in WebhookEvent.objects.all():
                assert event.state in {"applied", "superseded", "parked", "ignored"}
                assert bool(event.reason) or event.state != "parked"
            after = table()
            assert {clerk_id: after.get(clerk_id) for clerk_id in before} == before
        tell("webhook bodies of Clerk's schema")
        tell("webhook bodies of Clerk's schema, recorded", status == 200)

    deliver()
