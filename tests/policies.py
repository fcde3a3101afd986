"""A middleware that lets pages have nothing but what comes from their own host."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

STRICT = "default-src 'self'"


class StrictPolicy:
    """Sets the strictest Content-Security-Policy that a site of its own files can have."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the header."""
        response = self.get_response(request)
        response["Content-Security-Policy"] = STRICT
        return response
