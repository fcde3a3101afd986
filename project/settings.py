"""Django's settings from the environment and from ``.env``; ``.env.example`` lists every variable."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from project.defaults import *  # noqa: F403  # settings are this module's names
from project.defaults import BASE_DIR, logging_to_console
from project.environment import Environment, read_file

_file = Path(os.environ.get("ENV_FILE") or BASE_DIR / ".env")
if _file.exists():
    read_file(_file)
elif os.environ.get("ENV_FILE"):
    raise ImproperlyConfigured("The environment variable ENV_FILE must be the path of a file that exists.")

env = Environment(os.environ)

DEBUG = env.boolean("DEBUG")
SECRET_KEY = env.text("SECRET_KEY", default="django-insecure-for-development-only" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured("The environment variable SECRET_KEY must be set unless DEBUG is true.")

ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")

SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", default=not DEBUG)
SECURE_HSTS_SECONDS = env.whole("SECURE_HSTS_SECONDS", default=0 if DEBUG else 3600)
if env.boolean("BEHIND_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# A promise for all subdomains, or for browsers' built-in lists, is not this project's to make.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

DATABASES = {"default": env.database("DATABASE_URL", default="sqlite:///db.sqlite3")}

ADMINS = env.admins("DJANGO_ADMINS")
globals().update(env.email("EMAIL_URL"))
SERVER_EMAIL = DEFAULT_FROM_EMAIL = env.text("SERVER_EMAIL", default="root@localhost")

TIME_ZONE = env.time_zone("TIME_ZONE", default="UTC")

LOGGING = logging_to_console(
    env.choice("LOG_LEVEL", choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), default="INFO")
)

_READERS = {
    "CLERK_JWT_KEY": env.pem,
    "CLERK_WEBHOOK_SIGNING_SECRET": env.word_or_words,
    "CLERKSYNC_API_TIMEOUT": env.numbers,
    "CLERKSYNC_RATE_LIMIT": env.number,
    "CLERKSYNC_RATE_SHARE": env.number,
    "CLERKSYNC_WEB_RATE_SHARE": env.number,
    "CLERKSYNC_STORE_PAYLOAD": env.boolean,
    "CLERKSYNC_EXCLUDE_FIELDS": env.words,
    "CLERKSYNC_MAX_DELETES": env.whole,
    "CLERKSYNC_OVERLAP": env.number,
    "CLERKSYNC_MAX_STALENESS": env.whole,
    "CLERKSYNC_SCHEDULE": env.schedule,
    "CLERKSYNC_ALERT_EMAILS": env.boolean,
    "CLERKSYNC_ALERT_SECRET_URLS": env.addresses,
    "CLERKSYNC_ALERT_EVENTS": env.whole,
    "CLERKSYNC_METRICS_NETWORKS": env.words,
    "CLERKSYNC_WEBHOOK_MAX_BYTES": env.whole,
    "CLERKSYNC_EVENT_RETENTION_DAYS": env.whole,
    "CLERKSYNC_AUTHORIZED_PARTIES": env.words,
    "CLERKSYNC_ALLOW_MISSING_AZP": env.boolean,
    "CLERKSYNC_ISSUER": env.words_or_none,
    "CLERKSYNC_AUDIENCE": env.word_or_words,
    "CLERKSYNC_CLAIM_FIELDS": env.pairs,
    "CLERKSYNC_REFRESH_AFTER": env.number_or_none,
    "CLERKSYNC_REFRESH_TIMEOUT": env.number,
    "CLERKSYNC_EXEMPT_PATHS": env.words,
    "CLERKSYNC_REAL_DOMAINS": env.words,
    "CLERKSYNC_ALLOW_TEST_USERS": env.boolean,
    "CLERKSYNC_PLACEHOLDER_RULES": env.words,
    "CLERKSYNC_AUDIT_MODELS": env.tables,
    "CLERKSYNC_LINK_USERS": env.boolean,
    "CLERKSYNC_LINK_BY": env.words,
    "CLERKSYNC_USER_FIELDS": env.rules,
    "CLERKSYNC_HISTORY": env.boolean,
    "CLERKSYNC_HISTORY_DAYS": env.whole,
    "CLERKSYNC_ANONYMIZE_AFTER_DAYS": env.whole,
    "CLERKSYNC_ADMIN_PHOTOS": env.boolean,
    "CLERKSYNC_ADMIN_MASK": env.boolean,
}
# What is not set keeps the default of clerksync. Names that nobody knows are passed on as well, so
# that clerksync's checks can say what was meant; CLERKSYNC_TEST_* belong to the tests.
globals().update(
    {
        name: _READERS.get(name, env.text)(name)
        for name in env.named("CLERK_", "CLERKSYNC_")
        if not name.startswith("CLERKSYNC_TEST_")
    }
)
