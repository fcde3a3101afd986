"""Every setting of clerksync: name, type and default, read at the moment of use.

Nothing is coerced or repaired here: a wrong value is reported by ``checks.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, Self, TypeVar, overload

from django.conf import settings as django_settings

from clerksync import problems
from clerksync.problems import Problem

T = TypeVar("T")


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


class Settings:
    """The settings of clerksync; use the one instance, ``conf.settings``."""

    CLERK_SECRET_KEY = Setting[str]("", problem=problems.text, prefix="")
    CLERK_PUBLISHABLE_KEY = Setting[str]("", problem=problems.text, prefix="")
    CLERK_JWT_KEY = Setting[str]("", problem=problems.text, prefix="")
    CLERK_WEBHOOK_SIGNING_SECRET = Setting[str | list[str] | tuple[str, ...]](
        "", problem=problems.text_or_texts, prefix=""
    )
    CLERK_API_URL = Setting[str]("https://api.clerk.com", problem=problems.text, prefix="")

    #: (connect, read) in seconds.
    API_TIMEOUT = Setting[tuple[float, float]]((3, 20), problem=problems.timeouts)
    #: Requests per 10 s that Clerk allows; None: 1000 for a live key, 100 for a test key.
    RATE_LIMIT = Setting[float | None](None, problem=problems.rate)
    #: The part of RATE_LIMIT that a sync may take.
    RATE_SHARE = Setting[float](0.5, problem=problems.share)
    #: The part of RATE_LIMIT that a web process may take.
    WEB_RATE_SHARE = Setting[float](0.1, problem=problems.share)
    #: Keep the raw JSON of each user.
    STORE_PAYLOAD = Setting[bool](True, problem=problems.boolean)
    #: Parts of a user's JSON that are never stored, for instance "private_metadata".
    EXCLUDE_FIELDS = Setting[tuple[str, ...]]((), problem=problems.strings)
    #: How many users may be deleted in 24 h because Clerk no longer shows them.
    MAX_DELETES = Setting[int | Callable[[int], int] | None](None, problem=problems.deletes)
    #: Seconds before the last scan from which changes are read once more: Clerk may list them late.
    OVERLAP = Setting[float](120, problem=problems.seconds)
    #: Seconds after which the mirror is behind if no sync has confirmed it.
    MAX_STALENESS = Setting[int](3600, problem=problems.positive)
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
        problem=problems.schedule,
    )
    #: Mail ADMINS when something goes wrong, and when it is over.
    ALERT_EMAILS = Setting[bool](True, problem=problems.boolean)
    #: Further addresses that are told, as apprise has them; each is a secret.
    ALERT_SECRET_URLS = Setting[tuple[str, ...]]((), problem=problems.addresses)
    #: So many webhook events that are parked, or failed, are a cause for alarm.
    ALERT_EVENTS = Setting[int](1, problem=problems.positive)
    #: Whoever has it may read the metrics; "": nobody.
    METRICS_TOKEN = Setting[str]("", problem=problems.text)
    #: Whoever comes straight from one of these networks may read the metrics without the token.
    METRICS_NETWORKS = Setting[tuple[str, ...]]((), problem=problems.networks)
    #: A webhook's body may not be larger.
    WEBHOOK_MAX_BYTES = Setting[int](1024 * 1024, problem=problems.positive)
    #: Days that events are kept; longer than Svix's 27.6 hours of retries.
    EVENT_RETENTION_DAYS = Setting[int](30, problem=problems.positive)
    #: The origins that may have asked for a session token; none: any may.
    AUTHORIZED_PARTIES = Setting[tuple[str, ...]]((), problem=problems.strings)
    #: Whether a session token may be silent about who asked for it; it often is.
    ALLOW_MISSING_AZP = Setting[bool](True, problem=problems.boolean)
    #: Who issues session tokens; empty: the host that the publishable key names; None: not checked.
    ISSUER = Setting[str | list[str] | tuple[str, ...] | None]("", problem=problems.issuer)
    #: For whom session tokens are; empty: not checked.
    AUDIENCE = Setting[str | list[str] | tuple[str, ...]]("", problem=problems.text_or_texts)
    #: Custom claims of the session token that tell fields of the user: where they differ, the user is read.
    CLAIM_FIELDS = Setting[dict[str, str]]({}, problem=problems.claim_fields)
    #: How a user who is not fresh is read: at once ("inline"), by a Django task, or by the drain ("mark").
    REFRESH = Setting[str]("inline", problem=problems.refresh)
    #: Seconds for which a user is fresh; 0: every request reads; None: for ever.
    REFRESH_AFTER = Setting[float | None](300, problem=problems.not_negative)
    #: Seconds that a page may wait for Clerk.
    REFRESH_TIMEOUT = Setting[float](2, problem=problems.time_limit)
    #: Below these paths Django's own session decides who the user is; None: the admin's.
    EXEMPT_PATHS = Setting[tuple[str, ...] | None](None, problem=problems.paths)
    #: Where ``clerk_login_required`` sends visitors; "": to LOGIN_URL.
    SIGN_IN_URL = Setting[str]("", problem=problems.text)
    #: Domains that are real here although the placeholder rules name them.
    REAL_DOMAINS = Setting[tuple[str, ...]]((), problem=problems.strings)
    #: Clerk's test addresses and fictional phone numbers are no placeholders.
    ALLOW_TEST_USERS = Setting[bool](False, problem=problems.boolean)
    #: Further placeholder rules.
    PLACEHOLDER_RULES = Setting[tuple[Any, ...]]((), problem=problems.rules)
    #: Tables that are audited beside the mirror: which fields hold what.
    AUDIT_MODELS = Setting[tuple[dict[str, str], ...]]((), problem=problems.tables)
    #: Link users to AUTH_USER_MODEL.
    LINK_USERS = Setting[bool](False, problem=problems.boolean)
    #: Who is linked to whom; the rules are those of ``linkrules.py``.
    LINK_BY = Setting[tuple[str, ...]]((), problem=problems.strings)
    #: Fields of AUTH_USER_MODEL, and what they are taken from.
    USER_FIELDS = Setting[dict[str, Any]]({}, problem=problems.user_fields)
    #: Keep a row for each change of a user.
    HISTORY = Setting[bool](False, problem=problems.boolean)
    #: Days that these are kept.
    HISTORY_DAYS = Setting[int](365, problem=problems.positive)
    #: What becomes of rows of deleted users: kept whole, kept without content, or removed.
    ON_DELETE = Setting[str]("keep", problem=problems.on_delete)
    #: Days after the delete until that is done; 0: by the next prune.
    ANONYMIZE_AFTER_DAYS = Setting[int](0, problem=problems.whole)
    #: What becomes of the linked Django user.
    USER_ON_DELETE = Setting[str | Callable[[Any], object]]("deactivate", problem=problems.user_on_delete)
    #: Who may read all users through the API: the dotted path of a permission of Django REST framework.
    API_PERMISSION = Setting[str]("rest_framework.permissions.IsAdminUser", problem=problems.text)
    #: Let the admin load users' pictures, which are on another host (img.clerk.com).
    ADMIN_PHOTOS = Setting[bool](False, problem=problems.boolean)
    #: Mask personal data in the admin for those who may view users but not change them.
    ADMIN_MASK = Setting[bool](False, problem=problems.boolean)

    @classmethod
    def declared(cls) -> Iterator[Setting[Any]]:
        """All settings, in the order of this file."""
        return (value for value in vars(cls).values() if isinstance(value, Setting))


settings = Settings()
