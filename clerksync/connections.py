"""HTTP connections on which an answer has to be whole by a deadline, however it drips in.

A time-out of http.client is for each piece: a head of one byte a second, or interim answers (100 Continue)
without end, would hold a thread for ever.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any, cast

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.poolmanager import PoolManager, ProxyManager

_thread = threading.local()


@contextmanager
def ends_by(moment: float) -> Iterator[None]:
    """Let every read of this thread fail after a moment of the monotonic clock, with TimeoutError."""
    _thread.until = moment
    try:
        yield
    finally:
        del _thread.until


class DeadlineAdapter(HTTPAdapter):
    """Makes connections that keep to ``ends_by``, through proxies as well."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the manager of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        _equip(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        """Return the manager of a proxy's connections."""
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _equip(manager)
        return manager


class _Timed(io.RawIOBase):
    """What a socket receives, until the deadline."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > getattr(_thread, "until", float("inf")):
            raise TimeoutError("the answer takes too long")
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = io.BufferedReader(_Timed(self.fp.detach()))


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _equip(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
