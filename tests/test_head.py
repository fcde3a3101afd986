"""The head of a simulated list: ``Directory`` answers as Clerk would, and changes between the pages."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clerksync.answers import Page
from clerksync.ceiling import LEEWAY
from clerksync.exceptions import SyncIncomplete
from clerksync.head import FIRST, HeadPage, read_head
from clerksync.paging import LIMIT, OVERLAP
from tests.profiles import pick


@dataclass(frozen=True)
class User:
    """A user as a reading of the head sees them."""

    clerk_id: str
    updated_ms: int = 0


@dataclass
class Directory:
    """Users by id; ``between`` is called before each page with the number of pages so far."""

    users: dict[str, int] = field(default_factory=dict)
    largest_page: int = LIMIT
    between: Callable[[int], object] = lambda pages: None
    asked: list[tuple[int, int]] = field(default_factory=list)

    def fetch(self, *, limit: int, order_by: str, offset: int) -> Page:
        self.between(len(self.asked))
        self.asked.append((offset, limit))
        assert order_by == "-updated_at"
        assert 1 <= limit <= LIMIT
        rows = sorted(self.users.items(), key=lambda user: (-user[1], user[0][::-1]))
        rows = rows[offset:][: min(limit, self.largest_page)]
        return Page(json.dumps(rows).encode(), len(self.asked))


def decode(page: Page) -> list[User]:
    return [User(*row) for row in json.loads(page.body)]


def people(count: int, *, newest: int = 10_000) -> Directory:
    """Users who were changed one after the other, ``user_0`` last, at ``newest`` ms."""
    return Directory({f"user_{number}": newest - number for number in range(count)})


def read_all(directory: Directory, *, until: int) -> list[HeadPage[User]]:
    return list(read_head(fetch=directory.fetch, decode=decode, count=lambda: 1000, until_ms=until))


def ids(pages: list[HeadPage[User]]) -> list[str]:
    return [user.clerk_id for page in pages for user in page.items]


@pytest.mark.parametrize(
    ("count", "changed", "requests"),
    [
        (0, 0, 1),
        (1, 0, 1),
        (1, 1, 2),
        (5_000, 0, 1),
        (5_000, 1, 1),
        (5_000, 99, 1),
        (5_000, 100, 2),
        (5_000, 589, 2),
        (5_000, 590, 3),
        (100, 100, 3),
        (600, 600, 4),
    ],
)
def test_requests(count: int, changed: int, requests: int) -> None:
    """One request for the first 99 changes and one for each 490 more; the end of the list is proved."""
    directory = people(count)
    found = ids(read_all(directory, until=10_000 - changed + 1))
    assert len(directory.asked) == requests <= 3 + -(-changed // 490)
    assert found[:changed] == [f"user_{number}" for number in range(changed)]
    assert len(found) == len(set(found))


def test_pages__small_first_then_overlapping() -> None:
    """The first page is small; the next ones begin with the last rows of the one before."""
    directory = people(2_000)
    read_all(directory, until=9_000)
    assert directory.asked[:3] == [
        (0, FIRST),
        (FIRST - OVERLAP, LIMIT),
        (FIRST + LIMIT - 2 * OVERLAP, LIMIT),
    ]


@pytest.mark.parametrize("largest_page", [2, 10, 499])
def test_pages__shorter_than_asked_for(largest_page: int) -> None:
    """A server that gives fewer rows than it was asked for does not end the list."""
    directory = people(120)
    directory.largest_page = largest_page
    assert set(ids(read_all(directory, until=0))) == directory.users.keys()


def test_order__ignored() -> None:
    """Users who do not come by the time of their change were sorted by something else."""
    directory = Directory({"user_a": 5, "user_b": 9})

    def fetch(**options: Any) -> Page:
        return Page(b'[["user_a", 5], ["user_b", 9]]', 1)

    with pytest.raises(SyncIncomplete, match="ignored the order"):
        list(read_head(fetch=fetch, decode=decode, count=lambda: 1000, until_ms=0))
    assert len(read_all(directory, until=0)) == 2


def test_order__of_users_without_a_time() -> None:
    """A user who cannot be parsed has no place in the order, and breaks none."""
    page = b'[["user_a", 9], ["user_b", 0], ["", 0], ["user_c", 5], ["user_d", 0]]'
    head = list(
        read_head(fetch=lambda **options: Page(page, 1), decode=decode, count=lambda: 1000, until_ms=6)
    )
    assert ids(head) == ["user_a", "user_b", "", "user_c", "user_d"]


@pytest.mark.parametrize("count", [300, 900])
def test_offset__ignored(count: int) -> None:
    """The same page over and over is no end of the list."""
    directory = people(count)

    def fetch(**options: Any) -> Page:
        return directory.fetch(**options | {"offset": 0})

    with pytest.raises(SyncIncomplete, match="ignores the offset"):
        list(read_head(fetch=fetch, decode=decode, count=lambda: 1000, until_ms=0))


@pytest.mark.parametrize("deleted", [5, OVERLAP + 5, FIRST])
def test_deletes__between(deleted: int) -> None:
    """Deleted users pull the next page's users onto the one that was read: they are not lost."""
    directory = people(700)

    def delete(pages: int) -> None:
        if pages == 1:
            for number in range(deleted):
                del directory.users[f"user_{number}"]

    directory.between = delete
    found = ids(read_all(directory, until=9_500))
    assert found[:501] == [f"user_{number}" for number in range(501)]
    assert len(found) == len(set(found))
    assert [offset for offset, _ in directory.asked[1:]] == ([90] if deleted == 5 else [90, 0])


