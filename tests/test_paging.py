"""Walks over a simulated list: ``Directory`` answers as Clerk would, and changes between the pages."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clerksync.answers import Page
from clerksync.ceiling import LEEWAY
from clerksync.exceptions import ClerkRejected, KeyRejected, NotFound, SyncIncomplete
from clerksync.paging import LIMIT, Walked, count_is_plausible, walk

Cursors = Literal["sound", "ignored", "skips_ties"]
Gone = Literal["error", "ignored", "empty"]


@dataclass(frozen=True)
class User:
    """A user as a walk sees them."""

    clerk_id: str
    created_ms: int | None = 0


@dataclass
class Directory:
    """Clerk's list of users; ``between`` is called before each page with the number of pages so far."""

    users: list[User] = field(default_factory=list)
    cursors: Cursors = "sound"
    gone: Gone = "error"
    largest_page: int = LIMIT
    between: Callable[[int], object] = lambda pages: None
    asked: list[dict[str, Any]] = field(default_factory=list)
    everybody: dict[str, User] = field(default_factory=dict)

    def fetch(
        self, *, limit: int, order_by: str, starting_after: str | None = None, offset: int | None = None
    ) -> Page:
        self.between(len(self.asked))
        self.asked.append({"limit": limit, "starting_after": starting_after, "offset": offset})
        assert order_by == "+created_at"
        self.everybody.update((user.clerk_id, user) for user in self.users)
        rows = sorted(self.users, key=_place)
        if starting_after is not None and self.cursors != "ignored":
            rows = self._after(starting_after, rows)
        rows = rows[offset or 0 :][: min(limit, self.largest_page)]
        return Page(json.dumps([[user.clerk_id, user.created_ms] for user in rows]).encode(), len(self.asked))

    def _after(self, cursor: str, rows: list[User]) -> list[User]:
        if all(user.clerk_id != cursor for user in rows):
            if self.gone == "error":
                raise NotFound("gone", status=404)
            return rows if self.gone == "ignored" else []
        known = self.everybody[cursor]
        if self.cursors == "skips_ties":
            return [user for user in rows if _place(user)[0] > _place(known)[0]]
        return [user for user in rows if _place(user) > _place(known)]


def _place(user: User) -> tuple[int, str]:
    # An id says nothing about the order of ties: backwards is as good.
    return user.created_ms or 0, user.clerk_id[::-1]


def decode(page: Page) -> list[User]:
    return [User(*row) for row in json.loads(page.body)]


def people(*times: int) -> list[User]:
    return [User(f"user_{number}", created_ms) for number, created_ms in enumerate(times)]


def walk_all(directory: Directory, **options: Any) -> list[Walked[User]]:
    return walk_pages(directory.fetch, **options)


def walk_pages(fetch: Any, **options: Any) -> list[Walked[User]]:
    """A walk over whatever is fetched, where Clerk counts few users."""
    return list(walk(fetch=fetch, decode=decode, count=lambda: 1000, **options))


def ids(pages: Sequence[Walked[User]]) -> list[str]:
    return [user.clerk_id for page in pages for user in page.items]


def names(users: Sequence[User]) -> list[str]:
    return [user.clerk_id for user in sorted(users, key=_place)]


def test_walk__all_in_order() -> None:
    """Everybody comes once, in order, and an empty last page says that there are no more."""
    directory = Directory(people(*range(0, 70, 10)))
    pages = walk_all(directory, limit=3)
    assert ids(pages) == [f"user_{number}" for number in range(7)]
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert (pages[-1].items, pages[-1].cursor, pages[-1].cursor_ms) == ((), "user_6", 50)
    assert (pages[0].cursor, pages[0].cursor_ms, pages[0].observed_ms) == ("user_2", 10, 1)


def test_walk__nobody() -> None:
    """An empty instance is one empty page."""
    assert walk_all(Directory()) == [Walked((), 1, None, None, is_last=True)]


