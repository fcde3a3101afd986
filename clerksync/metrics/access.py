"""Who may read the metrics: whoever has the token, or comes straight from one of the networks."""

from __future__ import annotations

import secrets
from ipaddress import IPv6Address, ip_address, ip_network

from django.http import HttpRequest

from clerksync.conf import settings

#: Proxies add these; a request with one of them does not come straight from REMOTE_ADDR.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via")


def is_on() -> bool:
    """Whether anybody may."""
    return bool(settings.METRICS_TOKEN or settings.METRICS_NETWORKS)


def is_allowed(request: HttpRequest) -> bool:
    """Whether this request may read them; either way in is enough.

    What a header says of the address is never believed. Behind a proxy REMOTE_ADDR is the proxy's, so
    whatever came through one needs the token.
    """
    return _has_token(request) or _is_near(request)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    return (
        bool(wanted)
        and scheme.lower() == "bearer"
        and secrets.compare_digest(given.strip().encode(), wanted.encode())
    )


def _is_near(request: HttpRequest) -> bool:
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:  # a socket in the file system has no address
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ip_network(network) for network in settings.METRICS_NETWORKS)
