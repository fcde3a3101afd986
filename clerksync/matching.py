"""CLERKSYNC_LINK_BY: which Django user a row belongs to.

- ``field:NAME``: a column of theirs holds the Clerk id.
- ``external_id``: Clerk's external id is their primary key.
- ``placeholder_email``: their e-mail address is the Clerk id and a domain that no mail can
  reach (``user_x@example.com``); ``placeholder_email:DOMAIN`` names another domain.
- ``verified_email``: their e-mail address is the one that Clerk has verified.

The first rule that fits decides. What fits several is linked to nobody, and staff is never
linked by e-mail: whoever can have an address verified would get their rights.
"""

from __future__ import annotations

import string
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Left, Lower, StrIndex

from clerksync import mirror
from clerksync.conf import settings
from clerksync.linkreports import ProblemKind, told
from clerksync.models import ClerkUser
from clerksync.placeholders import PlaceholderRules, fold, normalise_domain

#: Candidates by Clerk id.
Candidates = Mapping[str, Sequence[AbstractBaseUser]]

#: Only ASCII: other letters that fold to ASCII ones would let strangers match.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
#: Rules of which a row that is known by its id only can tell nothing.
NEEDS_CONTENT = frozenset({"external_id", "verified_email"})


@dataclass(frozen=True, slots=True)
class Match:
    """The Django user, or why nobody is linked; ``kind`` is None if the rules found the user.

    ``holder`` is the id of the tombstone that the Django user is to be taken from.
    """

    user: AbstractBaseUser | None
    kind: ProblemKind | None = None
    reason: str = ""
    holder: str | None = None

    @property
    def may_create(self) -> bool:
        """Whether the user of Clerk may have a new Django user instead."""
        return self.kind is ProblemKind.STAFF


class Rule(Protocol):
    """One way to find the Django users of rows."""

    by_email: bool

    def candidates(self, rows: Sequence[ClerkUser], users: QuerySet[Any]) -> Candidates:
        """Those who fit each row."""

    def shared(self, rows: Sequence[ClerkUser]) -> set[str]:
        """The ids of rows whom further users of Clerk resemble in what the rule goes by."""


@dataclass(frozen=True, slots=True)
class ByField:
    """A column of theirs."""

    name: str
    by_email = False

    def candidates(self, rows: Sequence[ClerkUser], users: QuerySet[Any]) -> Candidates:
        """Compared exactly: Clerk's ids are case-sensitive."""
        ids = {row.pk for row in rows}
        found = users.filter(**{f"{self.name}__in": ids})
        return _grouped((getattr(user, self.name), user) for user in found)

    def shared(self, rows: Sequence[ClerkUser]) -> set[str]:
        """An id is one user's."""
        return set()


@dataclass(frozen=True, slots=True)
class ByExternalId:
    """Their primary key."""

    by_email = False

    def candidates(self, rows: Sequence[ClerkUser], users: QuerySet[Any]) -> Candidates:
        """Only what is written as their primary key is written: 7, not 07."""
        keys = {row.pk: key for row in rows if (key := _primary_key(row.external_id)) is not None}
        found = users.in_bulk(set(keys.values())) if keys else {}
        return {clerk_id: [found[key]] for clerk_id, key in keys.items() if key in found}

    def shared(self, rows: Sequence[ClerkUser]) -> set[str]:
        """An external id may have moved, and a row not know it yet."""
        return _shared(rows, "external_id", Q(external_id__in={row.external_id for row in rows}))


@dataclass(frozen=True, slots=True)
class ByPlaceholderEmail:
    """A made-up address; without a domain, in any that is reserved."""

    domain: str = ""
    by_email = True

    def candidates(self, rows: Sequence[ClerkUser], users: QuerySet[Any]) -> Candidates:
        """Whatever the case: many programs lower that of addresses."""
        name = email_field()
        ids = {_lower(row.pk) for row in rows}
        local = Lower(Left(F(name), StrIndex(F(name), Value("@")) - 1))
        found: dict[str, list[Any]] = defaultdict(list)
        is_placeholder = self._test()
        for user in users.alias(clerksync_local=local).filter(clerksync_local__in=ids):
            text, _, domain = (getattr(user, name) or "").rpartition("@")
            if is_placeholder(normalise_domain(fold(domain))):
                found[text].append(user)
        lowered = _grouped((_lower(text), user) for text, group in found.items() for user in group)
        return {row.pk: found.get(row.pk) or lowered.get(_lower(row.pk), []) for row in rows}

    def shared(self, rows: Sequence[ClerkUser]) -> set[str]:
        """Ids that differ by case only."""
        ids = {_lower(row.pk) for row in rows}
        alike = _users().alias(lowered=Lower("clerk_id")).filter(lowered__in=ids).values_list("pk", flat=True)
        by_id = _grouped((_lower(clerk_id), clerk_id) for clerk_id in alike)
        return {row.pk for row in rows if len(by_id.get(_lower(row.pk), ())) > 1}

    def _test(self) -> Callable[[str], bool]:
        if self.domain:
            return normalise_domain(fold(self.domain)).__eq__
        return PlaceholderRules.from_settings().is_reserved