def test_walk__few_requests() -> None:
    """Pages overlap by the border's rows alone: the walk costs few requests more than its pages."""
    directory = Directory(people(*range(1000)))
    assert len(ids(walk_all(directory, limit=100))) == 1000
    assert len(directory.asked) == 10 + 1 + 3


def test_walk__limit_kept_to_500() -> None:
    """A limit above 500, which gives 10 rows, is never sent."""
    directory = Directory(people(1))
    walk_all(directory, limit=501)
    assert {asked["limit"] for asked in directory.asked} == {500}


def test_walk__short_pages_do_not_end_it() -> None:
    """Ten rows instead of 500 are no end."""
    directory = Directory(people(*range(45)), largest_page=10)
    assert len(ids(walk_all(directory))) == 45


def test_walk__ties_across_pages() -> None:
    """Users of one millisecond are all found, also by a server whose cursor steps over ties."""
    directory = Directory(people(1, 2, 3, 3, 3, 4, 5, 5, 6), cursors="skips_ties")
    assert sorted(ids(walk_all(directory, limit=5))) == names(directory.users)


def test_walk__more_ties_than_a_page() -> None:
    """An import that gave hundreds of users one time is walked through."""
    directory = Directory(people(1, 2, *[3] * 40, 4))
    assert ids(walk_all(directory, limit=5)) == names(directory.users)


def test_walk__ties_change_places() -> None:
    """Rows of the border's millisecond may come in another order in the next page."""
    ties = itertools.cycle([1, -1])
    times = {"a": 1, "b": 2, "c": 2, "d": 2, "e": 3}

    def fetch(
        *, limit: int, order_by: str, starting_after: str | None = None, offset: int | None = None
    ) -> Page:
        turn = next(ties)
        rows = sorted(times, key=lambda name: (times[name], ord(name) * turn))
        if starting_after is not None:
            rows = rows[rows.index(starting_after) + 1 :]
        return Page(json.dumps([[name, times[name]] for name in rows[:3]]).encode(), None)

    walked = [page.items for page in walk_pages(fetch, limit=3) if page.items]
    assert [[user.clerk_id for user in page] for page in walked] == [["a", "b", "c"], ["d"], ["e"]]


@pytest.mark.parametrize("gone", ["error", "ignored", "empty"])
@pytest.mark.parametrize(
    "deleted", [["user_2"], ["user_1"], ["user_1", "user_2"], ["user_0", "user_1", "user_2"]]
)
def test_walk__cursor_deleted(gone: Gone, deleted: list[str]) -> None:
    """When the users at the border are deleted between two pages, nobody behind them is lost."""
    directory = Directory(people(*range(0, 70, 10)), gone=gone)

    def delete(pages: int) -> None:
        if pages == 1:
            directory.users = [user for user in directory.users if user.clerk_id not in deleted]

    directory.between = delete
    assert ids(walk_all(directory, limit=3)) == [f"user_{number}" for number in range(7)]


@pytest.mark.parametrize("gone", ["error", "ignored", "empty"])
def test_walk__end_deleted(gone: Gone) -> None:
    """When the last user is deleted before the end is proved, the walk still ends."""
    directory = Directory(people(1, 2, 3, 4), gone=gone)

    def delete(pages: int) -> None:
        if pages == 1:
            del directory.users[-1]

    directory.between = delete
    assert ids(walk_all(directory))[-1] == "user_3"


def test_walk__everybody_deleted() -> None:
    """When everybody is deleted during the walk it ends."""
    directory = Directory(people(1, 2, 3, 4))
    directory.between = lambda pages: directory.users.clear() if pages == 1 else None
    assert walk_all(directory)[-1].is_last


def test_walk__cursor_ignored() -> None:
    """A server that does not know the cursor is read by offset, with pages that overlap."""
    directory = Directory(people(*range(200)), cursors="ignored")
    assert ids(walk_all(directory, limit=50)) == names(directory.users)
    offsets = [asked["offset"] for asked in directory.asked if asked["offset"] is not None]
    assert offsets[:3] == [40, 80, 120]


