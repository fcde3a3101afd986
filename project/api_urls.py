"""The addresses of the API, and of its OpenAPI schema."""

from __future__ import annotations

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

urlpatterns = [
    path("", include("clerksync.api.urls")),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
]
