"""Linking one row on demand, and keeping Django users in step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.db.models import F
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from clerksync import linking, linkruns, mirror, signals
from clerksync.models import ClerkUser, SyncRun
from tests.deliveries import USER, changed, deleted, deliver, now_ms
from tests.links import add_django_user, add_row, linked_to, linking_on
from tests.observed import seen

pytestmark = pytest.mark.django_db


def test_off__nobody() -> None:
    """Linking has to be turned on."""
    assert linking.user_for(add_row("user_a")) is None
    assert not User.objects.exists()


@linking_on()
def test_new_user__created_once() -> None:
    """Who fits nobody gets a Django user, named after the Clerk id, who cannot log in by a password."""
    row = add_row("user_a", email="ada@harbour-works.io", first_name="Ada")
    user = linking.user_for(row)
    assert isinstance(user, User)
    assert (user.username, user.email, user.first_name, user.last_name) == (
        "user_a",
        "ada@harbour-works.io",
        "Ada",
        "",
    )
    assert not user.has_usable_password()
    assert not user.is_staff
    assert linking.user_for(ClerkUser.objects.get()) == user
    assert linked_to("user_a") == "user_a"


@linking_on()
def test_new_user__not_asked_for() -> None:
    """Without ``create`` nobody is created."""
    assert linking.user_for(add_row("user_a"), create=False) is None
    assert not User.objects.exists()


@linking_on("verified_email")
def test_linked__costs_nothing() -> None:
    """Whose Django user is loaded and up to date is answered without the database."""
    add_django_user("ada", email="ada@harbour-works.io")
    linking.user_for(add_row("user_a", email="ada@harbour-works.io"))
    row = ClerkUser.objects.select_related("user").get()
    with CaptureQueriesContext(connection) as queries:
        user = linking.user_for(row)
    assert isinstance(user, User)
    assert user.username == "ada"
    assert len(queries) == 0


def ban(clerk_id: str, **columns: bool) -> None:
    """Change a row as the mirror does, and tell the receivers."""
    ClerkUser.objects.filter(pk=clerk_id).update(**columns, revision=F("revision") + 1)
    signals.users_written.send_robust(ClerkUser, clerk_ids=[clerk_id])


def is_active() -> bool:
    """Whether the only Django user is."""
    return User.objects.get().is_active


@linking_on()
@pytest.mark.parametrize("column", ["banned", "deprovisioned"])
def test_active__follows(column: str) -> None:
    """Who is kept out of Clerk is inactive here, until Clerk lets them in again."""
    linking.user_for(add_row("user_a"))
    ban("user_a", **{column: True})
    assert not is_active()
    ban("user_a", **{column: False})
    assert is_active()


@linking_on()
def test_active__not_ours_to_give() -> None:
    """Whom the project itself has deactivated stays so, whatever happens at Clerk."""
    linking.user_for(add_row("user_a"))
    User.objects.update(is_active=False)
    ban("user_a", banned=True)
    ban("user_a", banned=False)
    assert not is_active()
    User.objects.update(is_active=True)
    ban("user_a", banned=True)
    ban("user_a", banned=True)
    assert not is_active()


@linking_on()
def test_active__banned_from_the_start() -> None:
    """A new Django user of somebody who is banned is inactive."""
    user = linking.user_for(add_row("user_a", banned=True))
    assert user is not None
    assert not user.is_active
    assert not is_active()


@linking_on()
def test_user_deleted_here__created_anew() -> None:
    """Deleting a Django user deletes nobody of Clerk's; the next request makes a new one."""
    row = add_row("user_a", banned=True)
    linking.user_for(row)
    User.objects.all().delete()
    row = ClerkUser.objects.get()
    assert row.user is None
    ClerkUser.objects.update(banned=False)
    assert linking.user_for(row) is not None
    assert is_active()


@linking_on(email="email")
def test_revision__done_once() -> None:
    """What a signal did not bring along is made up for at the next request, and then costs nothing more."""
    linking.user_for(add_row("user_a", email="ada@harbour-works.io"))
    ClerkUser.objects.update(email="ada@tidegate-press.com", revision=7)
    user = linking.user_for(ClerkUser.objects.get())
    assert isinstance(user, User)
    assert user.email == "ada@tidegate-press.com"
    row = ClerkUser.objects.select_related("user").get()
    assert row.user_revision == 7
    with CaptureQueriesContext(connection) as queries:
        linking.user_for(row)
    assert len(queries) == 0


@linking_on()
def test_new_user__name_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    """A Django user who happens to have the Clerk id as the username is nobody's to take: told, no crash."""
    add_django_user("user_a")
    assert linking.user_for(add_row("user_a")) is None
    assert "user_a: not_created : auth.User needs: username (unique)" in caplog.text


@linking_on()
def test_new_user__receiver_fails(caplog: pytest.LogCaptureFixture) -> None:
    """An error in the project's own receiver leaves nothing half done, and is no error of the page."""

    def refuse(**kwargs: Any) -> None:
        raise RuntimeError("a profile could not be made")

    post_save.connect(refuse, sender=User)
    try:
        assert linking.user_for(add_row("user_a")) is None
    finally:
        post_save.disconnect(refuse, sender=User)
    assert not User.objects.exists()
    assert "its save() failed (RuntimeError)" in caplog.text


