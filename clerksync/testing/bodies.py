"""The JSON bodies that create and change users."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from clerksync.testing.roster import Roster
from clerksync.testing.wire import Json, Refusal

_SHARED = {
    "external_id", "first_name", "last_name", "locale", "username", "delete_self_enabled",
    "create_organization_enabled", "create_organizations_limit", "created_at", "legal_accepted_at",
    "bypass_client_trust",
}  # fmt: skip
_CREATION = _SHARED | {
    "email_address", "phone_number", "public_metadata", "private_metadata", "unsafe_metadata",
    "banned", "locked",
}  # fmt: skip
# Since 2026-05-12 a change takes no metadata.
_CHANGES = _SHARED | {"primary_email_address_id", "primary_phone_number_id", "primary_web3_wallet_id"}
# Taken and forgotten: the fake keeps no passwords and checks no rules.
_IGNORED = {
    "password", "skip_password_checks", "skip_password_requirement", "skip_legal_checks",
    "skip_user_requirement", "notify_primary_email_address_changed", "sign_out_of_other_sessions",
}  # fmt: skip
_TIMES = ("created_at", "legal_accepted_at")


def creation(body: bytes, *, roster: Roster) -> Json:
    """Return the arguments of ``create_user``; raise Refusal where Clerk answers an error."""
    form = _form(body, allowed=_CREATION)
    fields: dict[str, Any] = {"email": None, "first_name": None, "last_name": None} | form
    emails = fields.pop("email_address", [])
    phones = fields.pop("phone_number", [])
    _check_texts(email_address=emails, phone_number=phones)
    _check_free(roster, "emails", emails, name="email_address")
    _check_free(roster, "phones", phones, name="phone_number")
    _check_unique_texts(roster, fields, clerk_id=None)
    if emails:
        fields |= {"email": emails[0], "email_addresses": emails}
    if phones:
        fields["phone_number"] = phones[0]
    return fields


def changes(body: bytes, *, roster: Roster, clerk_id: str) -> Json:
    """Return the arguments of ``update_user``; raise Refusal where Clerk answers an error."""
    form = _form(body, allowed=_CHANGES)
    _check_unique_texts(roster, form, clerk_id=clerk_id)
    return form


def _form(body: bytes, *, allowed: set[str]) -> Json:
    try:
        form = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Refusal(
            400, code="malformed_request_parameters", message="The request body is no JSON object"
        ) from error
    for name in form:
        if name not in allowed | _IGNORED:
            raise _refuse(name, "form_param_unknown", f"{name} is not a valid parameter for this request.")
    return {
        name: _milliseconds(name, value) if name in _TIMES else value
        for name, value in form.items()
        if name in allowed
    }


def _milliseconds(name: str, value: Any) -> int:
    refusal = _refuse(name, "form_param_format_invalid", f"{name} must be an RFC 3339 time.")
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise refusal from error
    if moment.tzinfo is None:
        raise refusal
    return round(moment.timestamp() * 1000)


def _check_texts(**lists: Any) -> None:
    for name, values in lists.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise _refuse(name, "form_param_type_invalid", f"{name} must be a list of strings.")


def _check_free(roster: Roster, attribute: str, values: list[str], *, name: str) -> None:
    wanted = {value.casefold() for value in values}
    if wanted and any(wanted & set(map(str.casefold, getattr(record, attribute))) for record in roster):
        raise _refuse(name, "form_identifier_exists", f"That {name} is taken. Please try another.")


def _check_unique_texts(roster: Roster, fields: Json, *, clerk_id: str | None) -> None:
    for name in ("username", "external_id"):
        value = fields.get(name)
        if value is None:
            continue
        if any(getattr(record, name) == value and record.clerk_id != clerk_id for record in roster):
            raise _refuse(name, "form_identifier_exists", f"That {name} is taken. Please try another.")


def _refuse(name: str, code: str, message: str) -> Refusal:
    return Refusal(422, code=code, message=message, meta={"param_name": name})
