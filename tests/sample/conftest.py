"""The fixtures of the sample."""

from __future__ import annotations

pytest_plugins = ["clerksync.testing.plugin"]