def test_walk__cursor_ignored_and_short_pages() -> None:
    """Ten rows a page leave room for an overlap and for progress."""
    directory = Directory(people(*range(60)), cursors="ignored", largest_page=10)
    assert ids(walk_all(directory)) == names(directory.users)


def test_walk__offset_deletion() -> None:
    """Deletions that shift the rows by more than the overlap are noticed and made good."""
    directory = Directory(people(*range(200)), cursors="ignored")

    def delete(pages: int) -> None:
        if directory.asked and directory.asked[-1]["offset"] == 80:
            del directory.users[:45]

    directory.between = delete
    assert ids(walk_all(directory, limit=50)) == [f"user_{number}" for number in range(200)]


def test_walk__offset_shifted_for_ever() -> None:
    """Pages that never join the ones before are no complete walk."""
    directory = Directory(people(*range(400)), cursors="ignored")

    def fetch(**options: Any) -> Page:
        if not options["offset"]:
            return directory.fetch(**options)
        return Page(json.dumps([["user_x", 10**6]]).encode(), None)

    with pytest.raises(SyncIncomplete, match="do not join"):
        walk_pages(fetch, after="user_9", after_ms=9, seen=3000, limit=50)


def test_walk__offset_ignored_too() -> None:
    """A server that sends the first page whatever is asked is not walked for ever."""
    directory = Directory(people(*range(200)), cursors="ignored")

    def fetch(**options: Any) -> Page:
        return directory.fetch(**options | {"offset": None})

    with pytest.raises(SyncIncomplete, match="the same page"):
        walk_pages(fetch, limit=50)


def test_walk__order_ignored() -> None:
    """A first page that does not ascend is refused: nothing could be concluded from what follows."""
    page = Page(json.dumps([["c", 3], ["b", 2], ["a", 1]]).encode(), None)
    with pytest.raises(SyncIncomplete, match="order"):
        walk_pages(lambda **options: page)


def test_walk__page_in_between_lost() -> None:
    """A page that begins before the last one ended is asked for in another way, and used no further."""
    directory = Directory(people(*range(100)))

    def fetch(**options: Any) -> Page:
        directory.cursors = "ignored" if len(directory.asked) == 3 else "sound"
        return directory.fetch(**options)

    assert ids(walk_pages(fetch, limit=20)) == names(directory.users)


@pytest.mark.parametrize("error", [KeyRejected("no", status=401), ClerkRejected("no", status=403)])
def test_walk__other_refusals(error: ClerkRejected) -> None:
    """Only errors that a lost cursor can cause are answered with another cursor."""
    directory = Directory(people(1, 2, 3))

    def refuse(pages: int) -> None:
        if pages == 1:
            raise error

    directory.between = refuse
    with pytest.raises(type(error)):
        walk_all(directory, limit=2)


def test_walk__users_without_time_or_id() -> None:
    """Users who cannot be parsed are yielded, and are no cursor when they have no id."""
    odd = [User("", None), User("user_odd", None), User("", None)]
    rows: list[User] = [*people(1, 2), odd[0], User("user_9", 3), odd[1], User("user_z", 4), odd[2]]

    def fetch(
        *, limit: int, order_by: str, starting_after: str | None = None, offset: int | None = None
    ) -> Page:
        known = [user.clerk_id for user in rows]
        start = offset or 0 if starting_after is None else known.index(starting_after) + 1
        found = rows[start : start + limit]
        return Page(json.dumps([[user.clerk_id, user.created_ms] for user in found]).encode(), None)

    for limit in (2, 3, 4, 7, 500):
        found = ids(walk_pages(fetch, limit=limit))
        assert [name for name in found if name] == ["user_0", "user_1", "user_9", "user_odd", "user_z"]
        assert found.count("") >= 2


def test_walk__only_users_without_id() -> None:
    """A page of nobody but users without an id does not go on for ever."""
    directory = Directory([User("", None)])
    pages = walk_all(directory)
    assert pages[0].items == [User("", None)]
    assert (pages[-1].is_last, pages[-1].cursor) == (True, None)


