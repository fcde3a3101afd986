"""Every setting of clerksync: name, type and default, read at the moment of use.

Nothing is coerced or repaired here: a wrong value is reported by ``checks.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any, Generic, Self, TypeVar, overload

from django.conf import settings as django_settings

T = TypeVar("T")

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


class Setting(Generic[T]):
    """One setting: a descriptor that reads Django's settings each time it is asked."""

    def __init__(self, default: T, *, problem: Callable[[Any], Problem], prefix: str = "CLERKSYNC_"):
        self.default = default
        self.problem = problem
        self.prefix = prefix
        self.name = ""

    def __set_name__(self, owner: type[Settings], name: str) -> None:
        self.name = name if self.prefix == "" else self.prefix + name

    @overload
    def __get__(self, instance: None, owner: type[Settings]) -> Self: ...
    @overload
    def __get__(self, instance: Settings, owner: type[Settings]) -> T: ...
    def __get__(self, instance: Settings | None, owner: type[Settings]) -> Self | T:
        if instance is None:
            return self
        value: T = getattr(django_settings, self.name, self.default)
        return value


def _text(value: object) -> Problem:
    return None if isinstance(value, str) else "must be a string"


def _text_or_texts(value: object) -> Problem:
    if isinstance(value, str):
        return None
    return _strings(value)


def _strings(value: object) -> Problem:
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(item, str) for item in value):
        return None
    return "must be a list or tuple of strings"


def _issuer(value: object) -> Problem:
    if value is None or isinstance(value, str) or _strings(value) is None:
        return None
    return "must be a string, a list or tuple of strings, or None"


def _boolean(value: object) -> Problem:
    return None if isinstance(value, bool) else "must be True or False"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _positive(value: object) -> Problem:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return None
    return "must be a whole number above 0"


def _timeouts(value: object) -> Problem:
    if (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(_is_number(part) and part > 0 for part in value)
    ):
        return None
    return "must be two positive numbers of seconds: (connect, read)"


def _rate(value: object) -> Problem:
    if value is None or (_is_number(value) and value > 0):  # type: ignore[operator]  # just tested
        return None
    return "must be a positive number of requests per 10 seconds, or None"


def _share(value: object) -> Problem:
    if _is_number(value) and 0 < value <= 1:  # type: ignore[operator]  # just tested
        return None
    return "must be a number above 0 and at most 1"


def _seconds(value: object) -> Problem:
    if _is_number(value) and value >= 0:  # type: ignore[operator]  # just tested
        return None
    return "must be a number of seconds, 0 or more"


def _networks(value: object) -> Problem:
    if _strings(value) is None:
        try:
            for network in value:  # type: ignore[attr-defined]  # just tested
                ip_network(network)
        except ValueError:
            pass
        else:
            return None
    return "must be a list or tuple of networks such as 10.0.0.0/8 or ::1"


def _addresses(value: object) -> Problem:
    if _strings(value) is None and all("://" in address for address in value):  # type: ignore[attr-defined]  # just tested
        return None
    return "must be a list or tuple of addresses of apprise, each like service://..."


