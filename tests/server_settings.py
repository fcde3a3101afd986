"""The settings of the tests for a site behind a proxy that ends HTTPS, and in the strictest transactions."""

from __future__ import annotations

from tests.settings import *  # noqa: F403  # settings are this module's names
from tests.settings import DATABASES

for _database in DATABASES.values():
    _database["ATOMIC_REQUESTS"] = True

SECURE_SSL_REDIRECT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
