"""The HTTP client of Clerk's Backend API: reads only, patient with a busy Clerk, strict with odd answers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from typing import Self
from urllib.parse import quote

from msgspec import Struct

from clerksync import answers
from clerksync.answers import Page
from clerksync.conf import settings
from clerksync.exceptions import FilterIgnored, PayloadError
from clerksync.paging import LIMIT, Decode, Walked, walk
from clerksync.prefetch import one_ahead
from clerksync.rows import ItemT
from clerksync.throttle import Purpose, Throttle, throttle_for
from clerksync.transport import Params, Transport, base_url, checked_key

__all__ = ["ClerkClient", "Instance", "Page", "Walked"]

#: Values that one filter may list.
MAX_IDS = 100
#: Seconds that one call may take, retries and all.
_DEADLINES: dict[Purpose, float] = {"sync": 120.0, "web": 5.0}


class Instance(Struct, frozen=True):
    """The Clerk instance that the secret key opens."""

    id: str
    environment_type: str


class _Count(Struct, frozen=True):
    total_count: int


class ClerkClient:
    """Reads Clerk's Backend API; safe to use from several threads.

    Every method may raise ClerkUnavailable, ClerkRejected (KeyRejected, NotFound) and
    InvalidResponse; none changes anything at Clerk.

    Args:
        secret_key: By default ``CLERK_SECRET_KEY``.
        api_url: By default ``CLERK_API_URL``; with or without ``/v1``.
        purpose: Whose share of the rate limit is used: a sync's or a web process's.
        rate: Requests per 10 s instead of that share.
        timeout: (connect, read) in seconds, by default ``CLERKSYNC_API_TIMEOUT``.
        deadline: Seconds for one call with all its retries.
        throttle: Instead of the one that all clients of this process share.
        halt: Once set, nothing is sent any more, and every call ends with SyncInterrupted.
    """

    def __init__(
        self,
        *,
        secret_key: str | None = None,
        api_url: str | None = None,
        purpose: Purpose = "sync",
        rate: float | None = None,
        timeout: tuple[float, float] | None = None,
        deadline: float | None = None,
        throttle: Throttle | None = None,
        halt: threading.Event | None = None,
    ) -> None:
        key = checked_key(settings.CLERK_SECRET_KEY if secret_key is None else secret_key)
        self.api_url = base_url(settings.CLERK_API_URL if api_url is None else api_url)
        self.purpose = purpose
        #: Tells one key at one address from another, and nothing about them.
        self.fingerprint = hashlib.sha256(f"{self.api_url}\n{key}".encode()).hexdigest()[:16]
        self._transport = Transport(
            secret_key=key,
            api_url=self.api_url,
            throttle=throttle
            or throttle_for(secret_key=key, api_url=self.api_url, purpose=purpose, rate=rate),
            timeout=settings.API_TIMEOUT if timeout is None else timeout,
            deadline=_DEADLINES[purpose] if deadline is None else deadline,
            halt=halt,
        )

    @property
    def requests(self) -> int:
        """How many HTTP requests were sent."""
        return self._transport.requests

    @property
    def throttled(self) -> int:
        """How many of them were answered with 429."""
        return self._transport.throttled

    @property
    def knows_time(self) -> bool:
        """Whether an answer has told the time of Clerk's clock, so that ``now_ms`` is not ours."""
        return self._transport.knows_time

    def now_ms(self) -> int:
        """Return the time of Clerk's clock at the earliest, as the last answer told it."""
        return self._transport.now_ms()

    def __repr__(self) -> str:
        return f"<ClerkClient {self.purpose} {self.api_url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def list_users(
        self,
        *,
        limit: int,
        order_by: str | None = None,
        starting_after: str | None = None,
        offset: int | None = None,
        user_ids: Iterable[str] | None = None,
        stop: threading.Event | None = None,
    ) -> Page:
        """Return one page of users; ``limit`` is kept within 1 to 500, above which Clerk gives 10.

        ``stop``, once set, ends waits and retries with CancelledError.
        """
        named = {"order_by": order_by, "starting_after": starting_after, "offset": offset}
        params: Params = [
            ("limit", max(1, min(limit, LIMIT))),
            *((name, value) for name, value in named.items() if value is not None),
            *(("user_id", _checked_id(user_id)) for user_id in user_ids or ()),
        ]
        return answers.read_array(self._transport.get("/users", params, stop=stop))

    def get_user(self, clerk_id: str) -> Page:
        """Return one user's JSON; raise NotFound if there is no such user (any more)."""
        return answers.read_object(self._transport.get(f"/users/{quote(_checked_id(clerk_id), safe='')}"))

    def users_by_id(self, ids: Iterable[str], *, decode: Decode[ItemT]) -> tuple[Page, Sequence[ItemT]]:
        """Return the page that holds those of 1 to 100 users who exist, and its items.

        Raises:
            FilterIgnored: Somebody came who was not asked for.
        """
        asked = set(ids)
        if not 1 <= len(asked) <= MAX_IDS:
            raise ValueError(f"1 to {MAX_IDS} ids can be asked for at once, not {len(asked)}")
        # Without a limit only 10 of them would come.
        page = self.list_users(limit=MAX_IDS, user_ids=sorted(asked))
        items = decode(page)
        strangers = {item.clerk_id for item in items if item.clerk_id} - asked
        if strangers:
            raise FilterIgnored(
                f"GET /v1/users: {len(strangers)} users came who were not asked for, {min(strangers)} first"
            )
        return page, items

    def count(self, *, stop: threading.Event | None = None) -> int:
        """Return the number of all users (unfiltered: with a filter this can take Clerk minutes).

        ``stop`` is that of ``list_users``.
        """
        return answers.read_as(self._transport.get("/users/count", stop=stop), _Count).total_count

    def instance(self) -> Instance:
        """Return the instance that the key opens."""
        return answers.read_as(self._transport.get("/instance"), Instance)

    def jwks(self) -> bytes:
        """Return the JSON Web Key Set of the instance."""
        return answers.read_object(self._transport.get("/jwks")).body

    def iter_pages(
        self,
        *,
        decode: Decode[ItemT],
        after: str | None = None,
        after_ms: int | None = None,
        cursors: Sequence[str] = (),
        seen: int = 0,
        limit: int = LIMIT,
    ) -> Generator[Walked[ItemT]]:
        """Walk over all users as ``paging.walk`` does; the next page is read while one is in use.

        ``decode`` runs in the thread that reads ahead, so it must not use the database.
        """
        stop = threading.Event()
        pages = walk(
            fetch=partial(self.list_users, stop=stop),
            decode=decode,
            count=partial(self.count, stop=stop),
            after=after,
            after_ms=after_ms,
            cursors=cursors,
            seen=seen,
            limit=limit,
        )
        return one_ahead(pages, stop=stop)


def _checked_id(clerk_id: str) -> str:
    """Refuse an id that would leave its place in the URL, or turn a filter round."""
    if not clerk_id.isprintable() or clerk_id in {"", "count"} or "/" in clerk_id or clerk_id[0] in "+-.":
        raise PayloadError("not an id that Clerk can be asked for", clerk_id=clerk_id)
    return clerk_id
