"""Whether all processes have one cache: in it they tell each other that Clerk asks for a pause or is out of reach."""

from __future__ import annotations

import secrets

from django.conf import settings as django_settings
from django.core.cache import cache, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache

from clerksync.doctor.findings import Finding, ok, problem, warning

_COST = (
    "each process finds out by itself that Clerk asks for a pause or is out of reach, so more requests are "
    "refused, and more pages wait"
)
_HOW = "Use a cache that all processes share (Redis, Memcached, the database or files) as CACHES['default']."


def examine() -> list[Finding]:
    """Write to the default cache and read it again."""
    kind = type(caches["default"])
    if issubclass(kind, DummyCache):
        return [warning("cache", f"The default cache keeps nothing: {_COST}.", _HOW)]
    key, value = f"clerksync:doctor:{secrets.token_hex(8)}", secrets.token_hex(8)
    cache.set(key, value, timeout=30)
    found = cache.get(key)
    cache.delete(key)
    if found != value:
        return [problem("cache", "The default cache does not keep what is written to it.", _HOW)]
    if not issubclass(kind, LocMemCache):
        return [ok("cache", f"The default cache ({kind.__name__}) answers, and is not one process's own.")]
    if django_settings.DEBUG:
        return [
            ok("cache", "The default cache is in the memory of one process, which will do while DEBUG is on.")
        ]
    return [warning("cache", f"The default cache is in the memory of each process: {_COST}.", _HOW)]
