"""System checks of the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from clerksync.conf import Settings, settings


def check_api_permission(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """API_PERMISSION leads to something that can be used; the default is not imported for that."""
    path = settings.API_PERMISSION
    if path == Settings.API_PERMISSION.default or Settings.API_PERMISSION.problem(path):
        return []
    try:
        permission = import_string(path)
    except ImportError:
        problem = "leads nowhere"
    else:
        if callable(permission):
            return []
        problem = "leads to nothing that permission_classes could hold"
    return [
        Error(
            f"CLERKSYNC_API_PERMISSION: the dotted path {path!r} {problem}.",
            hint="Name a permission class of Django REST framework, or one that is declared in a module, "
            'such as MAY_READ = IsAdminUser | HasOrgRole("org:support").',
            id="clerksync.E040",
        )
    ]
