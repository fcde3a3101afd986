"""The audit, against the fake Clerk over loopback."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from clerksync import mirror
from clerksync.audit import Audit
from clerksync.client import ClerkClient
from clerksync.exceptions import FilterIgnored, InstanceMismatch, SyncIncomplete
from clerksync.findings import Cause, Finding, FindingKind, Summary
from clerksync.models import ClerkUser, MirrorState, SyncRun
from clerksync.payloads import Parser, Source
from clerksync.refresh import sync_users
from clerksync.testing import FakeClerk, every_shape
from clerksync.testing.wire import Request

pytestmark = pytest.mark.django_db

HOUR_MS = 3_600_000


def synced(clerk: FakeClerk) -> None:
    """Bring the table up to date with this Clerk, which then goes on for an hour."""
    body = json.dumps(clerk.users()).encode()
    parser = Parser.from_settings()
    mirror.apply(parser.parse_page(body, source=Source.LIST, observed_ms=clerk.clock.now_ms()))
    clerk.advance(ms=HOUR_MS)


def put(clerk_id: str, **columns: Any) -> None:
    """Change a row past the mirror."""
    assert ClerkUser.objects.filter(pk=clerk_id).update(**columns) == 1


def run(**options: Any) -> tuple[list[Finding], Summary]:
    """A whole audit against Clerk."""
    with ClerkClient() as client:
        audit = Audit(client, **options)
        return list(audit.findings()), audit.summary


def found() -> set[tuple[str, str, str | None, str]]:
    """What an audit finds, without values; nothing twice."""
    findings, summary = run()
    told = [(finding.clerk_id, finding.kind.value, finding.field, finding.reason) for finding in findings]
    assert Counter(finding.kind for finding in findings) == +Counter(summary.counts)
    assert len(told) == len(set(told))
    return set(told)


def tables() -> list[dict[str, Any]]:
    """Every row of every table of ours, but for what the audit notes of itself."""
    models: list[Any] = [ClerkUser, MirrorState, SyncRun]
    noted = {"placeholders", "audited_at"}
    rows = [row for model in models for row in model.objects.order_by("pk").values()]
    return [{name: value for name, value in row.items() if name not in noted} for row in rows]


def pair(clerk: FakeClerk, **fields: Any) -> tuple[str, str]:
    """The ids of two users an hour old or older, the second of them a neighbour to be left alone."""
    ids = [clerk.create_user(created_at=clerk.clock.now_ms() - HOUR_MS + n, **fields)["id"] for n in (0, 1)]
    synced(clerk)
    return ids[0], ids[1]


def test_findings__clean_table(clerk_server: FakeClerk) -> None:
    """Users of every shape that are mirrored as they are give no finding."""
    every_shape(clerk_server)
    synced(clerk_server)
    findings, summary = run()
    assert findings == []
    assert (summary.complete, summary.users_in_clerk, summary.users_in_table) == (True, 54, 54)
    assert summary.instance == clerk_server.instance_id


def test_findings__empty_on_both_sides(clerk_server: FakeClerk) -> None:
    """No user in Clerk and none in the table is clean."""
    assert found() == set()


def test_stale__placeholder_where_clerk_has_data(clerk_server: FakeClerk) -> None:
    """A value that the table made up is told with the rule and the value."""
    bad, _ = pair(clerk_server)
    put(bad, email="nobody@example.com")
    findings, _ = run()
    assert findings == [
        Finding(
            bad,
            FindingKind.STALE,
            "reserved_domain",
            field="email",
            value="nobody@example.com",
            cause=Cause.CHANGED_PAST_THE_MIRROR,
        )
    ]


def test_stale__placeholder_where_clerk_has_nothing(clerk_server: FakeClerk) -> None:
    """An address invented for a user without one is mended by a sync, too."""
    bad, _ = pair(clerk_server, email=None)
    put(bad, email=f"{bad}@placeholder.invalid")
    assert found() == {(bad, "stale", "email", "reserved_domain, clerk_id")}


@pytest.mark.parametrize("empty", [None, "", " \u200b"])
@pytest.mark.parametrize("column", ["email", "phone_number", "username", "first_name", "last_name"])
def test_stale__empty_where_clerk_has_a_value(
    clerk_server: FakeClerk, column: str, empty: str | None
) -> None:
    """Each watched column counts, and whatever looks empty."""
    bad, _ = pair(clerk_server, phone_number="+4930901820", username="tidewatcher")
    put(bad, **{column: empty})
    assert found() == {(bad, "stale", column, "empty")}


def test_stale__empty_on_both_sides(clerk_server: FakeClerk) -> None:
    """Nothing is missing where Clerk has nothing, whether it is NULL here or there an empty text."""
    one, other = pair(clerk_server, first_name="", last_name=None)
    put(one, first_name=None)
    put(other, last_name="")
    assert found() == set()


def test_stale__incomplete_row(clerk_server: FakeClerk) -> None:
    """A row of which only the id is known is one finding, not one for each column."""
    bad, _ = pair(clerk_server)
    blank = {"email": None, "first_name": None, "last_name": None, "digest": "", "created_ms": None}
    put(bad, state="incomplete", updated_ms=0, observed_ms=0, **blank)
    assert found() == {(bad, "stale", None, "incomplete")}


def test_stale__tombstone_of_a_user_in_clerk(clerk_server: FakeClerk) -> None:
    """A user who is deleted here only is told; placeholders in a tombstone are not."""
    bad, _ = pair(clerk_server)
    put(bad, state="deleted", email="nobody@example.com")
    assert found() == {(bad, "stale", None, "tombstone")}


def test_stale__tombstone_that_came_after_the_page(clerk_server: FakeClerk) -> None:
    """A user who is deleted between the page and its judgement is not called stale."""
    gone, _ = pair(clerk_server)
    put(gone, state="deleted")
    clerk_server.fail("callback", call=lambda request: _delete(clerk_server, gone), on="GET /v1/users/count")
    assert found() == set()


def test_stale__row_newer_than_the_page(clerk_server: FakeClerk) -> None:
    """A value that was removed while the audit ran is not called empty."""
    changed, _ = pair(clerk_server, phone_number="+4930901820")
    before = clerk_server.get(changed)
    after = clerk_server.update_user(changed, phone_number=None, synced=True)
    clerk_server.put_user(before)
    clerk_server.fail("callback", call=lambda _: _put(clerk_server, after), on="GET /v1/users/count")
    assert found() == set()


def test_stale__row_with_a_version_from_the_future(clerk_server: FakeClerk) -> None:
    """Such a row is read by id, and what is made up in it is told."""
    bad, good = pair(clerk_server)
    for clerk_id in (bad, good):
        put(clerk_id, updated_ms=clerk_server.clock.now_ms() + HOUR_MS)
    put(bad, last_name="undefined")
    assert found() == {
        (bad, "stale", "last_name", "generic_name"),
        (bad, "local-ahead", None, "newer_than_clerk"),
        (good, "local-ahead", None, "newer_than_clerk"),
    }


def test_behind__after_a_while(clerk_server: FakeClerk) -> None:
    """A row that is merely older than Clerk's data is no finding, until a sync should have mended it."""
    one, _ = pair(clerk_server)
    clerk_server.update_user(one, first_name="Marin", email="marin@harbour-works.io")
    assert found() == set()
    clerk_server.advance(seconds=3599)
    assert found() == set()
    clerk_server.advance(seconds=2)  # of which Clerk's Date may hide one
    assert found() == {(one, "behind", None, "older_than_clerk")}


