"""What the system checks say, under the doctor's names."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings as django_settings
from django.core.checks import ERROR, CheckMessage
from django.core.checks.registry import registry

from clerksync.conf import settings
from clerksync.doctor.findings import Finding, State, ok, skipped

#: The finding that a check belongs to; a check that is not named here belongs to ``settings``.
_IDS = {
    "check_keys": "keys",
    "check_api_url": "api_url",
    "check_jwt_key": "jwt_key",
    "check_issuer": "issuer",
    "check_authorized_parties": "authorized_parties",
    "check_any_party": "authorized_parties",
    "check_middleware_order": "middleware",
    "check_webhook_secrets": "webhook_secret",
    "check_webhook_url": "webhook_secret",
    "check_database": "database_mode",
    "check_link_rules": "linking",
    "check_user_fields": "linking",
    "check_user_model": "linking",
}
_OURS = "clerksync.middleware."


def examine() -> list[Finding]:
    """Run our system checks, those of deployments included, unless DEBUG is on; silenced ones stay silent."""
    told = list(_messages())
    found = [_finding(id, message) for id, message in told]
    return [*found, *_sound({id for id, _ in told})]


def _messages() -> Iterator[tuple[str, CheckMessage]]:
    checks = registry.get_checks(include_deployment_checks=not django_settings.DEBUG)
    for check in checks:
        if "clerksync" in check.tags:
            id = _IDS.get(getattr(check, "__name__", ""), "settings")
            told = check(app_configs=None, databases=None)
            yield from ((id, message) for message in told if not message.is_silenced())


def _finding(id: str, message: CheckMessage) -> Finding:
    state = State.PROBLEM if message.level >= ERROR else State.WARNING
    return Finding(id, state, f"{message.msg} ({message.id})", message.hint or "")


def _sound(wrong: set[str]) -> Iterator[Finding]:
    """What is said of the others; ``database_mode`` and ``linking`` have more to be looked at elsewhere."""
    known = {
        "settings": ok("settings", "Every setting of clerksync exists and has the right type."),
        "keys": ok("keys", "The keys look like Clerk's, and are of one kind of instance."),
        "api_url": ok("api_url", "The address of the API can be used."),
        "jwt_key": _jwt_key(),
        "issuer": ok("issuer", "Session tokens are expected from one issuer or are not asked for it."),
        "authorized_parties": _parties(),
        "middleware": _middleware(),
        "webhook_secret": _secret(),
    }
    return (finding for id, finding in known.items() if id not in wrong)


def _jwt_key() -> Finding:
    if settings.CLERK_JWT_KEY:
        return ok("jwt_key", "CLERK_JWT_KEY is a public key.")
    return skipped("jwt_key", "CLERK_JWT_KEY is not set: Clerk is asked for its keys.")


def _parties() -> Finding:
    if settings.AUTHORIZED_PARTIES:
        return ok("authorized_parties", "Each of CLERKSYNC_AUTHORIZED_PARTIES is an origin.")
    return skipped(
        "authorized_parties",
        "CLERKSYNC_AUTHORIZED_PARTIES is empty.",
        "List the origins of your front ends before session tokens count.",
    )


def _middleware() -> Finding:
    if any(str(name).startswith(_OURS) for name in django_settings.MIDDLEWARE):
        return ok("middleware", "ClerkMiddleware stands where it should.")
    return skipped("middleware", "ClerkMiddleware is not in use: page loads do not look at Clerk's sessions.")


def _secret() -> Finding:
    if settings.CLERK_WEBHOOK_SIGNING_SECRET:
        return ok("webhook_secret", "Each signing secret is well-formed.")
    return skipped("webhook_secret", "No signing secret is set, and the webhook is not in the URLs.")
