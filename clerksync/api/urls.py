"""URLs: ``path("api/", include("clerksync.api.urls"))``."""

from __future__ import annotations

from django.urls import path

from clerksync.api import views

app_name = "clerksync_api"

urlpatterns = [
    path("me/", views.Me.as_view(), name="me"),
    path("users/", views.UserList.as_view(), name="users"),
    path("users/<str:clerk_id>/", views.UserDetail.as_view(), name="user"),
]
