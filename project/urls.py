"""The addresses of the project."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from project.defaults import HAS_API

urlpatterns = [
    path("admin/", admin.site.urls),
    path("clerk/", include("clerksync.urls")),
]
if HAS_API:
    urlpatterns.append(path("api/", include("project.api_urls")))
