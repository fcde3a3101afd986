"""The addresses of ``manage.py demo --serve``."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from project.demo_views import first_page

urlpatterns = [
    path("", first_page, name="first"),
    path("admin/", admin.site.urls),
    path("clerk/", include("clerksync.urls")),
]
