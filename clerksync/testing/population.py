"""The users of a fake Clerk and everything that can be done to them."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from django.core.management import call_command
from django.core.management.base import CommandError

from clerksync.testing.clock import Clock
from clerksync.testing.people import People
from clerksync.testing.roster import Roster, record_of
from clerksync.testing.users import DRAWN, Text, UserBuilder
from clerksync.testing.wire import Json

LOCKOUT_SECONDS = 3600


class Population:
    """Users as Clerk would hold them; every method may be called from any thread."""

    def __init__(self, *, seed: int, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.people = People(seed=seed)
        self.builder = UserBuilder(people=self.people)
        self.roster = Roster()

    def __len__(self) -> int:
        return len(self.roster)

    def __contains__(self, clerk_id: object) -> bool:
        return isinstance(clerk_id, str) and self.roster.find(clerk_id) is not None

    def get(self, clerk_id: str) -> Json:
        """Return a copy of a user; raise KeyError if there is none."""
        with self.lock:
            return _decode(self.roster[clerk_id].document)

    def users(self) -> list[Json]:
        """Return copies of all users, oldest first."""
        with self.lock:
            keys = self.roster.ordering("created_at").keys
            return [_decode(self.roster[key[3]].document) for key in keys]

    def create_user(
        self,
        *,
        clerk_id: str | None = None,
        email: Text = DRAWN,
        email_verified: bool = True,
        email_addresses: Sequence[str | Json] | None = None,
        first_name: Text = DRAWN,
        last_name: Text = DRAWN,
        username: str | None = None,
        phone_number: str | None = None,
        provider: str | None = None,
        created_at: int | None = None,
        updated_at: int | None = None,
        synced: bool = False,
        **raw: Any,
    ) -> Json:
        """Add a user and return a copy.

        Args:
            clerk_id: The id; by default one is drawn. An id that is taken is replaced.
            email: The primary address; None for none, whatever addresses there are.
            email_verified: Whether the addresses given as text are verified.
            email_addresses: All addresses in their order, as text or EmailAddress objects.
            first_name: None for none; by default a name is drawn.
            last_name: None for none; by default a name is drawn.
            username: The username.
            phone_number: The primary phone number in E.164 form.
            provider: An OAuth provider to link, for instance ``google``.
            created_at: In milliseconds; by default the clock's time.
            updated_at: In milliseconds; by default ``created_at``.
            synced: Write the user's row as well: ``ClerkUser.objects.get(pk=user["id"])``.
            raw: Values that replace the user's own as they are, even if they are wrong.
        """
        with self.lock:
            user = self.builder.build(
                clerk_id=clerk_id,
                email=email,
                email_verified=email_verified,
                email_addresses=email_addresses,
                first_name=first_name,
                last_name=last_name,
                username=username,
                phone_number=phone_number,
                provider=provider,
                created_at=self.clock.now_ms() if created_at is None else created_at,
                updated_at=updated_at,
                **raw,
            )
            user = self.put_user(user)
        if synced:
            self.sync_users(user["id"])
        return user

    def put_user(self, user: Json) -> Json:
        """Hold a user exactly as given, new or in place of the one with its id, and return a copy."""
        with self.lock:
            previous = self.roster.find(user["id"])
            record = record_of(user, tie=previous.tie if previous else self.people.random.random())
            self.roster.put(record)
            return _decode(record.document)

    def create_users(
        self,
        count: int,
        *,
        first_created_at: int | None = None,
        spacing_ms: int = 60_000,
        synced: bool = False,
    ) -> list[str]:
        """Add many everyday users and return their ids, oldest first.

        They are created ``spacing_ms`` apart (0: all in the same millisecond), by default
        before all users that are there. ``synced`` writes their rows as well.
        """
        with self.lock:
            first = self._earliest() - count * spacing_ms if first_created_at is None else first_created_at
            records = [
                record_of(user, tie=self.people.random.random())
                for user in self._everyday_users(count, first, spacing_ms)
            ]
            self.roster.put_all(records)
        ids = [record.clerk_id for record in records]
        if synced:
            self.sync_users(*ids)
        return ids

    def update_user(
        self, clerk_id: str, *, silent: bool = False, synced: bool = False, **changes: Any
    ) -> Json:
        """Change a user and return a copy.

        ``email=`` and ``phone_number=`` replace the primary one, other changes whole values.
        ``updated_at`` moves to the clock's time, or to one millisecond after the last change
        in the same millisecond; ``silent`` leaves it where it is. ``synced`` writes the row as well.
        """
        with self.lock:
            user = self.get(clerk_id)
            now = self.clock.now_ms()
            if "email" in changes:
                self.builder.set_email(user, changes.pop("email"), at=now)
            if "phone_number" in changes:
                self.builder.set_phone(user, changes.pop("phone_number"), at=now)
            if not silent:
                user["updated_at"] = _later(user["updated_at"], now)
            user = self.put_user(user | changes)
        if synced:
            self.sync_users(user["id"])
        return user

    def ban_user(self, clerk_id: str) -> Json:
        """Ban a user and return a copy."""
        return self.update_user(clerk_id, banned=True)

    def unban_user(self, clerk_id: str) -> Json:
        """Lift the ban of a user and return a copy."""
        return self.update_user(clerk_id, banned=False)

    def lock_user(self, clerk_id: str) -> Json:
        """Lock a user out for an hour and return a copy."""
        return self.update_user(clerk_id, locked=True, lockout_expires_in_seconds=LOCKOUT_SECONDS)

    def unlock_user(self, clerk_id: str) -> Json:
        """Let a locked user in again and return a copy."""
        return self.update_user(clerk_id, locked=False, lockout_expires_in_seconds=None)

    def delete_user(self, clerk_id: str, *, synced: bool = False) -> Json:
        """Delete a user and return Clerk's DeletedObject; raise KeyError if there is none.

        ``synced`` writes the row as well, for which the clock moves on by two minutes.
        """
        with self.lock:
            if self.roster.remove(clerk_id) is None:
                raise KeyError(clerk_id)
        if synced:
            self.sync_users(clerk_id)
        return {"object": "user", "id": clerk_id, "deleted": True}

    def sync_users(self, *clerk_ids: str) -> None:
        """Bring the rows of these users up to date, as ``manage.py sync_clerk_users --user`` does."""
        if not clerk_ids:
            return
        # The lock is not held: the thread that serves needs it.
        try:
            call_command(
                "sync_clerk_users", user=clerk_ids, allow_deletes=len(clerk_ids), stdout=io.StringIO()
            )
        except CommandError as error:
            error.add_note(
                "synced=True: the settings have to name this fake Clerk, as those of the fixture `clerk` and of "
                "ClerkTestMixin do."
            )
            raise

    def set_raw(self, clerk_id: str, wire: bytes | None) -> None:
        """Send these bytes wherever the user's JSON belongs, until it is called with None.

        Lists go on to find and order the user by the values that they have.
        """
        with self.lock:
            self.roster.send(clerk_id, wire)

    def _earliest(self) -> int:
        lowest = self.roster.ordering("created_at").lowest()
        now = self.clock.now_ms()
        return now if lowest is None else min(now, int(lowest))

    def _everyday_users(self, count: int, first: int, spacing_ms: int) -> Iterator[Json]:
        now = self.clock.now_ms()
        for number in range(count):
            created_at = first + number * spacing_ms
            age = max(0, now - created_at)
            yield self.builder.build_everyday(
                created_at=created_at,
                updated_at=created_at + int(self.people.random.random() * age),
            )


def _decode(document: bytes) -> Json:
    user: Json = msgspec.json.decode(document)
    return user


def _later(previous: int, now: int) -> int:
    """Return the time of a change that comes after the previous one."""
    return previous + 1 if now <= previous <= now + 1000 else now
