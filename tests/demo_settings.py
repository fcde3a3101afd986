"""Settings of the demo with a database file for each test, so that no test meets another or a developer."""

from __future__ import annotations

import os

from project.defaults import sqlite
from project.demo_settings import *  # noqa: F403  # settings are this module's names

#: Names the file.
DATABASE = "CLERKSYNC_TEST_DEMO"

DATABASES = {"default": sqlite(os.environ[DATABASE])}
