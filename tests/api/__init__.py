"""The API; without Django REST framework there is none to test."""

from __future__ import annotations

import pytest

pytest.importorskip("rest_framework", reason="Django REST framework is not installed")
