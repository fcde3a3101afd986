"""The settings of the tests for the site of the webhook benchmark: connections to the database are kept."""

from __future__ import annotations

from tests.settings import *  # noqa: F403  # settings are this module's names
from tests.settings import DATABASES

ROOT_URLCONF = "tests.benchmarks.webhook_views"
DATABASES["default"]["CONN_MAX_AGE"] = 600
