"""System checks of the metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning

from clerksync.conf import Settings, settings

#: 20 random letters and digits have more than 100 bits.
MIN_TOKEN = 20


def check_metrics(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Where metrics are on, they can be made, and are not open to whom they are not meant for."""
    return list(_messages())


def _messages() -> Iterator[CheckMessage]:
    token, networks = settings.METRICS_TOKEN, settings.METRICS_NETWORKS
    if Settings.METRICS_TOKEN.problem(token) or Settings.METRICS_NETWORKS.problem(networks):
        return  # told already
    if not token and not networks:
        return
    if find_spec("prometheus_client") is None:
        yield Error(
            "The metrics are on, but prometheus-client is not installed.",
            hint="pip install 'clerksync[metrics]', or take out CLERKSYNC_METRICS_TOKEN and CLERKSYNC_METRICS_NETWORKS.",
            id="clerksync.E050",
        )
    if token and len(token) < MIN_TOKEN:
        yield Warning(
            f"CLERKSYNC_METRICS_TOKEN has fewer than {MIN_TOKEN} characters and can be guessed.",
            hint='Make one: python -c "import secrets; print(secrets.token_urlsafe())"',
            id="clerksync.W050",
        )
    if networks and (django_settings.SECURE_PROXY_SSL_HEADER or django_settings.USE_X_FORWARDED_HOST):
        yield Warning(
            "CLERKSYNC_METRICS_NETWORKS is set, and the site is behind a proxy, whose address all requests have.",
            hint="Use CLERKSYNC_METRICS_TOKEN; requests that a proxy says to have passed on need it anyway.",
            id="clerksync.W051",
        )
