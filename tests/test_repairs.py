"""Mending what an audit has found in the mirror."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from clerksync.audit import Audit
from clerksync.client import ClerkClient
from clerksync.exceptions import DeletesRefused, FilterIgnored
from clerksync.findings import FindingKind, Summary
from clerksync.models import ClerkUser, SyncRun
from clerksync.repairs import Repair
from clerksync.tally import Report
from clerksync.testing import FakeClerk
from tests.test_audit import HOUR_MS, found, pair, put, synced, tables

pytestmark = pytest.mark.django_db


def mend(**options: Any) -> tuple[Summary, Report | None]:
    """An audit and its repair."""
    summary = Summary(left=None if options.get("dry_run") else dict.fromkeys(FindingKind, 0))
    with ClerkClient() as client:
        audit = Audit(client, summary=summary)
        repair = Repair(audit, **options)
        for _ in repair.noting(audit.findings()):
            pass
        return summary, repair.mend(client)


def damaged(clerk: FakeClerk) -> dict[str, str]:
    """One user of each kind of finding that reading mends, and one neighbour each."""
    ids = clerk.create_users(12)
    synced(clerk)
    clerk.update_user(ids[3], first_name="Marin")
    clerk.advance(ms=2 * HOUR_MS)
    ClerkUser.objects.filter(pk=ids[0]).delete()
    put(ids[1], last_name="undefined")
    put(ids[2], state="incomplete", updated_ms=0, observed_ms=0, digest="", created_ms=None)
    put(ids[4], banned=True, public_metadata={"plan": "made up"})
    clerk.update_user(ids[5], silent=True, last_name="Solberg")
    put(ids[6], state="deleted")
    clerk.delete_user(ids[7])
    return {
        "missing": ids[0],
        "made up": ids[1],
        "incomplete": ids[2],
        "behind": ids[3],
        "tampered": ids[4],
        "silent": ids[5],
        "tombstone": ids[6],
        "extra": ids[7],
    }


def test_mend__every_kind(clerk_server: FakeClerk) -> None:
    """One reading of just these users mends what can be mended, and the next audit is clean."""
    users = damaged(clerk_server)
    clerk_server.clear_requests()
    summary, report = mend()
    assert report is not None
    assert report.error is None
    assert summary.repaired == {"created": 2, "updated": 4, "deleted": 1, "revived": 1}
    assert (any((summary.left or {}).values()), summary.is_clean, summary.findings) == (False, True, 9)
    assert found() == set()
    bystander = clerk_server.users()[-1]["id"]
    asked = {value for request in clerk_server.requests for name, value in request.query if name == "user_id"}
    assert set(users.values()) <= asked
    assert asked - set(users.values()) <= {bystander, clerk_server.users()[0]["id"]} | _trusted(users)


def _trusted(users: dict[str, str]) -> set[str]:
    """Who may be asked for as a control."""
    return set(ClerkUser.objects.exclude(pk__in=users.values()).values_list("pk", flat=True))


def test_mend__requests(clerk_server: FakeClerk) -> None:
    """A hundred users concerned cost a handful of requests: 99 at a time, once more to judge them again."""
    ids = clerk_server.create_users(600)
    synced(clerk_server)
    for clerk_id in ids[:198]:
        put(clerk_id, last_name="undefined")
    clerk_server.clear_requests()
    summary, _ = mend()
    # Audit: instance, count, two pages and what proves the end; instance, 198 / 99 and 198 / 98 afterwards.
    assert summary.requests == len(clerk_server.requests) <= 2 + 2 + 3 + 1 + 2 + 3
    assert summary.is_clean


def test_mend__dry_run(clerk_server: FakeClerk) -> None:
    """A preview tells every change and writes nothing."""
    users = damaged(clerk_server)
    before, told = tables(), dict[str, Any]()
    summary, _ = mend(dry_run=True, on_page=lambda page, seen: told.update(page.changes))
    assert tables() == before
    assert summary.repaired == {"created": 2, "updated": 4, "deleted": 1, "revived": 1}
    assert (summary.left, summary.is_clean) == (None, False)
    assert told.keys() == set(users.values())
    assert told[users["tampered"]].fields["banned"] == (True, False)


def test_mend__breaker_holds(clerk_server: FakeClerk) -> None:
    """More users than may be deleted stay, the others are mended, and what is left is told."""
    ids = clerk_server.create_users(10)
    synced(clerk_server)
    for clerk_id in ids[:4]:
        clerk_server.delete_user(clerk_id)
    put(ids[5], last_name="undefined")
    summary, report = mend()
    assert report is not None
    assert isinstance(report.error, DeletesRefused)
    assert summary.left == dict.fromkeys(FindingKind, 0) | {FindingKind.EXTRA: 4}
    assert ClerkUser.objects.active().count() == 10
    with override_settings(CLERKSYNC_MAX_DELETES=4):
        assert mend()[0].is_clean


def test_mend__version_from_the_future(clerk_server: FakeClerk) -> None:
    """A version that Clerk never had is left by the first reading, and mended by one a minute later."""
    bad, _ = pair(clerk_server)
    put(bad, updated_ms=clerk_server.clock.now_ms() + HOUR_MS)
    summary, _ = mend()
    assert summary.left == dict.fromkeys(FindingKind, 0) | {FindingKind.LOCAL_AHEAD: 1}
    clerk_server.advance(seconds=62)
    summary, _ = mend()
    assert (summary.repaired, summary.is_clean) == ({"corrected": 1}, True)


def test_mend__what_clerk_holds(clerk_server: FakeClerk) -> None:
    """Placeholders at Clerk are left, told once, and cost no reading."""
    both, remote = pair(clerk_server)
    for clerk_id in (both, remote):
        clerk_server.update_user(clerk_id, last_name="undefined")
    synced(clerk_server)
    put(both, first_name=None)
    summary, _ = mend()
    assert summary.left == dict.fromkeys(FindingKind, 0) | {FindingKind.REMOTE: 2}
    assert not [request for request in clerk_server.requests if ("user_id", remote) in request.query[:1]]


def test_mend__nothing(clerk_server: FakeClerk) -> None:
    """A clean table is not synced."""
    pair(clerk_server)
    summary, report = mend()
    assert (report, summary.repaired, summary.is_clean) == (None, {}, True)
    assert not SyncRun.objects.exists()


def test_mend__answers_without_sense(clerk_server: FakeClerk) -> None:
    """A Clerk that ignores the filter mends nothing and deletes nobody."""
    users = damaged(clerk_server)
    put(users["silent"], updated_ms=1)  # so that the audit itself reads nobody by id
    for name in ("tombstone", "extra"):
        ClerkUser.objects.filter(pk=users[name]).delete()
    count = "GET /v1/users/count"
    clerk_server.fail("callback", call=lambda _: clerk_server.fail("filter_ignored", times=None), on=count)
    summary = Summary(left=dict.fromkeys(FindingKind, 0))
    with ClerkClient() as client:
        audit = Audit(client, summary=summary)
        repair = Repair(audit)
        assert list(repair.noting(audit.findings()))
        with pytest.raises(FilterIgnored):
            repair.mend(client)
    assert ClerkUser.objects.filter(state="deleted").count() == 0