def test_webhook__linking_fails(
    caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    """An error in linking costs neither the webhook nor the sync anything."""
    add_row(USER, user=add_django_user("ada"))
    with linking_on(email="no.such.callable"), django_capture_on_commit_callbacks(execute=True):
        assert deliver(changed(now_ms(), first_name="Ada")) == "applied"
    assert ClerkUser.objects.get().first_name == "Ada"
    assert "keep_in_step" in caplog.text


@linking_on(first_name="first_name")
def test_webhook__kept_in_step(django_capture_on_commit_callbacks: Any) -> None:
    """An event reaches the Django user of who is linked, and deactivates who is deleted."""
    add_row(USER, user=add_django_user("ada"))
    with django_capture_on_commit_callbacks(execute=True):
        deliver(changed(now_ms(), first_name="Ada"))
    assert User.objects.get().first_name == "Ada"
    with django_capture_on_commit_callbacks(execute=True):
        deliver(deleted(now_ms() + 1))
    assert not is_active()


@linking_on(first_name="first_name")
@pytest.mark.parametrize(("kind", "name"), [("full", "Ada"), ("incremental", "")])
def test_full_sync__catches_up(kind: str, name: str) -> None:
    """At its end those follow of whose change no signal told, because the process was killed after its commit."""
    add_row(USER, user=add_django_user("ada"))
    deliver(changed(now_ms(), first_name="Ada"))  # the test's transaction is never committed
    assert User.objects.get().first_name == ""
    signals.sync_completed.send(SyncRun, run=SyncRun(kind=kind))
    assert User.objects.get().first_name == name


@linking_on()
def test_full_sync__deactivates_who_is_gone() -> None:
    """The same for somebody who must not log in any more."""
    add_row(USER, user=add_django_user("ada"))
    deliver(deleted(now_ms()))
    assert is_active()
    signals.sync_completed.send(SyncRun, run=SyncRun(kind="full"))
    assert not is_active()


def test_writer__compares_nothing_for_linking() -> None:
    """Keeping Django users in step does not make the writer compare columns."""
    with linking_on(email="email"), CaptureQueriesContext(connection) as on:
        mirror.apply([seen(1, 1, clerk_id="user_a")])
    with CaptureQueriesContext(connection) as off:
        mirror.apply([seen(1, 1, clerk_id="user_b")])
    assert len(on) == len(off)


def at_once(work: Callable[[int], object], *, threads: int = 16) -> list[object]:
    """What each thread answers that begins at the same moment as the others."""
    barrier = threading.Barrier(threads)

    def run(number: int) -> object:
        try:
            barrier.wait()
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


@pytest.mark.django_db(transaction=True)
def test_race__one_django_user() -> None:
    """16 requests of the same new user at once: one Django user, and all of them get it."""
    add_row("user_a", email="ada@harbour-works.io")
    with linking_on("verified_email"):
        users = at_once(lambda number: linking.user_for(ClerkUser.objects.get()))
    assert len(set(users)) == 1
    assert User.objects.get() == users[0]
    assert linked_to("user_a") == "user_a"


@pytest.mark.django_db(transaction=True)
def test_race__for_one_django_user() -> None:
    """Several rows that fit the same Django user at once: it is linked to one of them at most."""
    add_django_user("ada", last_name="user_0")
    for number in range(8):
        add_row(f"user_{number}", email="ada@harbour-works.io")
    with linking_on("field:last_name"):
        at_once(lambda number: linking.user_for(ClerkUser.objects.get(pk=f"user_{number % 8}")))
    linked = ClerkUser.objects.filter(user__isnull=False)
    assert linked.count() == linked.values("user").distinct().count() == 8
    assert linked_to("user_0") == "ada"


@pytest.mark.django_db(transaction=True)
def test_race__linking_and_writing() -> None:
    """Linking everybody while the mirror writes the same rows: no deadlock, nothing lost."""
    names = [f"user_{letter}" for letter in "ABCabc"]
    for name in names:
        add_row(name)
    with linking_on(first_name="first_name"):

        def work(number: int) -> object:
            if number % 2:
                return linkruns.link_all(create=True)
            observed = [seen(number, number, clerk_id=name, first_name=f"N{number}") for name in names]
            return mirror.apply(observed)

        at_once(work, threads=8)
        report = linkruns.link_all(create=True)
    assert (report.seen, report.already, report.problems) == (6, 6, [])
    assert set(User.objects.values_list("first_name", flat=True)) == {"N6"}
    assert User.objects.count() == 6


def test_incomplete__nothing_is_overwritten() -> None:
    """A row that knows nothing but the id says nothing about a Django user."""
    user = add_django_user("ada", email="ada@harbour-works.io")
    row = add_row("user_a", user=user, state="incomplete", email=None, email_verified=False)
    with linking_on(email=lambda row, user: row.email or ""):
        linking.user_for(row)
    user.refresh_from_db()
    assert user.email == "ada@harbour-works.io"


def test_deleted__with_a_rule_for_is_active(django_capture_on_commit_callbacks: Any) -> None:
    """The project's rule says who is active while Clerk has the user, and not longer."""
    user = add_django_user("ada")
    add_row(USER, user=user)
    with linking_on(is_active=lambda row, user: row.is_active):
        with django_capture_on_commit_callbacks(execute=True):
            deliver(changed(now_ms(), first_name="Ada"))
        assert is_active()
        with django_capture_on_commit_callbacks(execute=True):
            deliver(deleted(now_ms() + 1))
    assert not is_active()
