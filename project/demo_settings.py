"""Settings of ``manage.py demo``: they read neither the environment nor ``.env``.

So the demo, which fills a table with invented users, cannot reach a real database or a real Clerk.
"""

from __future__ import annotations

from project.defaults import *  # noqa: F403  # settings are this module's names
from project.defaults import BASE_DIR, logging_to_console, sqlite

#: The demo runs with no settings but those that say so.
DEMO = True

DEBUG = True
SECRET_KEY = "django-insecure-known-to-everyone-and-good-for-the-demo-alone"  # noqa: S105  # as it says
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

ROOT_URLCONF = "project.demo_urls"
DATABASES = {"default": sqlite(BASE_DIR / ".demo.sqlite3")}

# So that a change shows on the next page, whether a webhook comes or not.
CLERKSYNC_REFRESH_AFTER = 0
CLERKSYNC_CLAIM_FIELDS = {"fullName": "full_name", "imageUrl": "image_url"}
CLERKSYNC_SIGN_IN_URL = "/"

TIME_ZONE = "UTC"
LOGGING = logging_to_console("WARNING")
# The demo is about users who are wrong: its story tells of them, and its pages do.
LOGGING["loggers"] = {"clerksync.alarms": {"level": "ERROR"}}
