"""A project with clerksync or without, as the environment says: ``BENCHMARK_PARTS`` names its parts."""

from __future__ import annotations

import os

from project.defaults import *  # noqa: F403  # settings are this module's names
from project.defaults import INSTALLED_APPS, MIDDLEWARE, sqlite

PARTS = os.environ["BENCHMARK_PARTS"].split()
_API_APPS = {"rest_framework", "drf_spectacular"}
_OWN = {"clerksync", "project"}

SECRET_KEY = "of the benchmarks"
DATABASES = {"default": sqlite(":memory:")}
ROOT_URLCONF = "tests.benchmarks.startup_urls"
CLERK_SECRET_KEY = "sk_live_invented_for_the_benchmarks_0123"
CLERK_PUBLISHABLE_KEY = "pk_live_Y2xlcmsuaGFyYm91ci50ZXN0JA"
CLERK_WEBHOOK_SIGNING_SECRET = "whsec_aW52ZW50ZWQgZm9yIHRlc3RzIG9mIGNsZXJrc3luYw=="
CLERKSYNC_AUTHORIZED_PARTIES = ["https://app.harbour.test"]
if "api" not in PARTS:
    INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in _API_APPS]
if "clerksync" not in PARTS:
    # What it cannot do without, and what nobody would leave out to be faster.
    import jwt
    import requests

    assert jwt.__name__
    assert requests.__name__
    INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in _OWN]
    MIDDLEWARE = [path for path in MIDDLEWARE if not path.startswith("clerksync.")]
