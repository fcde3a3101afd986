"""What can be done to the users of the fake Clerk."""

from __future__ import annotations

import time

import pytest

from clerksync.testing import FakeClerk, VirtualClock, every_shape


def test_same_seed__same_users() -> None:
    """The same seed and the same calls make the same users."""
    first, second = (FakeClerk(seed=3) for _ in range(2))
    for clerk in (first, second):
        clerk.create_users(5)
        every_shape(clerk)
    assert first.users() == second.users()


def test_another_seed__other_users() -> None:
    """Another seed makes other ids."""
    first, second = FakeClerk(seed=3), FakeClerk(seed=4)
    assert first.create_user()["id"] != second.create_user()["id"]


def test_create_user__defaults(clerk: FakeClerk) -> None:
    """A user has a name, a verified primary address and the clock's time."""
    user = clerk.create_user()
    assert user["first_name"]
    assert user["email_addresses"][0]["id"] == user["primary_email_address_id"]
    assert user["email_addresses"][0]["verification"]["status"] == "verified"
    assert user["created_at"] == user["updated_at"] == clerk.clock.now_ms()


def test_create_user__no_email_no_name(clerk: FakeClerk) -> None:
    """None means none."""
    user = clerk.create_user(email=None, first_name=None, last_name=None)
    assert user["email_addresses"] == []
    assert (user["primary_email_address_id"], user["first_name"], user["last_name"]) == (None, None, None)


def test_create_user__primary_email_not_first(clerk: FakeClerk) -> None:
    """The primary address may stand anywhere among the addresses."""
    addresses = ["otto@harbour-works.io", "o.weiss@harbour-works.io"]
    user = clerk.create_user(email=addresses[1], email_addresses=addresses)
    assert [entry["email_address"] for entry in user["email_addresses"]] == addresses
    assert user["primary_email_address_id"] == user["email_addresses"][1]["id"]


def test_create_user__raw_values(clerk: FakeClerk) -> None:
    """Any value may be replaced, also by one that Clerk would never send."""
    user = clerk.create_user(primary_email_address_id="idn_gone", email_addresses="none", banned="yes")
    assert (user["primary_email_address_id"], user["banned"]) == ("idn_gone", "yes")


def test_create_user__returns_a_copy(clerk: FakeClerk) -> None:
    """What a caller does to a user does not reach the fake."""
    user = clerk.create_user(first_name="Maren")
    user["first_name"] = "Changed"
    assert clerk.get(user["id"])["first_name"] == "Maren"


def test_create_users__distinct_times(clerk: FakeClerk) -> None:
    """Two batches share no time of creation, and the ids come oldest first."""
    later, earlier = clerk.create_users(50), clerk.create_users(50)
    times = [clerk.get(clerk_id)["created_at"] for clerk_id in earlier + later]
    assert times == sorted(set(times))
    assert times[-1] < clerk.clock.now_ms()


def test_create_users__same_time(clerk: FakeClerk) -> None:
    """No spacing puts all of them into one millisecond."""
    clerk.create_users(20, first_created_at=1_000, spacing_ms=0)
    assert {user["created_at"] for user in clerk.users()} == {1_000}


def test_create_users__distinct_emails(clerk: FakeClerk) -> None:
    """No address is given twice."""
    clerk.create_users(500)
    emails = [entry["email_address"] for user in clerk.users() for entry in user["email_addresses"]]
    assert len(set(emails)) == len(emails) == 500


def test_create_users__size_and_speed(clerk: FakeClerk) -> None:
    """Everyday users weigh what Clerk's do, and thousands are made in a second."""
    started = time.process_time()
    clerk.create_users(5_000)
    assert time.process_time() - started < 3
    assert 2_500 < sum(len(record.wire) for record in clerk.roster) / 5_000 < 3_300


def test_update_user__moves_updated_at(clerk: FakeClerk) -> None:
    """A change moves ``updated_at`` to the clock's time."""
    clerk_id = clerk.create_user()["id"]
    now = clerk.advance(seconds=60)
    user = clerk.update_user(clerk_id, first_name="Marin")
    assert (user["first_name"], user["updated_at"]) == ("Marin", now)


