"""The settings of the tests with a queue of tasks: TASKS_BACKEND says which."""

from __future__ import annotations

import os

import django

from tests.settings import *  # noqa: F403  # settings are this module's names
from tests.settings import INSTALLED_APPS

TASKS = {"default": {"BACKEND": os.environ["TASKS_BACKEND"]}}
INSTALLED_APPS = [
    *INSTALLED_APPS,
    *(["django_tasks"] if django.VERSION < (6, 0) else []),
    TASKS["default"]["BACKEND"].partition(".")[0],
    *(["django_rq"] if "rq" in TASKS["default"]["BACKEND"] else []),
]
RQ_QUEUES = {"default": {"URL": os.environ.get("TASKS_REDIS", "")}}

CLERK_API_URL, CLERK_SECRET_KEY = os.environ["TASKS_CLERK"].split()