def test_behind__value_that_is_new(clerk_server: FakeClerk) -> None:
    """What Clerk has learnt since is no second finding."""
    one, _ = pair(clerk_server, first_name=None)
    clerk_server.update_user(one, first_name="Marin")
    assert found() == set()
    clerk_server.advance(ms=2 * HOUR_MS)
    assert found() == {(one, "behind", None, "older_than_clerk")}


def test_behind__beside_a_placeholder(clerk_server: FakeClerk) -> None:
    """What is made up in an old row is told as well."""
    one, _ = pair(clerk_server)
    put(one, last_name="undefined")
    clerk_server.update_user(one, first_name="Marin")
    clerk_server.advance(ms=2 * HOUR_MS)
    assert found() == {
        (one, "behind", None, "older_than_clerk"),
        (one, "stale", "last_name", "generic_name"),
    }


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("first_name", "Ottoline"),
        ("email_verified", False),
        ("banned", True),
        ("image_url", None),
        ("external_id", "erp-17"),
        ("public_metadata", {"plan": "other"}),
        ("created_at", "2020-01-01T00:00:00Z"),
    ],
)
def test_differs__each_column(clerk_server: FakeClerk, column: str, value: Any) -> None:
    """Any column that is not what the same version says in Clerk is told, with its cause; no read by id."""
    bad, _ = pair(clerk_server, public_metadata={"plan": "gold"})
    put(bad, **{column: value})
    findings, _ = run()
    assert [(finding.clerk_id, finding.kind, finding.field, finding.reason) for finding in findings] == [
        (bad, FindingKind.DIFFERS, column, "same_version")
    ]
    assert findings[0].cause is Cause.CHANGED_PAST_THE_MIRROR
    assert not [request for request in clerk_server.requests if ("user_id", bad) in request.query]


