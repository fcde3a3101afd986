"""The settings of the tests, with a user model of our own in a database of its own."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403  # settings are this module's names
from tests.settings import DATABASES, INSTALLED_APPS

AUTH_USER_MODEL = f"members.{os.environ['CLERKSYNC_TEST_MODEL']}"
INSTALLED_APPS = [*INSTALLED_APPS, "tests.members"]
for _database in DATABASES.values():
    _name = f"{_database['TEST']['NAME']}_{AUTH_USER_MODEL.rpartition('.')[2].lower()}"
    _database["TEST"]["NAME"] = _name
    if _database["ENGINE"].endswith("sqlite3"):
        _database["NAME"] = _name
