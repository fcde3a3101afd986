"""For Django REST framework, which nothing else of clerksync needs."""

from __future__ import annotations

from importlib.util import find_spec

from django.core.exceptions import ImproperlyConfigured

if find_spec("rest_framework") is None:
    raise ImproperlyConfigured(
        "clerksync.api needs Django REST framework, which is not installed: pip install 'clerksync[api]'."
    )
