"""``{% load clerksync %}``: Clerk's script for pages that Django renders."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from clerksync.conf import settings
from clerksync.publishable_key import frontend_host

register = template.Library()


@register.inclusion_tag("clerksync/script.html", takes_context=True)
def clerk_script(context: Context, *, version: str = "6", nonce: str = "") -> dict[str, Any]:
    """Load Clerk's script, which fetches a new session token, and reload once where the token had expired.

    Session tokens live for 60 s and are renewed by this script alone: a page that somebody opens
    after a pause comes with a token that has expired, and Django sees a visitor.

    Args:
        context: Of the page; with ``django.template.context_processors.request``.
        version: Of ``@clerk/clerk-js``.
        nonce: Of the Content-Security-Policy; by default that of Django's middleware, if it is used.
    """
    request = context.get("request")
    key = settings.CLERK_PUBLISHABLE_KEY
    host = frontend_host(key)
    return {
        "key": key,
        # What was posted must not be posted again.
        "state": getattr(request, "clerk_state", "") if getattr(request, "method", "") == "GET" else "",
        "source": f"https://{host}/npm/@clerk/clerk-js@{version}/dist/clerk.browser.js" if host else "",
        "nonce": nonce or str(getattr(request, "csp_nonce", "") or ""),
    }
