"""The addresses of ``manage.py demo --serve``."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from project import demo_sessions
from project.defaults import HAS_API
from project.demo_views import first_page, profile, rename

urlpatterns = [
    path("", first_page, name="first"),
    path("profile/", profile, name="profile"),
    path("name/", rename, name="rename"),
    path("session/sign-in/", demo_sessions.sign_in, name="sign_in"),
    path("session/sign-up/", demo_sessions.sign_up, name="sign_up"),
    path("session/sign-out/", demo_sessions.sign_out, name="sign_out"),
    path("session/renew/", demo_sessions.renew, name="renew"),
    path("session/token/", demo_sessions.token, name="token"),
    path("admin/", admin.site.urls),
    path("clerk/", include("clerksync.urls")),
]
if HAS_API:
    urlpatterns.append(path("api/", include("project.api_urls")))
