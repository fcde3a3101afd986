"""Users with placeholder data, found among a million.

The rules are Python and look at every character, so the database can only propose: by what the
indexes of addresses and names hold, which takes a fraction of a second, where the table itself would
take ten. The rules then judge the proposed. So whoever is found does have placeholder data, by the
project's own rules too; but phone numbers, unusual spellings and further rules are not looked for.
The audit looks at everything.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connections
from django.db.models import Q, QuerySet
from django.db.models.functions import Right

from clerksync.admin.paging import BoundedPaginator
from clerksync.models import SHORT_NAMES, ClerkUser
from clerksync.placeholders import NEVER_A_NAME, RARELY_A_NAME, RESERVED_DOMAINS, PlaceholderRules
from clerksync.searching import any_of, begins

Users = QuerySet[ClerkUser]

_LIMIT = BoundedPaginator.LIMIT
#: The length of the shortest ending, ``.test``.
_LAST = 5
_JUDGED = ("clerk_id", "email", "first_name", "last_name", "username", "phone_number")
_STAND_INS = sorted(
    {
        spelling
        for words in NEVER_A_NAME | RARELY_A_NAME
        for spelling in (words, words.title(), words.upper(), words.capitalize())
    }
)


def find_suspects(using: str) -> list[str]:
    """The ids of users with placeholder data, as many as are paged through."""
    rules = PlaceholderRules.from_settings()
    proposed = (
        row for part in _parts(ClerkUser.objects.using(using)) for row in part.values(*_JUDGED)[:_LIMIT]
    )
    found = dict.fromkeys(row["clerk_id"] for row in proposed if rules.find(**row))
    return list(found)[:_LIMIT]


def _parts(everyone: Users) -> Iterator[Users]:
    """Each is one walk through one index; SQLite takes it only if told something of its first column."""
    is_sqlite = connections[everyone.db].vendor == "sqlite"
    yield _in_reserved_domains(everyone)
    for name in ("email", "username"):
        yield everyone.filter(begins(name, "user_", is_sqlite=is_sqlite))
    named = everyone.filter(SHORT_NAMES)
    yield named.filter(begins("first_name", "user_", is_sqlite=is_sqlite))
    yield named.filter(first_name__in=_STAND_INS)
    yield named.filter(Q(first_name__gte="") if is_sqlite else Q(), last_name__in=_STAND_INS)
    yield named.filter(first_name__isnull=True, last_name__in=_STAND_INS)


def _in_reserved_domains(everyone: Users) -> Users:
    """The last characters first: they are compared for everybody, whole endings for a few.

    The subquery asks for addresses only, so that the index alone answers it.
    """
    endings = [f"{before}{domain}" for domain in RESERVED_DOMAINS for before in "@."]
    ends = any_of(Q(email__endswith=ending) for ending in endings)
    last = sorted({ending[-_LAST:] for ending in endings})
    addresses = everyone.alias(last=Right("email", _LAST)).filter(last__in=last).filter(ends)
    return everyone.filter(email__in=addresses.values("email")[:_LIMIT])
