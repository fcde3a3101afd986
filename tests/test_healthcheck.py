"""The check for django-health-check."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client, override_settings
from django.urls import include, path

from clerksync.models import MirrorState
from clerksync.testing import FakeClerk
from tests.syncing import Syncer, synced

pytestmark = pytest.mark.django_db

health_check: Any = pytest.importorskip("health_check.views", reason="django-health-check is not installed")


def view(**options: Any) -> Any:
    """A page of django-health-check with our check."""
    return health_check.HealthCheckView.as_view(checks=[("clerksync.healthcheck.ClerkMirror", options)])


urlpatterns = [
    path("health/", view()),
    path("alive/", view(fail_when="broken")),
    path("clerk/", include("clerksync.urls")),
]


@override_settings(ROOT_URLCONF=__name__)
def test_check(client: Client, clerk: FakeClerk) -> None:
    """It says what the status says, and from which state on is a matter of choice."""

    def ask(url: str) -> tuple[int, str]:
        answer = client.get(f"/{url}/?format=json")
        return answer.status_code, " ".join(answer.json().values())

    synced(Syncer(clerk), 3)
    assert ask("health")[0] == ask("alive")[0] == 200
    MirrorState.objects.update(deletes_as_of=F("deletes_as_of") - timedelta(days=2))
    status, said = ask("health")
    assert (status, "No full sync has looked for deleted users since" in said) == (500, True)
    assert "Run: manage.py sync_clerk_users." in said
    assert ask("alive")[0] == 200
    MirrorState.objects.update(updates_as_of=None)
    assert ask("health")[0] == ask("alive")[0] == 500
