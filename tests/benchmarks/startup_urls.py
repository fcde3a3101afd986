"""The addresses of ``startup_settings``."""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [path("admin/", admin.site.urls)]
if apps.is_installed("clerksync"):
    urlpatterns.append(path("clerk/", include("clerksync.urls")))
    if apps.is_installed("rest_framework"):
        urlpatterns.append(path("api/", include("clerksync.api.urls")))