@pytest.mark.parametrize("column", ["last_active_at", "last_sign_in_at"])
def test_differs__not_in_what_changes_all_the_time(clerk_server: FakeClerk, column: str) -> None:
    """Times of activity are no content."""
    one, _ = pair(clerk_server)
    put(one, **{column: "2020-01-01T00:00:00Z"})
    assert found() == set()


def test_differs__change_that_kept_the_version(clerk_server: FakeClerk) -> None:
    """Clerk's other content of the same version is told column by column, after a read by id."""
    _, silent = pair(clerk_server)
    clerk_server.update_user(silent, silent=True, last_name="Solberg", first_name="Marin")
    assert found() == {
        (silent, "differs", "last_name", "same_version"),
        (silent, "differs", "first_name", "same_version"),
    }
    assert [request for request in clerk_server.requests if ("user_id", silent) in request.query]


def test_differs__outside_the_columns(clerk_server: FakeClerk) -> None:
    """A difference in the payload alone is told without a column."""
    user = clerk_server.create_user(email_addresses=["maren@harbour-works.io", "m@tidegate-press.com"])
    synced(clerk_server)
    user["email_addresses"][1]["email_address"] = "maren@tidegate-press.com"
    clerk_server.put_user(user)
    assert found() == {(user["id"], "differs", None, "content")}


def test_differs__list_that_is_older_than_the_row(clerk_server: FakeClerk) -> None:
    """What a page shows of the same version does not count until a read by id has confirmed it."""
    one, _ = pair(clerk_server)
    before = clerk_server.get(one)
    after = clerk_server.update_user(one, silent=True, last_name="Solberg")
    with ClerkClient() as client:
        sync_users(client, [one])
    clerk_server.advance(ms=HOUR_MS)
    clerk_server.put_user(before)
    clerk_server.fail("callback", call=lambda _: _put(clerk_server, after), on="GET /v1/users/count")
    assert found() == set()


def test_differs__stored_under_other_settings(clerk_server: FakeClerk) -> None:
    """What the settings say not to store any more, and is stored, is a difference; the digest is none."""
    bad, _ = pair(clerk_server)
    with override_settings(CLERKSYNC_STORE_PAYLOAD=False):
        assert found() == set()
    put(bad, private_metadata={"score": 7})
    with override_settings(CLERKSYNC_EXCLUDE_FIELDS=["private_metadata"]):
        assert found() == {(bad, "differs", "private_metadata", "same_version")}


def test_local_ahead__list_that_is_older_than_the_row(clerk_server: FakeClerk) -> None:
    """A row that is newer than a page is not ahead of Clerk."""
    one, _ = pair(clerk_server)
    before = clerk_server.get(one)
    after = clerk_server.update_user(one, last_name="Solberg", synced=True)
    clerk_server.advance(ms=HOUR_MS)
    clerk_server.put_user(before)
    clerk_server.fail("callback", call=lambda _: _put(clerk_server, after), on="GET /v1/users/count")
    assert found() == set()


