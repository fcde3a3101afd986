"""The search for users: by the beginning of what an index holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import chain
from operator import or_
from typing import Any

from django.db import connections
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from clerksync.models import SHORT_NAMES, ClerkUser

FIELDS = ("clerk_id", "email", "username", "external_id", "first_name", "last_name")
_EXACT_FIELDS = ("clerk_id", "email", "username", "external_id")
MAX_WORDS = 5
_ID_BEGINS = "user_"
#: Comes after every character that a text can go on with.
_LAST = "\U0010ffff"
#: Nobody reads on from there; whoever finds one more knows that there are more.
MAX_FOUND = 10_000
_ENOUGH = MAX_FOUND + 1

HELP = _(
    "The beginning of the Clerk id, e-mail address, username, external id, first or last name. "
    "What stands in the middle is not found: no index of a large table could serve that."
)
EXACT_HELP = _("The whole Clerk id, e-mail address, username or external id.")

Users = QuerySet[ClerkUser]


def help_text(*, exact: bool) -> str:
    """What to type."""
    return str(EXACT_HELP if exact else HELP)


def search(users: Users, term: str, *, exact: bool) -> Users:
    """The users of whom every word, or the whole term, begins one of the columns.

    Args:
        users: Where to look.
        term: As it was typed.
        exact: Whether whole values only count. Who sees them masked could else find them out,
            letter by letter.
    """
    words = term.split()
    if not words:
        return users
    if exact:
        return users.filter(
            any_of(Q(**{f"{name}__in": {term.strip(), term.strip().lower()}}) for name in _EXACT_FIELDS)
        )
    # By the ids, for else the databases walk over all users in the order of the list.
    return users.filter(pk__in=find(ClerkUser.objects.using(users.db), term))


def find(everyone: Users, term: str) -> list[str]:
    """The ids of those who fit, and no more than tell that there are more than ``MAX_FOUND``."""
    words = term.split()
    parts = _parts(everyone, " ".join(words))
    if len(words) > 1:
        parts = chain(parts, [_with_all(everyone, words[:MAX_WORDS])])
    found: dict[str, None] = {}
    for part in parts:
        found |= dict.fromkeys(part.values_list("pk", flat=True)[:_ENOUGH])
        if len(found) >= _ENOUGH:
            break
    return list(found)


def _with_all(everyone: Users, words: list[str]) -> Users:
    """The users with all words: found by the longest, which fits the fewest, and then looked through."""
    longest, *others = sorted(words, key=len, reverse=True)
    found = everyone.filter(pk__in=_union(_parts(everyone, longest)))
    for word in others:
        found = found.filter(any_of(Q(**{f"{name}__istartswith": word}) for name in FIELDS))
    return found


def _parts(everyone: Users, text: str) -> Iterator[Users]:
    """The users of whom one column begins so; each part is one look into one index."""
    is_sqlite = connections[everyone.db].vendor == "sqlite"
    for name in FIELDS[:-1]:
        rows = everyone.filter(SHORT_NAMES) if name == "first_name" else everyone
        for spelling in _spellings(name, text):
            yield rows.filter(begins(name, spelling, is_sqlite=is_sqlite))
    by_last_name = any_of(
        begins("last_name", spelling, is_sqlite=is_sqlite) for spelling in _spellings("last_name", text)
    )
    # The second column of the index of names, which is looked through. SQLite does so only if it
    # is told something of the first column.
    for hint in [Q(first_name__gte=""), Q(first_name__isnull=True)] if is_sqlite else [Q()]:
        yield everyone.filter(SHORT_NAMES, hint, by_last_name)


def _spellings(name: str, text: str) -> set[str]:
    """The text as such values are usually written: to ignore case would be to ignore the index."""
    match name:
        case "clerk_id":  # the beginning that all ids share says nothing
            return {text} if len(text) > len(_ID_BEGINS) else set()
        case "email" | "username":
            return {text, text.lower()}
        case "external_id":
            return {text}
        case _:
            *first, last = text.lower().split()
            return {text, text.lower(), text.title(), text.capitalize(), " ".join([*first, last.title()])}


def begins(name: str, text: str, *, is_sqlite: bool) -> Q:
    """A beginning as each database looks it up in an index; SQLite's LIKE ignores case, so not by that."""
    if is_sqlite:
        return Q(**{f"{name}__gte": text, f"{name}__lt": text + _LAST})
    return Q(**{f"{name}__startswith": text})


def any_of(conditions: Iterable[Q]) -> Q:
    """The conditions joined by OR."""
    return reduce(or_, conditions)


def _union(parts: Iterable[Users]) -> QuerySet[Any]:
    first, *others = (part.values("pk") for part in parts)
    return first.union(*others)
