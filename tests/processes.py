"""Processes that tests start."""

from __future__ import annotations

import os

from django.db import connections

from tests import databases


def environment(**changes: str) -> dict[str, str]:
    """The environment for a Python process with ``tests.settings`` on the databases of this test."""
    names = {
        databases.NAME.format(alias=alias): str(connections[alias].settings_dict["NAME"])
        for alias in connections
    }
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **names, **changes}
