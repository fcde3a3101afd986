from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from clerksync.prefetch import one_ahead


def test_one_ahead__order() -> None:
    """The items come in order, falsy ones too, and the end is an end."""
    items: list[int | None] = [3, 0, None, 1]
    assert list(one_ahead(iter(items), stop=threading.Event())) == items


def test_one_ahead__other_thread() -> None:
    """The items are made in a thread of their own, which ends with them."""
    makers = list(one_ahead((threading.current_thread() for _ in range(3)), stop=threading.Event()))
    assert threading.current_thread() not in makers
    assert not any(maker.is_alive() for maker in makers)


def test_one_ahead__error() -> None:
    """An error comes after the items that were made before it."""

    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError

    ahead = one_ahead(items(), stop=threading.Event())
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(LookupError):
        next(ahead)


def test_one_ahead__closed() -> None:
    """Closing tells the worker to stop, and waits until it has."""
    stop, ended = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert stop.wait(10)
        ended.set()
        yield 2

    ahead = one_ahead(items(), stop=stop)
    next(ahead)
    ahead.close()
    assert ended.is_set()
