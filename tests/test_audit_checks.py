"""The system check of the tables that are audited beside the mirror."""

from __future__ import annotations

from django.core.checks import Error
from django.test import override_settings

from clerksync.audit_checks import check_audit_models

GOOD = {"model": "auth.User", "clerk_id_field": "username", "email_field": "email"}
HINT = 'An entry is like {"model": "app.Profile", "clerk_id_field": "clerk_id", "email_field": "email"}.'


@override_settings(CLERKSYNC_AUDIT_MODELS=[GOOD])
def test_audit_models__sound() -> None:
    """Models and fields that there are give no message."""
    assert check_audit_models(None) == []


@override_settings(
    CLERKSYNC_AUDIT_MODELS=[GOOD | {"model": "auth.Profile"}, GOOD, GOOD | {"email_field": "mail"}]
)
def test_audit_models__each_mistake() -> None:
    """Each wrong entry is told by its place, with what is wrong and what there is."""
    first, last = check_audit_models(None)
    assert first == Error(
        "CLERKSYNC_AUDIT_MODELS[0]: there is no model 'auth.Profile'; write it as app.Model.",
        hint=HINT,
        id="clerksync.E030",
    )
    assert last.msg.startswith("CLERKSYNC_AUDIT_MODELS[2]: auth.User has no field 'mail'; there are ")