def _deletes(value: object) -> Problem:
    if value is None or callable(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return None
    return "must be a whole number, a callable that takes the number of active users, or None"


def _refresh(value: object) -> Problem:
    return None if value in ("inline", "task", "mark") else "must be 'inline', 'task' or 'mark'"


def _not_negative(value: object) -> Problem:
    if value is None or (_is_number(value) and value >= 0):  # type: ignore[operator]  # just tested
        return None
    return "must be a number of seconds, 0 or more, or None"


def _time_limit(value: object) -> Problem:
    if _is_number(value) and value > 0:  # type: ignore[operator]  # just tested
        return None
    return "must be a number of seconds above 0"


def _claim_fields(value: object) -> Problem:
    if not isinstance(value, dict) or not all(isinstance(claim, str) for claim in value):
        return "must be a dict of names of claims to names of fields"
    unknown = [str(field) for field in value.values() if field not in CLAIMABLE]
    if unknown:
        return f"knows no field {unknown[0]!r}; there are {', '.join(CLAIMABLE)}"
    return None


def _paths(value: object) -> Problem:
    if value is None or _strings(value) is None:
        return None
    return "must be a list or tuple of strings, or None for the admin's path"


def _rules(value: object) -> Problem:
    if isinstance(value, (list, tuple)) and all(callable(rule) or isinstance(rule, str) for rule in value):
        return None
    return "must be a list or tuple of callables or dotted paths of callables"


def _tables(value: object) -> Problem:
    if isinstance(value, (list, tuple)) and all(
        isinstance(entry, dict) and all(isinstance(part, str) for pair in entry.items() for part in pair)
        for entry in value
    ):
        return None
    return "must be a list or tuple of dicts of strings"


def _user_fields(value: object) -> Problem:
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


def _on_delete(value: object) -> Problem:
    return None if value in ("keep", "anonymize", "delete") else "must be 'keep', 'anonymize' or 'delete'"


def _whole(value: object) -> Problem:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return None
    return "must be a whole number, 0 or more"


def _user_on_delete(value: object) -> Problem:
    if value in ("deactivate", "leave") or callable(value) or (isinstance(value, str) and "." in value):
        return None
    return "must be 'deactivate', 'leave', a callable or the dotted path of one"


def _schedule(value: object) -> Problem:
    if isinstance(value, dict) and all(
        isinstance(part, str) and (expression is None or isinstance(expression, str))
        for part, expression in value.items()
    ):
        return None
    return "must be a dict of parts to cron expressions, or to None for off"


class Settings:
    """The settings of clerksync; use the one instance, ``conf.settings``."""

    CLERK_SECRET_KEY = Setting[str]("", problem=_text, prefix="")
    CLERK_PUBLISHABLE_KEY = Setting[str]("", problem=_text, prefix="")
    CLERK_JWT_KEY = Setting[str]("", problem=_text, prefix="")
    CLERK_WEBHOOK_SIGNING_SECRET = Setting[str | list[str] | tuple[str, ...]](
        "", problem=_text_or_texts, prefix=""
    )
    CLERK_API_URL = Setting[str]("https://api.clerk.com", problem=_text, prefix="")

    #: (connect, read) in seconds.
    API_TIMEOUT = Setting[tuple[float, float]]((3, 20), problem=_timeouts)
    #: Requests per 10 s that Clerk allows; None: 1000 for a live key, 100 for a test key.
    RATE_LIMIT = Setting[float | None](None, problem=_rate)
    #: The part of RATE_LIMIT that a sync may take.
    RATE_SHARE = Setting[float](0.5, problem=_share)
    #: The part of RATE_LIMIT that a web process may take.
    WEB_RATE_SHARE = Setting[float](0.1, problem=_share)
    #: Keep the raw JSON of each user.
    STORE_PAYLOAD = Setting[bool](True, problem=_boolean)
    #: Parts of a user's JSON that are never stored, for instance "private_metadata".
    EXCLUDE_FIELDS = Setting[tuple[str, ...]]((), problem=_strings)
    #: How many users may be deleted in 24 h because Clerk no longer shows them.
    MAX_DELETES = Setting[int | Callable[[int], int] | None](None, problem=_deletes)
    #: Seconds before the last scan from which changes are read once more: Clerk may list them late.
    OVERLAP = Setting[float](120, problem=_seconds)
    #: Seconds after which the mirror is behind if no sync has confirmed it.
    MAX_STALENESS = Setting[int](3600, problem=_positive)
    #: When the parts run, as cron expressions in the project's time zone; None: not at all.
    SCHEDULE = Setting[dict[str, str | None]](
        {
            "incremental": "*/5 * * * *",
            "full": "0 0 * * *",
            "pending": "* * * * *",
            "events": "*/10 * * * *",
            "prune": "30 1 * * *",
            "audit": "0 3 * * 0",
        },
        problem=_schedule,
    )
    #: Mail ADMINS when something goes wrong, and when it is over.
    ALERT_EMAILS = Setting[bool](True, problem=_boolean)
    #: Further addresses that are told, as apprise has them; each is a secret.
    ALERT_SECRET_URLS = Setting[tuple[str, ...]]((), problem=_addresses)
    #: So many webhook events that are parked, or failed, are a cause for alarm.
    ALERT_EVENTS = Setting[int](1, problem=_positive)
    #: Whoever has it may read the metrics; "": nobody.
    METRICS_TOKEN = Setting[str]("", problem=_text)
    #: Whoever comes straight from one of these networks may read the metrics without the token.
    METRICS_NETWORKS = Setting[tuple[str, ...]]((), problem=_networks)
    #: A webhook's body may not be larger.
    WEBHOOK_MAX_BYTES = Setting[int](1024 * 1024, problem=_positive)
    #: Days that events are kept; longer than Svix's 27.6 hours of retries.
    EVENT_RETENTION_DAYS = Setting[int](30, problem=_positive)
    #: The origins that may have asked for a session token; none: any may.
    AUTHORIZED_PARTIES = Setting[tuple[str, ...]]((), problem=_strings)
    #: Whether a session token may be silent about who asked for it; it often is.
    ALLOW_MISSING_AZP = Setting[bool](True, problem=_boolean)
    #: Who issues session tokens; empty: the host that the publishable key names; None: not checked.
    ISSUER = Setting[str | list[str] | tuple[str, ...] | None]("", problem=_issuer)
    #: For whom session tokens are; empty: not checked.
    AUDIENCE = Setting[str | list[str] | tuple[str, ...]]("", problem=_text_or_texts)
    #: Custom claims of the session token that tell fields of the user: where they differ, the user is read.
    CLAIM_FIELDS = Setting[dict[str, str]]({}, problem=_claim_fields)
    #: How a user who is not fresh is read: at once ("inline"), by a Django task, or by the drain ("mark").
    REFRESH = Setting[str]("inline", problem=_refresh)
    #: Seconds for which a user is fresh; 0: every request reads; None: for ever.
    REFRESH_AFTER = Setting[float | None](300, problem=_not_negative)
    #: Seconds that a page may wait for Clerk.
    REFRESH_TIMEOUT = Setting[float](2, problem=_time_limit)
    #: Below these paths Django's own session decides who the user is; None: the admin's.
    EXEMPT_PATHS = Setting[tuple[str, ...] | None](None, problem=_paths)
    #: Where ``clerk_login_required`` sends visitors; "": to LOGIN_URL.
    SIGN_IN_URL = Setting[str]("", problem=_text)
    #: Domains that are real here although the placeholder rules name them.
    REAL_DOMAINS = Setting[tuple[str, ...]]((), problem=_strings)
    #: Clerk's test addresses and fictional phone numbers are no placeholders.
    ALLOW_TEST_USERS = Setting[bool](False, problem=_boolean)
    #: Further placeholder rules.
    PLACEHOLDER_RULES = Setting[tuple[Any, ...]]((), problem=_rules)
    #: Tables that are audited beside the mirror: which fields hold what.
    AUDIT_MODELS = Setting[tuple[dict[str, str], ...]]((), problem=_tables)
    #: Link users to AUTH_USER_MODEL.
    LINK_USERS = Setting[bool](False, problem=_boolean)
    #: Who is linked to whom; the rules are those of ``linkrules.py``.
    LINK_BY = Setting[tuple[str, ...]]((), problem=_strings)
    #: Fields of AUTH_USER_MODEL, and what they are taken from.
    USER_FIELDS = Setting[dict[str, Any]]({}, problem=_user_fields)
    #: Keep a row for each change of a user.
    HISTORY = Setting[bool](False, problem=_boolean)
    #: Days that these are kept.
    HISTORY_DAYS = Setting[int](365, problem=_positive)
    #: What becomes of rows of deleted users: kept whole, kept without content, or removed.
    ON_DELETE = Setting[str]("keep", problem=_on_delete)
    #: Days after the delete until that is done; 0: by the next prune.
    ANONYMIZE_AFTER_DAYS = Setting[int](0, problem=_whole)
    #: What becomes of the linked Django user.
    USER_ON_DELETE = Setting[str | Callable[[Any], object]]("deactivate", problem=_user_on_delete)
    #: Who may read all users through the API: the dotted path of a permission of Django REST framework.
    API_PERMISSION = Setting[str]("rest_framework.permissions.IsAdminUser", problem=_text)
    #: Let the admin load users' pictures, which are on another host (img.clerk.com).
    ADMIN_PHOTOS = Setting[bool](False, problem=_boolean)
    #: Mask personal data in the admin for those who may view users but not change them.
    ADMIN_MASK = Setting[bool](False, problem=_boolean)

    @classmethod
    def declared(cls) -> Iterator[Setting[Any]]:
        """All settings, in the order of this file."""
        return (value for value in vars(cls).values() if isinstance(value, Setting))


settings = Settings()
