"""What is wrong with the value of a setting, in words that follow its name; None if nothing is.

One function for each kind of value. They test the type, and what can be said without a database.
"""

from __future__ import annotations

from ipaddress import ip_network

Problem = str | None

#: Fields of a user that a custom claim of the session token may tell.
CLAIMABLE = (
    "email",
    "email_verified",
    "external_id",
    "first_name",
    "full_name",
    "image_url",
    "last_name",
    "phone_number",
    "updated_at",
    "username",
)


def text(value: object) -> Problem:
    return None if isinstance(value, str) else "must be a string"


def text_or_texts(value: object) -> Problem:
    if isinstance(value, str):
        return None
    return strings(value)


def strings(value: object) -> Problem:
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(item, str) for item in value):
        return None
    return "must be a list or tuple of strings"


def issuer(value: object) -> Problem:
    if value is None or isinstance(value, str) or strings(value) is None:
        return None
    return "must be a string, a list or tuple of strings, or None"


def boolean(value: object) -> Problem:
    return None if isinstance(value, bool) else "must be True or False"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def positive(value: object) -> Problem:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return None
    return "must be a whole number above 0"


def timeouts(value: object) -> Problem:
    if (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(_is_number(part) and part > 0 for part in value)
    ):
        return None
    return "must be two positive numbers of seconds: (connect, read)"


def rate(value: object) -> Problem:
    if value is None or (_is_number(value) and value > 0):  # type: ignore[operator]  # just tested
        return None
    return "must be a positive number of requests per 10 seconds, or None"


def share(value: object) -> Problem:
    if _is_number(value) and 0 < value <= 1:  # type: ignore[operator]  # just tested
        return None
    return "must be a number above 0 and at most 1"


def seconds(value: object) -> Problem:
    if _is_number(value) and value >= 0:  # type: ignore[operator]  # just tested
        return None
    return "must be a number of seconds, 0 or more"


def networks(value: object) -> Problem:
    if strings(value) is None:
        try:
            for network in value:  # type: ignore[attr-defined]  # just tested
                ip_network(network)
        except ValueError:
            pass
        else:
            return None
    return "must be a list or tuple of networks such as 10.0.0.0/8 or ::1"


def addresses(value: object) -> Problem:
    if strings(value) is None and all("://" in address for address in value):  # type: ignore[attr-defined]  # just tested
        return None
    return "must be a list or tuple of addresses of apprise, each like service://..."


def deletes(value: object) -> Problem:
    if value is None or callable(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return None
    return "must be a whole number, a callable that takes the number of active users, or None"


def refresh(value: object) -> Problem:
    return None if value in ("inline", "task", "mark") else "must be 'inline', 'task' or 'mark'"


def not_negative(value: object) -> Problem:
    if value is None or (_is_number(value) and value >= 0):  # type: ignore[operator]  # just tested
        return None
    return "must be a number of seconds, 0 or more, or None"


def time_limit(value: object) -> Problem:
    if _is_number(value) and value > 0:  # type: ignore[operator]  # just tested
        return None
    return "must be a number of seconds above 0"


def claim_fields(value: object) -> Problem:
    if not isinstance(value, dict) or not all(isinstance(claim, str) for claim in value):
        return "must be a dict of names of claims to names of fields"
    unknown = [str(field) for field in value.values() if field not in CLAIMABLE]
    if unknown:
        return f"knows no field {unknown[0]!r}; there are {', '.join(CLAIMABLE)}"
    return None


def paths(value: object) -> Problem:
    if value is None or strings(value) is None:
        return None
    return "must be a list or tuple of strings, or None for the admin's path"


def rules(value: object) -> Problem:
    if isinstance(value, (list, tuple)) and all(callable(rule) or isinstance(rule, str) for rule in value):
        return None
    return "must be a list or tuple of callables or dotted paths of callables"


def tables(value: object) -> Problem:
    if isinstance(value, (list, tuple)) and all(
        isinstance(entry, dict) and all(isinstance(part, str) for pair in entry.items() for part in pair)
        for entry in value
    ):
        return None
    return "must be a list or tuple of dicts of strings"


def user_fields(value: object) -> Problem:
    if isinstance(value, dict) and all(
        isinstance(name, str) and _is_user_field(source) for name, source in value.items()
    ):
        return None
    return 'must be a dict of field names to a column, (column, "always" or "blank") or a callable'


def _is_user_field(source: object) -> bool:
    match source:
        case str():
            return True
        case (str(), "always" | "blank"):
            return True
        case _:
            return callable(source)


def on_delete(value: object) -> Problem:
    return None if value in ("keep", "anonymize", "delete") else "must be 'keep', 'anonymize' or 'delete'"


def whole(value: object) -> Problem:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return None
    return "must be a whole number, 0 or more"


def user_on_delete(value: object) -> Problem:
    if value in ("deactivate", "leave") or callable(value) or (isinstance(value, str) and "." in value):
        return None
    return "must be 'deactivate', 'leave', a callable or the dotted path of one"


def schedule(value: object) -> Problem:
    if isinstance(value, dict) and all(
        isinstance(part, str) and (expression is None or isinstance(expression, str))
        for part, expression in value.items()
    ):
        return None
    return "must be a dict of parts to cron expressions, or to None for off"
