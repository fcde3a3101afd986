"""The settings of the tests for the pages of ``tests.pages``, with a Clerk that the environment names."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403  # settings are this module's names

ROOT_URLCONF = "tests.pages"
CLERK_API_URL = os.environ["CLERK_API_URL"]
CLERK_SECRET_KEY = os.environ["CLERK_SECRET_KEY"]
CLERK_PUBLISHABLE_KEY = os.environ["CLERK_PUBLISHABLE_KEY"]