def test_walk__resumed() -> None:
    """A walk goes on behind the last committed user."""
    directory = Directory(people(*range(10)))
    walk_all(directory)
    pages = walk_all(directory, after="user_4", after_ms=4)
    assert ids(pages) == [f"user_{number}" for number in range(5, 10)]


@pytest.mark.parametrize("gone", ["error", "ignored", "empty"])
@pytest.mark.parametrize("cursors", [[], ["user_2", "user_3"]])
@pytest.mark.parametrize("seen", [0, 5])
def test_walk__resumed_after_a_deleted_user(gone: Gone, cursors: list[str], seen: int) -> None:
    """If the last committed user is gone the ones before lead on, or the rows are counted again."""
    directory = Directory(people(*range(30)), gone=gone)
    walk_all(directory)
    del directory.users[4]
    pages = walk_all(directory, after="user_4", after_ms=4, cursors=cursors, seen=seen, limit=10)
    assert ids(pages) == [f"user_{number}" for number in range(5, 30)]


@dataclass
class Liar(Directory):
    """Shows these users at other times than those by which it lists them."""

    shown: dict[str, int] = field(default_factory=dict)

    def fetch(self, **options: Any) -> Page:
        page = super().fetch(**options)
        rows = [[name, self.shown.get(name, time)] for name, time in json.loads(page.body)]
        return Page(json.dumps(rows).encode(), page.observed_ms)


@pytest.mark.parametrize("shown", [-5, 0, 31, 59, 10**15])
@pytest.mark.parametrize("cursors", ["sound", "ignored"])
@pytest.mark.parametrize("limit", [5, 10, 500])
def test_walk__one_time_is_wrong(shown: int, cursors: Cursors, limit: int) -> None:
    """Wherever the user stands whose time contradicts the list, everybody comes."""
    for place in range(40):
        liar = Liar(people(*range(40)), cursors=cursors, shown={f"user_{place}": shown})
        pages = walk_all(liar, limit=limit)
        assert ids(pages) == names(liar.users)
        # Of two users in the wrong order either may be the one.
        near = {f"user_{place + step}" for step in (-1, 0, 1)}
        assert all(page.misplaced <= near for page in pages)
        borders = [page.cursor_ms for page in pages if page.cursor_ms is not None]
        assert borders == sorted(borders)
        assert all(border < 40 for border in borders)


def test_walk__many_times_are_wrong() -> None:
    """Where the times of many users contradict the list, it cannot be told whether anything was left out."""
    liar = Liar(people(*range(40)), shown={f"user_{place}": 99 - place for place in range(20, 40)})
    with pytest.raises(SyncIncomplete, match="the same page"):
        walk_all(liar, limit=10)


@pytest.mark.parametrize("largest_page", [3, 10, 500])
@settings(max_examples=60)
@given(
    times=st.lists(st.integers(-3, 30), max_size=40),
    shown=st.lists(st.integers(-3, 30) | st.sampled_from([10**15, -(10**15)]), max_size=40),
    cursors=st.sampled_from(["sound", "ignored", "skips_ties"]),
    gone=st.sampled_from(["error", "ignored", "empty"]),
    after=st.none() | st.integers(0, 40),
)
def test_walk__contradictions(
    largest_page: int, times: list[int], shown: list[int], cursors: Cursors, gone: Gone, after: int | None
) -> None:
    """Whatever times users are shown with, the walk ends, and not by the ceiling."""
    names = dict(zip(map("user_{}".format, range(40)), shown, strict=False))
    liar = Liar(people(*times), cursors=cursors, gone=gone, largest_page=largest_page, shown=names)
    begin = {} if after is None else {"after": f"user_{after}", "after_ms": after}
    said = ""
    try:
        walk_all(liar, limit=20, **begin)
    except SyncIncomplete as error:
        said = str(error)
    assert "does not end" not in said
    assert len(liar.asked) < 30 * (len(times) + 20)


def _rows(first: int, *, at: int | None) -> list[list[Any]]:
    return [[f"user_{number}", number if at is None else at] for number in range(first, first + 500)]


