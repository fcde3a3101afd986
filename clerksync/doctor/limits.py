"""Questions that may hang, and how long they are waited for."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import connections

T = TypeVar("T")


class TookTooLong(Exception):
    """No answer in time; whatever was asked may go on in a thread that nobody waits for."""


def within(seconds: float, question: Callable[[], T]) -> T:
    """Ask in a thread of its own, so that a database or a name server that hangs holds up nobody.

    Raises:
        TookTooLong: No answer came in so many seconds.
        Exception: Whatever the question raises.
    """
    asking = _Asking(question)
    # The context goes along: what is set for the caller is so for the thread.
    run = contextvars.copy_context().run
    thread = threading.Thread(target=run, args=(asking.ask,), daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if thread.is_alive():
        raise TookTooLong
    return asking.result()


class _Asking(Generic[T]):
    def __init__(self, question: Callable[[], T]) -> None:
        self._question = question
        self._answers: list[T] = []
        self._error: BaseException | None = None

    def ask(self) -> None:
        try:
            self._answers.append(self._question())
        except BaseException as error:  # noqa: BLE001  # it is raised again where it is waited for
            self._error = error
        finally:
            # The connections of this thread; no other thread can close them.
            connections.close_all()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._answers[0]
