"""Work one step ahead: while the caller deals with one item, a thread prepares the next."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import TypeVar

from django.db import connections

T = TypeVar("T")


def one_ahead(items: Iterator[T], *, stop: Event) -> Generator[T]:
    """Yield the items in order, each made in a worker thread while the one before is in use.

    An error comes where its item would have come. Closing the generator sets ``stop``,
    which the iterator should heed, and waits for the worker.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="clerksync-ahead") as worker:
        try:
            future = worker.submit(_next, items)
            while found := future.result():
                future = worker.submit(_next, items)
                yield from found
        finally:
            stop.set()
            # A cache kept in the database opens a connection of the worker's own.
            worker.submit(connections.close_all)


def _next(items: Iterator[T]) -> tuple[T, ...]:
    """Return the next item in a tuple, or an empty one: StopIteration cannot pass a future."""
    return tuple(islice(items, 1))