@dataclass(frozen=True, slots=True)
class ByVerifiedEmail:
    """The primary address, if Clerk has verified it: an unverified one may be anybody's."""

    by_email = True

    def candidates(self, rows: Sequence[ClerkUser], users: QuerySet[Any]) -> Candidates:
        """Whatever the case."""
        name = email_field()
        emails = {row.pk: row.email for row in rows if row.email and row.email_verified}
        lowered = {_lower(email) for email in emails.values()}
        fits = Q(clerksync_lowered__in=lowered) | Q(**{f"{name}__in": set(emails.values())})
        found = users.alias(clerksync_lowered=Lower(name)).filter(fits) if emails else ()
        by_email = _grouped((_lower(getattr(user, name)), user) for user in found)
        return {clerk_id: by_email.get(_lower(email), []) for clerk_id, email in emails.items()}

    def shared(self, rows: Sequence[ClerkUser]) -> set[str]:
        """An address may have moved, and a row not know it yet."""
        spellings = {spelling for row in rows for spelling in (row.email, _lower(row.email or ""))}
        return _shared(rows, "email", Q(email__in=spellings, email_verified=True))


def parse_rule(text: str) -> Rule:
    """The rule of this name.

    Raises:
        ValueError: There is none.
    """
    name, _, argument = text.partition(":")
    match name, argument:
        case "field", str() if argument:
            return ByField(argument)
        case "external_id", "":
            return ByExternalId()
        case "placeholder_email", _:
            return ByPlaceholderEmail(argument)
        case "verified_email", "":
            return ByVerifiedEmail()
        case _:
            raise ValueError(text)


def match(rows: Sequence[ClerkUser]) -> dict[str, Match]:
    """Who belongs to these rows, by Clerk id; rows that fit nobody are not in it."""
    users = get_user_model()._default_manager.using(mirror.database())
    found: dict[str, Match] = {}
    for text in settings.LINK_BY:
        undecided = [row for row in rows if row.pk not in found or found[row.pk].may_create]
        if undecided:
            found |= _judge(undecided, parse_rule(text), text, users)
    return _without_doubles(found)


def _judge(rows: Sequence[ClerkUser], rule: Rule, text: str, users: QuerySet[Any]) -> dict[str, Match]:
    candidates = {clerk_id: group for clerk_id, group in rule.candidates(rows, users).items() if group}
    fitting = [row for row in rows if row.pk in candidates]
    if not fitting:
        return {}
    shared, holders = rule.shared(fitting), _holders(candidates)
    found = {}
    for row in fitting:
        group = candidates[row.pk]
        if len(group) > 1 or row.pk in shared:
            pks = ", ".join(sorted(told(user.pk) for user in group))
            why = (
                f"{text}: Django users {pks}"
                if len(group) > 1
                else f"{text}: several users of Clerk fit {pks}"
            )
            found[row.pk] = Match(None, ProblemKind.AMBIGUOUS, why)
        elif (verdict := _judge_one(row, group[0], holders.get(group[0].pk), rule, text)) is not None:
            found[row.pk] = verdict
    return found


def _holders(candidates: Candidates) -> dict[Any, ClerkUser]:
    """The rows that candidates are linked to; a join would cost more, or all, by what is known of the tables."""
    pks = {user.pk for group in candidates.values() for user in group}
    rows = _users().filter(user__in=pks).only("clerk_id", "state", "email", "user_id")
    return {row.user_id: row for row in rows}


def _judge_one(
    row: ClerkUser, user: AbstractBaseUser, holder: ClerkUser | None, rule: Rule, text: str
) -> Match | None:
    """The verdict about the only candidate; None if somebody else is linked, with good reason."""
    if holder is not None and holder.state != ClerkUser.State.DELETED:
        if isinstance(rule, ByVerifiedEmail) and _lower(row.email or "") != _lower(holder.email or ""):
            return None
        return Match(user, ProblemKind.TAKEN, f"{text}: Django user {told(user.pk)} is linked to {holder.pk}")
    if rule.by_email and (getattr(user, "is_staff", False) or getattr(user, "is_superuser", False)):
        return Match(
            user, ProblemKind.STAFF, f"{text}: Django user {told(user.pk)} is staff; link it by hand"
        )
    return Match(user, holder=holder.pk if holder else None)


def _without_doubles(found: dict[str, Match]) -> dict[str, Match]:
    """Nobody is linked to a Django user whom several rows fit."""
    by_user = _grouped((match.user.pk, clerk_id) for clerk_id, match in found.items() if match.user)
    for pk, clerk_ids in by_user.items():
        if len(clerk_ids) > 1:
            why = f"Django user {told(pk)} fits {', '.join(sorted(clerk_ids))}"
            found |= dict.fromkeys(clerk_ids, Match(None, ProblemKind.AMBIGUOUS, why))
    return found


def email_field() -> str:
    """The name of their column of e-mail addresses."""
    return get_user_model().get_email_field_name()


def _primary_key(text: str | None) -> Any:
    """The primary key that the text is, or None."""
    field = get_user_model()._meta.pk
    if not text or field is None:
        return None
    try:
        key = field.to_python(text)
        field.run_validators(key)
    except ValidationError:
        return None
    return key if str(key) == (text.lower() if isinstance(key, UUID) else text) else None


def _shared(rows: Sequence[ClerkUser], name: str, fits: Q) -> set[str]:
    alike = _users().exclude(state=ClerkUser.State.DELETED).filter(fits).values_list(name, "pk")
    by_value = _grouped((_lower(value), clerk_id) for value, clerk_id in alike)
    return {row.pk for row in rows if len(by_value.get(_lower(getattr(row, name)), ())) > 1}


def _users() -> QuerySet[ClerkUser]:
    return ClerkUser.objects.using(mirror.database())


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def _lower(text: str) -> str:
    return text.translate(_LOWER)