def test_local_ahead__seconds_after_the_write(clerk_server: FakeClerk) -> None:
    """What a webhook told just now need not be known to every replica of Clerk's."""
    one, _ = pair(clerk_server)
    before = clerk_server.get(one)
    clerk_server.update_user(one, last_name="Solberg", synced=True)
    clerk_server.put_user(before)
    assert found() == set()
    clerk_server.advance(seconds=10)
    assert found() == {(one, "local-ahead", None, "newer_than_clerk")}


def test_remote__placeholder_in_clerk(clerk_server: FakeClerk) -> None:
    """What Clerk itself holds is not called stale, wherever the table stands."""
    same, older = pair(clerk_server)
    clerk_server.update_user(same, silent=True, email="nobody@example.com")
    put(same, email="nobody@example.com")
    clerk_server.update_user(older, last_name="undefined")
    findings, _ = run()
    assert findings == [
        Finding(older, FindingKind.REMOTE, "generic_name", field="last_name", value="undefined"),
        Finding(same, FindingKind.REMOTE, "reserved_domain", field="email", value="nobody@example.com"),
        Finding(same, FindingKind.DIFFERS, "content", cause=Cause.CHANGED_PAST_THE_MIRROR),
    ]


def test_missing__user_not_in_the_table(clerk_server: FakeClerk) -> None:
    """One finding for a user, whatever data Clerk holds of them."""
    pair(clerk_server)
    new = clerk_server.create_user(email="nobody@example.com")["id"]
    assert found() == {(new, "missing", None, "not_in_table")}


@pytest.mark.parametrize("created_ms", ["kept", "unknown"])
@pytest.mark.parametrize("state", ["active", "incomplete"])
def test_extra__row_that_clerk_does_not_know(clerk_server: FakeClerk, state: str, created_ms: str) -> None:
    """Active and incomplete rows are told, whether or not their time of creation is known."""
    gone, _ = pair(clerk_server)
    clerk_server.delete_user(gone)
    put(gone, state=state, email="nobody@example.com")
    if created_ms == "unknown":
        put(gone, created_ms=None)
    assert found() == {(gone, "extra", None, "not_in_clerk")}


def test_extra__tombstone(clerk_server: FakeClerk) -> None:
    """A tombstone of a user who is gone is as it should be."""
    gone, _ = pair(clerk_server)
    clerk_server.delete_user(gone)
    put(gone, state="deleted", email="nobody@example.com")
    assert found() == set()


def test_extra__id_that_cannot_be_asked_for(clerk_server: FakeClerk) -> None:
    """A row whose id is none of Clerk's is told without asking."""
    bad, _ = pair(clerk_server)
    clerk_server.delete_user(bad)
    ClerkUser.objects.filter(pk=bad).update(clerk_id="-user/../x")
    assert found() == {("-user/../x", "extra", None, "not_in_clerk")}


def test_extra__user_whom_only_the_list_lacks(clerk_server: FakeClerk) -> None:
    """Who is found by id is not extra, and judged like everybody."""
    hidden, _ = pair(clerk_server)
    put(hidden, first_name="undefined")
    user = clerk_server.get(hidden)
    clerk_server.delete_user(hidden)
    clerk_server.fail("callback", call=lambda _: _put(clerk_server, user), on="GET /v1/users/count")
    assert found() == {(hidden, "stale", "first_name", "generic_name")}


def test_extra__other_time_of_creation(clerk_server: FakeClerk) -> None:
    """Rows whose time is not Clerk's are compared once, and are not looked for again."""
    ids = clerk_server.create_users(4)
    synced(clerk_server)
    for clerk_id, created_ms in zip(ids, (None, 1, 2 * clerk_server.clock.now_ms(), 5), strict=True):
        put(clerk_id, created_ms=created_ms, last_name="undefined")
    findings, summary = run()
    assert [finding.clerk_id for finding in findings] == ids
    assert not [request for request in clerk_server.requests if ("user_id", ids[0]) in request.query]
    assert summary.counts[FindingKind.STALE] == 4


