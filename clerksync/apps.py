"""The Django app."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig, apps
from django.core.checks import register
from django.utils.translation import gettext_lazy as _

from clerksync import (
    alert_checks,
    api_checks,
    checks,
    endpoint_checks,
    metrics_checks,
    middleware_checks,
    schedule_checks,
    signals,
    token_checks,
)


class ClerkSyncConfig(AppConfig):
    """Registers the checks and the receiver."""

    name = "clerksync"
    label = "clerksync"
    verbose_name = _("Clerk")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, and what keeps Django users in step."""
        from clerksync import audit_checks, erasure_checks, link_checks, linking  # noqa: PLC0415  # they import models, which are there by now

        register(checks.check_types, "clerksync")
        register(checks.check_names, "clerksync")
        register(checks.check_keys, "clerksync")
        register(checks.check_api_url, "clerksync")
        register(checks.check_database, "clerksync")
        register(endpoint_checks.check_webhook_secrets, "clerksync")
        register(endpoint_checks.check_webhook_url, "clerksync")
        register(link_checks.check_link_rules, "clerksync")
        register(link_checks.check_user_fields, "clerksync")
        register(link_checks.check_user_model, "clerksync")
        register(audit_checks.check_audit_models, "clerksync")
        register(erasure_checks.check_cascades, "clerksync")
        register(erasure_checks.check_user_on_delete, "clerksync")
        register(token_checks.check_jwt_key, "clerksync")
        register(token_checks.check_authorized_parties, "clerksync")
        register(token_checks.check_issuer, "clerksync")
        register(token_checks.check_any_party, "clerksync", deploy=True)
        register(middleware_checks.check_middleware_order, "clerksync")
        register(api_checks.check_api_permission, "clerksync")
        register(metrics_checks.check_metrics, "clerksync")
        register(alert_checks.check_alert_urls, "clerksync")
        register(alert_checks.check_anybody_is_told, "clerksync", deploy=True)
        register(schedule_checks.check_schedule, "clerksync")
        signals.users_written.connect(linking.keep_in_step, dispatch_uid="clerksync.linking")
        signals.sync_completed.connect(linking.catch_up, dispatch_uid="clerksync.catching_up")
        if apps.is_installed("drf_spectacular"):
            import_module("clerksync.api.schema")
