"""The pages of ``manage.py demo --serve``."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from clerksync.models import ClerkUser


def first_page(request: HttpRequest) -> HttpResponse:
    """All users of the table, the newest first."""
    return render(request, "demo.html", {"users": ClerkUser.objects.order_by("-created_at", "pk")})
