"""Whether a Django user could be created for somebody new: tried with an invented one, and not saved."""

from __future__ import annotations

from django.contrib.auth import get_user_model

from clerksync import newusers
from clerksync.conf import settings
from clerksync.doctor.findings import Finding, ok, problem, skipped, warning
from clerksync.models import ClerkUser
from clerksync.newusers import NotCreated
from clerksync.userfields import FieldRules

_OFF = "CLERKSYNC_LINK_USERS is off."


def examine(*, are_rules_sound: bool) -> list[Finding]:
    """Try; ``are_rules_sound`` is False if the system checks object, which is told already."""
    if settings.LINK_USERS is not True:
        return [*([skipped("linking", _OFF)] if are_rules_sound else []), skipped("new_users", _OFF)]
    if not are_rules_sound:
        return [skipped("new_users", "The rules of linking have mistakes: see linking.")]
    return [ok("linking", "The rules of linking fit Clerk's users and Django's."), _new_user()]


def _new_user() -> Finding:
    row = ClerkUser(
        clerk_id="user_2doctorsInventedPatient00000",
        state=ClerkUser.State.ACTIVE,
        email="patient@clerksync.invalid",
        email_verified=True,
        first_name="Invented",
        last_name="Patient",
        username="invented_patient",
    )
    try:
        change = newusers.create(row, FieldRules.from_settings(get_user_model()), dry_run=True)
    except NotCreated as error:
        return problem(
            "new_users",
            f"No Django user could be created for somebody new. {error}.",
            "Say in CLERKSYNC_USER_FIELDS what these fields are taken from, or let the model do without.",
        )
    if change.problems:
        told = "; ".join(f"{left.field}: {left.reason}" for left in change.problems)
        return warning(
            "new_users",
            f"A Django user could be created for somebody new, but not with everything: {told}.",
            "See CLERKSYNC_USER_FIELDS; what a callable of yours raises is in the log.",
        )
    return ok("new_users", "A Django user could be created for somebody new.")