def test_extra__user_too_young_to_be_known_everywhere(clerk_server: FakeClerk) -> None:
    """Within a minute of the creation, absence means nothing."""
    pair(clerk_server)
    for age_ms in (90_000, 10_000):
        clerk_server.create_user(clerk_id=f"user_{age_ms}", created_at=clerk_server.clock.now_ms() - age_ms)
    synced(clerk_server)
    clerk_server.advance(ms=-HOUR_MS)
    for age_ms in (90_000, 10_000):
        clerk_server.delete_user(f"user_{age_ms}")
    assert found() == {("user_90000", "extra", None, "not_in_clerk")}


def test_skipped__user_who_cannot_be_read(clerk_server: FakeClerk) -> None:
    """Such a user is neither missing nor extra; what the table holds of them is judged by itself."""
    odd, new = pair(clerk_server)
    put(odd, last_name="undefined")
    ClerkUser.objects.filter(pk=new).delete()
    for clerk_id in (odd, new):
        clerk_server.put_user(clerk_server.get(clerk_id) | {"email_addresses": "none"})
    assert found() == {(odd, "placeholder", "last_name", "generic_name")}
    _, summary = run()
    assert (summary.skipped, set(summary.skipped_users)) == (2, {odd, new})


def test_skipped__tombstone(clerk_server: FakeClerk) -> None:
    """Placeholders in a tombstone do not matter, even if Clerk shows the user in part."""
    odd, _ = pair(clerk_server)
    put(odd, state="deleted", last_name="undefined")
    clerk_server.put_user(clerk_server.get(odd) | {"email_addresses": "none"})
    assert found() == set()


def test_skipped__user_without_an_id(clerk_server: FakeClerk) -> None:
    """A user whose id cannot be read may be anybody whose row is not shown."""
    odd, _ = pair(clerk_server)
    clerk_server.set_raw(odd, b'{"id": 7}')
    findings, summary = run()
    assert (findings, summary.skipped > 0, summary.complete) == ([], True, True)


def test_findings__planted_defects_among_many(clerk_server: FakeClerk) -> None:
    """Exactly the defects are found, and no row of any table is written."""
    ids = clerk_server.create_users(1200)
    for clerk_id in ids[60:67]:
        clerk_server.update_user(clerk_id, silent=True, last_name="undefined")
    synced(clerk_server)
    MirrorState.objects.create(pk=1, instance_id=clerk_server.instance_id)
    ClerkUser.objects.filter(pk__in=ids[:20]).delete()
    for clerk_id in ids[20:31]:
        put(clerk_id, email=f"{clerk_id}@example.com")
    for clerk_id in ids[40:45]:
        put(clerk_id, email=None)
    for clerk_id in ids[1000:1150]:
        clerk_server.delete_user(clerk_id)
    before = tables()
    clerk_server.clear_requests()
    with CaptureQueriesContext(connection) as queries:
        findings, summary = run()
    expected = {
        FindingKind.MISSING: ids[:20],
        FindingKind.STALE: ids[20:31] + ids[40:45],
        FindingKind.REMOTE: ids[60:67],
        FindingKind.EXTRA: ids[1000:1150],
    }
    for kind, wanted in expected.items():
        assert sorted(finding.clerk_id for finding in findings if finding.kind is kind) == sorted(wanted)
    assert len(findings) == summary.findings == 20 + 16 + 7 + 150
    assert tables() == before
    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
    # The instance, the count, 1,050 / 500 pages, three that prove the end, 150 / 98 reads by id.
    assert len(clerk_server.requests) == summary.requests <= 1 + 1 + 3 + 3 + 2


def test_findings__come_as_they_are_found(clerk_server: FakeClerk) -> None:
    """The first finding is there before Clerk has been read to its end."""
    clerk_server.create_users(2000)
    with ClerkClient() as client:
        findings = Audit(client).findings()
        assert next(findings).kind is FindingKind.MISSING
        assert len(clerk_server.requests) <= 4
        findings.close()  # type: ignore[attr-defined]  # a generator


def test_findings__progress(clerk_server: FakeClerk) -> None:
    """The caller is told after each page how many users have been seen."""
    clerk_server.create_users(1100)
    told: list[int] = []
    run(on_page=told.append)
    assert (told[0], told[-1], sorted(told)) == (500, 1100, told)