@pytest.mark.parametrize(
    "answer",
    [
        lambda number: _rows(0, at=None),
        lambda number: _rows(0, at=7),
        lambda number: _rows(500 * (number % 2), at=None),
        lambda number: _rows(500 * (number % 2), at=7),
        lambda number: _rows(500 * (number % 3), at=7),
        lambda number: _rows(500 * (number % 2), at=None) if number % 3 else [],
        lambda number: _rows(500 * number, at=7),
        lambda number: _rows(500 * number, at=None),
        lambda number: _rows(500 * number, at=-number),
        lambda number: _rows(500 * number, at=10**18),
        lambda number: _rows(0, at=number),
        lambda number: [[f"user_{number}", 7]],
        lambda number: [["", None]] * 500,
        lambda number: [["", number]] * 500,
        lambda number: [[f"user_{number % 1500}", None]] * 500,
    ],
)
@pytest.mark.parametrize("counted", [-1, 0, 1000])
@pytest.mark.parametrize("begin", [{}, {"after": "user_9", "after_ms": 9}])
def test_walk__endless(answer: Callable[[int], list[list[Any]]], counted: int, begin: dict[str, Any]) -> None:
    """A list without an end, a circle or a page that comes again: given up after so many rows as there can be."""
    asked = itertools.count()
    given = 0

    def fetch(**options: Any) -> Page:
        nonlocal given
        rows = answer(next(asked))
        given += max(10, len(rows))
        return Page(json.dumps(rows).encode(), 1)

    with suppress(SyncIncomplete):
        list(walk(fetch=fetch, decode=decode, count=lambda: counted, **begin))
    assert given <= LEEWAY + 4 * max(0, counted) + 500


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], dict[int, list[tuple[bool, int]]]]:
    """The times of the first users, and what is deleted or created before which page."""
    times = draw(st.lists(st.integers(0, 12), max_size=25))
    events = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=3)
    return times, draw(st.dictionaries(st.integers(0, 12), events, max_size=6))


@settings(max_examples=300)
@given(
    history=histories(),
    limit=st.integers(2, 8),
    cursors=st.sampled_from(["sound", "sound", "ignored"]),
    gone=st.sampled_from(["error", "ignored", "empty"]),
    largest_page=st.sampled_from([2, 3, 500]),
)
def test_walk__everybody_who_stays(
    history: Any, limit: int, cursors: Cursors, gone: Gone, largest_page: int
) -> None:
    """Whoever is there during the whole walk is yielded, once, or the walk says that it is incomplete."""
    times, events = history
    directory = Directory(people(*times), cursors=cursors, gone=gone, largest_page=largest_page)
    staying = set(names(directory.users))

    def change(pages: int) -> None:
        for number, (is_deletion, place) in enumerate(events.pop(pages, [])):
            if not is_deletion:
                directory.users.append(User(f"new_{pages}_{number}", place))
            elif directory.users:
                staying.discard(directory.users.pop(place % len(directory.users)).clerk_id)

    directory.between = change
    try:
        pages = walk_all(directory, limit=limit)
    except SyncIncomplete:
        # Rows can only be mislaid for good where they are counted.
        assert any(asked["offset"] is not None for asked in directory.asked)
        return
    found = ids(pages)
    assert staying <= set(found)
    assert len(found) == len(set(found))
    assert pages[-1].is_last
    assert not pages[-1].items
    assert len(directory.asked) < 30 * (len(times) + 20)


@pytest.mark.parametrize(
    ("seen", "counted", "plausible"),
    [
        (0, 0, True),
        (0, 1, False),
        (10, 15, True),
        (10, 16, False),
        (10, 0, True),
        (99_900, 100_000, True),
        (99_899, 100_000, False),
        (4, 9, True),
    ],
)
def test_count_is_plausible(seen: int, counted: int, plausible: bool) -> None:  # noqa: FBT001  # a parameter of pytest
    """A count may be higher by 5 or by 0.1 %, for users come and go; nobody seen is nobody counted."""
    assert count_is_plausible(seen=seen, counted=counted) is plausible