def test_update_user__twice_in_a_millisecond(clerk: FakeClerk) -> None:
    """Changes in the same millisecond get times of their own."""
    user = clerk.create_user()
    times = [clerk.update_user(user["id"], username=name)["updated_at"] for name in ("a", "b", "c")]
    assert times == [user["updated_at"] + step for step in (1, 2, 3)]


def test_update_user__silent(clerk: FakeClerk) -> None:
    """A silent change leaves ``updated_at`` where it was."""
    user = clerk.create_user()
    clerk.advance(seconds=60)
    changed = clerk.update_user(user["id"], silent=True, first_name="Marin")
    assert (changed["first_name"], changed["updated_at"]) == ("Marin", user["updated_at"])


def test_update_user__email(clerk: FakeClerk) -> None:
    """A new primary address replaces the old one and has an id of its own."""
    user = clerk.create_user(email="old@harbour-works.io")
    changed = clerk.update_user(user["id"], email="new@harbour-works.io")
    (entry,) = changed["email_addresses"]
    assert entry["email_address"] == "new@harbour-works.io"
    assert changed["primary_email_address_id"] == entry["id"] != user["primary_email_address_id"]


def test_update_user__email_removed(clerk: FakeClerk) -> None:
    """Without an address the user has no primary."""
    user = clerk.update_user(clerk.create_user()["id"], email=None)
    assert (user["email_addresses"], user["primary_email_address_id"]) == ([], None)


def test_update_user__phone(clerk: FakeClerk) -> None:
    """A phone number is added as the primary one."""
    user = clerk.update_user(clerk.create_user()["id"], phone_number="+33639980007")
    assert user["phone_numbers"][0]["id"] == user["primary_phone_number_id"]


def test_ban_user__and_unban(clerk: FakeClerk) -> None:
    """A ban is set and lifted."""
    clerk_id = clerk.create_user()["id"]
    assert clerk.ban_user(clerk_id)["banned"] is True
    assert clerk.unban_user(clerk_id)["banned"] is False


def test_lock_user__and_unlock(clerk: FakeClerk) -> None:
    """A lock ends by itself, or by hand."""
    clerk_id = clerk.create_user()["id"]
    locked = clerk.lock_user(clerk_id)
    assert (locked["locked"], locked["lockout_expires_in_seconds"]) == (True, 3600)
    assert clerk.unlock_user(clerk_id)["locked"] is False


def test_delete_user__gone(clerk: FakeClerk) -> None:
    """A deleted user is gone; deleting it again is an error of the test."""
    clerk_id = clerk.create_user()["id"]
    assert clerk.delete_user(clerk_id) == {"object": "user", "id": clerk_id, "deleted": True}
    assert clerk_id not in clerk
    with pytest.raises(KeyError):
        clerk.delete_user(clerk_id)


def test_put_user__as_given(clerk: FakeClerk) -> None:
    """A whole user can be put, with keys missing or invented."""
    user = clerk.create_user()
    del user["locale"]
    user["birthday"] = ""
    clerk.put_user(user)
    assert clerk.get(user["id"]) == user


def test_users__oldest_first() -> None:
    """All users come in the order of their creation."""
    clerk = FakeClerk(clock=VirtualClock(start_ms=9_000))
    for created_at in (3_000, 1_000, 2_000):
        clerk.create_user(created_at=created_at)
    assert [user["created_at"] for user in clerk.users()] == [1_000, 2_000, 3_000]


def test_every_shape__counts(clerk: FakeClerk) -> None:
    """There are 54 shapes, each a user of its own."""
    shapes = every_shape(clerk)
    assert len(shapes) == len(set(shapes.values())) == len(clerk) == 54


def test_every_shape__odd_ones(clerk: FakeClerk) -> None:
    """A shape is what its name says."""
    shapes = {name: clerk.get(clerk_id) for name, clerk_id in every_shape(clerk).items()}
    assert shapes["dangling_primary_email"]["primary_email_address_id"]
    assert shapes["dangling_primary_email"]["email_addresses"] == []
    assert (
        shapes["primary_email_last"]["primary_email_address_id"]
        == (shapes["primary_email_last"]["email_addresses"][-1]["id"])
    )
    assert shapes["created_together"]["created_at"] == shapes["created_together_too"]["created_at"]
    assert "locale" not in shapes["required_keys_only"]