def test_deletes__too_many() -> None:
    """A list of which thousands go while it is read cannot be: that fails, after two new starts."""
    directory = people(30_000, newest=1_000_000)

    def fetch(*, offset: int, **options: Any) -> Page:
        if offset > 1_900:
            for clerk_id in list(directory.users)[:2_500]:
                del directory.users[clerk_id]
        return directory.fetch(offset=offset, **options)

    with pytest.raises(SyncIncomplete, match="do not join"):
        list(read_head(fetch=fetch, decode=decode, count=lambda: 20_000, until_ms=0))
    assert [offset for offset, _ in directory.asked].count(0) == 3


def test_updates__between() -> None:
    """Hundreds of users who are changed meanwhile push the others back, and are read with them."""
    directory = people(700)

    def change(pages: int) -> None:
        if pages == 1:
            directory.users |= {f"user_{number}": 20_000 + number for number in range(650, 700)}
            directory.users |= {f"new_{number}": 30_000 + number for number in range(600)}

    directory.between = change
    found = ids(read_all(directory, until=9_500))
    assert {f"user_{number}" for number in range(501)} <= set(found)


@settings(max_examples=pick(short=100, long=10_000))
@given(data=st.data())
def test_reading__loses_nobody(data: st.DataObject) -> None:
    """Whatever moves meanwhile: who was changed since ``until`` and is left alone comes, or the reading fails."""
    draw = data.draw
    count = draw(st.integers(0, 260))
    versions = st.integers(1, draw(st.sampled_from([3, 60, 1_000])))
    users = {f"user_{number}": draw(versions) for number in range(count)}
    directory = Directory(dict(users), largest_page=draw(st.sampled_from([3, 20, 100, LIMIT])))
    until = draw(st.integers(0, 1_000))
    touched: set[str] = set()

    def move(pages: int) -> None:
        for _ in range(draw(st.sampled_from([0, 0, 1, 12, 40])) if pages else 0):
            left = sorted(directory.users)
            if left:
                chosen = draw(st.sampled_from(left))
                touched.add(chosen)
                if draw(st.booleans()):
                    del directory.users[chosen]
                else:
                    directory.users[chosen] = 2_000 + len(touched)

    directory.between = move
    try:
        found = {
            (user.clerk_id, user.updated_ms)
            for page in read_all(directory, until=until)
            for user in page.items
        }
    except SyncIncomplete:
        return
    left_alone = {(clerk_id, ms) for clerk_id, ms in users.items() if ms >= until and clerk_id not in touched}
    assert left_alone <= found


@pytest.mark.parametrize(
    "answer",
    [
        lambda number: [[f"user_{place}", 10**6 - place] for place in range(500)],
        lambda number: [[f"user_{place}", number * 1000 + 600 - place] for place in range(500)],
        lambda number: [[f"user_{place}", 10**9 - number * 1000 - place] for place in range(500)],
        lambda number: [[f"user_{number * 500 + place}", 9] for place in range(500)],
        lambda number: [[f"user_{number % 3 * 500 + place}", 9 + number] for place in range(500)],
        lambda number: [["", 0]] * 500,
        lambda number: [[f"user_{number}", 0]] * 500,
        lambda number: [[f"user_{number}", 10 + number]],
    ],
)
@pytest.mark.parametrize("counted", [-1, 0, 1000])
def test_head__endless(answer: Callable[[int], list[list[Any]]], counted: int) -> None:
    """Users who are changed faster than they are read, or are made up: given up after so many rows."""
    given, asked = 0, itertools.count()

    def fetch(**options: Any) -> Page:
        nonlocal given
        rows = answer(next(asked))
        given += len(rows)
        return Page(json.dumps(rows).encode(), 1)

    with pytest.raises(SyncIncomplete):
        list(read_head(fetch=fetch, decode=decode, count=lambda: counted, until_ms=5))
    assert given <= LEEWAY + 4 * max(0, counted) + 500
