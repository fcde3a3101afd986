"""Whether everything is of one instance: the secret key, the table, the keys of session tokens."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from clerksync.conf import settings
from clerksync.doctor.clerk import Told, kind_of_secret_key
from clerksync.doctor.findings import Finding, ok, problem, skipped, warning
from clerksync.public_keys import parse_pem

_KINDS = {"test": "development", "live": "production"}


def judge(told: Told, *, instance_id: str | None) -> list[Finding]:
    """Compare what Clerk told with the table's instance (None: not known) and with the settings."""
    return [_instance(told, instance_id), _signing_key(told)]


def _instance(told: Told, instance_id: str | None) -> Finding:
    instance = told.instance
    if instance is None:
        return skipped("instance", "Clerk did not tell whose the secret key is.")
    if instance_id and instance_id != instance.id:
        return problem(
            "instance",
            f"The secret key opens {instance.id}, and the table holds the users of {instance_id}.",
            "Use the key of that instance; or, if the table is to change sides, "
            "manage.py sync_clerk_users --adopt-instance.",
        )
    kind = kind_of_secret_key()
    if kind and _KINDS[kind] != instance.environment_type:
        return warning(
            "instance",
            f"The keys are called {kind}, and Clerk says that the instance is of {instance.environment_type}.",
            "Check CLERK_API_URL: something may answer in Clerk's place.",
        )
    if instance_id is None:
        return skipped("instance", f"The secret key opens {instance.id}; the table could not be read.")
    if not instance_id:
        return ok("instance", f"The secret key opens {instance.id}; the table is nobody's yet.")
    return ok("instance", f"The table and the secret key are of {instance.id}.")


def _signing_key(told: Told) -> Finding:
    if told.instance is None:
        return skipped("signing_key", "Clerk could not be asked for the keys of session tokens.")
    if not told.keys:
        return problem(
            "signing_key",
            "Clerk's keys of session tokens (GET /v1/jwks) could not be read.",
            "See the log; set CLERK_JWT_KEY to do without.",
        )
    strange = [id for id in told.keys if id.startswith("ins_") and id != told.instance.id]
    if strange and len(strange) == len(told.keys):
        return problem(
            "signing_key",
            f"The keys of session tokens are of {strange[0]}, and the secret key opens {told.instance.id}.",
            "Check CLERK_API_URL: something answers in Clerk's place.",
        )
    return _pem(told)


def _pem(told: Told) -> Finding:
    if not settings.CLERK_JWT_KEY:
        return ok("signing_key", "Session tokens are verified with the instance's keys.")
    try:
        ours = parse_pem(settings.CLERK_JWT_KEY).public_numbers()
    except ImproperlyConfigured:
        return skipped("signing_key", "CLERK_JWT_KEY cannot be read: see jwt_key.")
    if any(key.public_numbers() == ours for key in (told.keys or {}).values()):
        return ok("signing_key", "CLERK_JWT_KEY is a key of the instance.")
    return problem(
        "signing_key",
        "CLERK_JWT_KEY is no key of the instance, so no session token is accepted.",
        "Copy the JWKS public key (PEM) from Clerk's dashboard, API keys, or unset it: Clerk is asked then.",
    )
