"""Django's settings for the tests: nothing is read from the environment but what ``databases`` reads."""

from __future__ import annotations

from project.defaults import *  # noqa: F403  # settings are this module's names
from project.defaults import INSTALLED_APPS
from tests import databases

SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
TIME_ZONE = "UTC"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = ["tests.flushing", *INSTALLED_APPS]

DATABASES = databases.configuration()
DATABASE_ROUTERS = ["tests.routers.SwitchRouter"]

# Invented keys; the publishable one names the host clerk.harbour.test.
CLERK_SECRET_KEY = "sk_test_invented_for_the_tests_0123456789"
CLERK_PUBLISHABLE_KEY = "pk_test_Y2xlcmsuaGFyYm91ci50ZXN0JA"
CLERK_WEBHOOK_SIGNING_SECRET = "whsec_aW52ZW50ZWQgZm9yIHRlc3RzIG9mIGNsZXJrc3luYw=="

# Django 6.1 wants to be told; older ones do not know it.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
