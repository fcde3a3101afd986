"""The rules of CLERKSYNC_LINK_BY: which Django users fit a row.

- ``field:NAME``: a column of theirs holds the Clerk id.
- ``external_id``: Clerk's external id is their primary key.
- ``placeholder_email``: their e-mail address is the Clerk id and a domain that no mail can
  reach (``user_x@example.com``); ``placeholder_email:DOMAIN`` names another domain.
- ``verified_email``: their e-mail address is the one that Clerk has verified.
"""

from __future__ import annotations

import string
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Left, Lower, StrIndex
from msgspec import Struct

from clerksync import mirror
from clerksync.models import ClerkUser
from clerksync.placeholders import PlaceholderRules, fold, normalise_domain

#: Candidates by Clerk id.
Candidates = Mapping[str, Sequence[AbstractBaseUser]]

#: Only ASCII: other letters that fold to ASCII ones would let strangers match.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
#: Rules of which a row that is known by its id only can tell nothing.
NEEDS_CONTENT = frozenset({"external_id", "verified_email"})


class Rule(Protocol):
    """One way to find the Django users of rows."""

    by_email: bool

    def candidates(self, rows: Sequence[ClerkUser], users: QuerySet[Any]) -> Candidates:
        """Those who fit each row."""

    def shared(self, rows: Sequence[ClerkUser]) -> set[str]:
        """The ids of rows whom further users of Clerk resemble in what the rule goes by."""


class ByField(Struct, frozen=True):
    """A column of theirs."""

    name: str
    by_email = False

    def candidates(self, rows: Sequence[ClerkUser], users: QuerySet[Any]) -> Candidates:
        """Compared exactly: Clerk's ids are case-sensitive."""
        ids = {row.pk for row in rows}
        found = users.filter(**{f"{self.name}__in": ids})
        return grouped((getattr(user, self.name), user) for user in found)

    def shared(self, rows: Sequence[ClerkUser]) -> set[str]:
        """An id is one user's."""
        return set()


class ByExternalId(Struct, frozen=True):
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


class ByPlaceholderEmail(Struct, frozen=True):
    """A made-up address; without a domain, in any that is reserved."""

    domain: str = ""
    by_email = True

    def candidates(self, rows: Sequence[ClerkUser], users: QuerySet[Any]) -> Candidates:
        """Whatever the case: many programs lower that of addresses."""
        name = email_field()
        ids = {lower(row.pk) for row in rows}
        local = Lower(Left(F(name), StrIndex(F(name), Value("@")) - 1))
        found: dict[str, list[Any]] = defaultdict(list)
        is_placeholder = self._test()
        for user in users.alias(clerksync_local=local).filter(clerksync_local__in=ids):
            text, _, domain = (getattr(user, name) or "").rpartition("@")
            if is_placeholder(normalise_domain(fold(domain))):
                found[text].append(user)
        lowered = grouped((lower(text), user) for text, group in found.items() for user in group)
        return {row.pk: found.get(row.pk) or lowered.get(lower(row.pk), []) for row in rows}

    def shared(self, rows: Sequence[ClerkUser]) -> set[str]:
        """Ids that differ by case only."""
        ids = {lower(row.pk) for row in rows}
        alike = (
            clerk_users()
            .alias(lowered=Lower("clerk_id"))
            .filter(lowered__in=ids)
            .values_list("pk", flat=True)
        )
        by_id = grouped((lower(clerk_id), clerk_id) for clerk_id in alike)
        return {row.pk for row in rows if len(by_id.get(lower(row.pk), ())) > 1}

    def _test(self) -> Callable[[str], bool]:
        if self.domain:
            return normalise_domain(fold(self.domain)).__eq__
        return PlaceholderRules.from_settings().is_reserved


class ByVerifiedEmail(Struct, frozen=True):
    """The primary address, if Clerk has verified it: an unverified one may be anybody's."""

    by_email = True

    def candidates(self, rows: Sequence[ClerkUser], users: QuerySet[Any]) -> Candidates:
        """Whatever the case."""
        name = email_field()
        emails = {row.pk: row.email for row in rows if row.email and row.email_verified}
        lowered = {lower(email) for email in emails.values()}
        fits = Q(clerksync_lowered__in=lowered) | Q(**{f"{name}__in": set(emails.values())})
        found = users.alias(clerksync_lowered=Lower(name)).filter(fits) if emails else ()
        by_email = grouped((lower(getattr(user, name)), user) for user in found)
        return {clerk_id: by_email.get(lower(email), []) for clerk_id, email in emails.items()}

    def shared(self, rows: Sequence[ClerkUser]) -> set[str]:
        """An address may have moved, and a row not know it yet."""
        spellings = {spelling for row in rows for spelling in (row.email, lower(row.email or ""))}
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
    alike = clerk_users().exclude(state=ClerkUser.State.DELETED).filter(fits).values_list(name, "pk")
    by_value = grouped((lower(value), clerk_id) for value, clerk_id in alike)
    return {row.pk for row in rows if len(by_value.get(lower(getattr(row, name)), ())) > 1}


def clerk_users() -> QuerySet[ClerkUser]:
    """All rows, where the mirror writes."""
    return ClerkUser.objects.using(mirror.database())


def grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    """The second parts by the first ones."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def lower(text: str) -> str:
    """ASCII letters in lower case."""
    return text.translate(_LOWER)