def test_findings__rules_of_the_settings(clerk_server: FakeClerk) -> None:
    """The audit excepts the domains that the settings call real."""
    pair(clerk_server, email="nobody@example.com")
    assert {kind for _, kind, _, _ in found()} == {"remote"}
    with override_settings(CLERKSYNC_REAL_DOMAINS=["example.com"]):
        assert found() == set()


def test_instance__of_another(clerk_server: FakeClerk) -> None:
    """With another instance's key nobody is judged."""
    pair(clerk_server)
    MirrorState.objects.create(pk=1, instance_id="ins_other")
    with pytest.raises(InstanceMismatch):
        found()
    assert [request.path for request in clerk_server.requests] == ["/v1/instance"]


def test_instance__not_yet_known(clerk_server: FakeClerk) -> None:
    """An audit before the first sync does not decide whose the table is."""
    pair(clerk_server)
    assert found() == set()
    assert not MirrorState.objects.exists()


def test_incomplete__empty_list(clerk_server: FakeClerk) -> None:
    """A wrong empty answer does not make everybody extra."""
    pair(clerk_server)
    clerk_server.fail("empty_list", times=None)
    with pytest.raises(SyncIncomplete):
        found()


def test_incomplete__nobody_left(clerk_server: FakeClerk) -> None:
    """Nobody is extra in an instance without users either: nothing is there to trust the answer by."""
    for clerk_id in pair(clerk_server):
        clerk_server.delete_user(clerk_id)
    with pytest.raises(SyncIncomplete, match="is empty"):
        found()


def test_incomplete__count_not_plausible(clerk_server: FakeClerk) -> None:
    """A list that shows clearly fewer than Clerk counts decides nothing, and the summary says so."""
    gone, _ = pair(clerk_server)
    clerk_server.delete_user(gone)
    clerk_server.fail("count_wrong", by=100, on="GET /v1/users/count")
    with ClerkClient() as client:
        audit = Audit(client)
        with pytest.raises(SyncIncomplete):
            list(audit.findings())
    assert (audit.summary.complete, audit.summary.findings) == (False, 0)
    assert audit.summary.requests == len(clerk_server.requests)


@pytest.mark.parametrize("fault", ["filter_ignored", "empty_list"])
def test_incomplete__filter_by_id(clerk_server: FakeClerk, fault: str) -> None:
    """Answers by id that lack the users whom the list has just shown, or show others, say nothing."""
    clerk_server.create_users(300)
    synced(clerk_server)
    for user in clerk_server.users()[:20]:
        clerk_server.delete_user(user["id"])

    def arm(request: Request) -> None:
        clerk_server.fail(fault, times=None)

    clerk_server.fail("callback", call=arm, on="GET /v1/users/count")
    with pytest.raises(FilterIgnored):
        found()


def test_offline__placeholders_only(clerk: FakeClerk) -> None:
    """Without Clerk each placeholder in the table is told, and nothing else; no key is needed."""
    bad, missing = pair(clerk)
    put(bad, email="nobody@example.com", first_name=None)
    put(missing, state="deleted", email="nobody@example.com")
    with override_settings(CLERK_SECRET_KEY=""):
        audit = Audit(None)
        findings = list(audit.findings())
    assert findings == [
        Finding(
            bad,
            FindingKind.PLACEHOLDER,
            "reserved_domain",
            field="email",
            value="nobody@example.com",
            cause=Cause.CHANGED_PAST_THE_MIRROR,
        )
    ]
    assert (audit.summary.complete, audit.summary.users_in_table) == (True, 1)
    assert (audit.summary.users_in_clerk, audit.summary.requests) == (None, 0)


def test_offline__planted_defects_among_many(clerk: FakeClerk) -> None:
    """The whole table is read, in the order of the ids, and not written."""
    ids = clerk.create_users(1200)
    synced(clerk)
    bad = sorted(ids[::100])
    for clerk_id in bad:
        put(clerk_id, last_name="undefined")
    before = tables()
    assert [finding.clerk_id for finding in Audit(None).findings()] == bad
    assert tables() == before


def _delete(clerk: FakeClerk, clerk_id: str) -> None:
    clerk.delete_user(clerk_id)


def _put(clerk: FakeClerk, user: dict[str, Any]) -> None:
    clerk.put_user(user)
