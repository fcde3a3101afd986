"""URLs: ``path("clerk/", include("clerksync.urls"))``."""

from __future__ import annotations

from django.urls import path

from clerksync import views
from clerksync.metrics.views import metrics

app_name = "clerksync"

urlpatterns = [
    path("webhook/", views.webhook, name="webhook"),
    # Svix takes a redirect to the other form for a failure.
    path("webhook", views.webhook),
    path("health/", views.health, name="health"),
    path("metrics/", metrics, name="metrics"),
]
