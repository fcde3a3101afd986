"""The search for users: by the beginning of what an index holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import chain, product
from operator import and_, or_

from django.db import connections
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext_lazy as _

from clerksync.models import SHORT_NAMES, ClerkUser

FIELDS = ("clerk_id", "email", "username", "external_id", "first_name", "last_name")
_NAMES = ("first_name", "last_name")
_EXACT_FIELDS = ("clerk_id", "email", "username", "external_id")
MAX_WORDS = 5
_ID_BEGINS = "user_"
#: Comes after every character that a text can go on with.
_LAST = "\U0010ffff"
#: Nobody reads on from there; whoever finds one more knows that there are more.
MAX_FOUND = 10_000
_ENOUGH = MAX_FOUND + 1
#: So many rows are not looked through for further words: 10,000 take a database a tenth of a second.
_MANY = 20_000

HELP = _(
    "The beginning of the Clerk id, e-mail address, username, external id, first or last name. "
    "What stands in the middle is not found: no index of a large table could serve that. "
    "Of two words that each fit 20000 users, one has to begin the first name and the other the last."
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
    return among(users, find(ClerkUser.objects.using(users.db), term))


def among(users: Users, ids: Sequence[str]) -> Users:
    """Those of the users who have one of these ids; as one parameter, since thousands take half a second."""
    if connections[users.db].vendor == "sqlite":
        chosen = RawSQL("SELECT value FROM json_each(%s)", [json.dumps(ids)])  # a parameter
    else:
        chosen = RawSQL("SELECT unnest(%s::text[])", [list(ids)])
    return users.filter(pk__in=chosen)


def find(everyone: Users, term: str) -> list[str]:
    """The ids of those who fit, and no more than tell that there are more than ``MAX_FOUND``."""
    words, whole = list(dict.fromkeys(term.split()))[:MAX_WORDS], " ".join(term.split())
    if len(words) < 2:
        return _ids(_parts(everyone, *words), _ENOUGH)
    first, longest = words[0], max(words[1:], key=len)
    # What begins with the whole begins with its first word.
    for texts in ([first], [longest, whole]):
        some = _ids(_parts(everyone, *texts), _MANY)
        if len(some) < _MANY:
            return _ids(
                [among(everyone, some).filter(_fits(words, FIELDS) | _fits([whole], FIELDS))], _ENOUGH
            )
    others = [word for word in words if word not in (first, longest)]
    named = (part.filter(_fits(others, _NAMES)) for part in _named(everyone, first, longest))
    return _ids(chain(_parts(everyone, whole), named), _ENOUGH)


def _ids(parts: Iterable[Users], limit: int) -> list[str]:
    """The ids of the users of all parts, or so many of them."""
    found: dict[str, None] = {}
    for part in parts:
        found |= dict.fromkeys(part.values_list("pk", flat=True)[:limit])
        if len(found) >= limit:
            break
    return list(found)[:limit]


def _fits(words: Iterable[str], names: Iterable[str]) -> Q:
    """Each word begins one of the columns, whatever its case; no index serves that."""
    each = (
        any_of(Q(**{f"{name}__istartswith": one}) for name in names for one in _alike(word)) for word in words
    )
    return reduce(and_, each, Q())


def _parts(everyone: Users, *texts: str) -> Iterator[Users]:
    """The users of whom one column begins with one of the texts; each part is one look into one index."""
    is_sqlite = connections[everyone.db].vendor == "sqlite"
    for name in FIELDS[:-1]:
        rows = everyone.filter(SHORT_NAMES) if name in _NAMES else everyone
        for spelling in _all_spellings(name, texts):
            yield rows.filter(begins(name, spelling, is_sqlite=is_sqlite))
    # The second column of the index of names, which is looked through: once, for that takes longest.
    if not is_sqlite:
        ends = (Q(last_name__startswith=one) for one in _all_spellings("last_name", texts))
        yield everyone.filter(SHORT_NAMES, any_of(ends))
        return
    # SQLite does so only if it is told something of the first column. Its LIKE takes half as long as
    # two comparisons for each spelling.
    alike = any_of(Q(last_name__istartswith=one) for text in texts for one in _alike(text))
    for hint in (Q(first_name__gte=""), Q(first_name__isnull=True)):
        yield everyone.filter(SHORT_NAMES, hint, alike)


def _named(everyone: Users, one: str, other: str) -> Iterator[Users]:
    """The users of whom one word begins the first name and the other the last name, all by one index."""
    is_sqlite = connections[everyone.db].vendor == "sqlite"
    for first, last in ((one, other), (other, one)):
        # One by one: joined by OR they would make SQLite walk through the whole index.
        for names in product(_spellings("first_name", first), _spellings("last_name", last)):
            begin = (begins(*pair, is_sqlite=is_sqlite) for pair in zip(_NAMES, names, strict=True))
            yield everyone.filter(SHORT_NAMES, *begin)


def _all_spellings(name: str, texts: Iterable[str]) -> set[str]:
    return {spelling for text in texts for spelling in _spellings(name, text)}


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


def _alike(text: str) -> set[str]:
    """The spellings of a name that differ by more than the case of ASCII, which is all that SQLite ignores."""
    return {one.lower() if one.isascii() else one for one in _spellings("last_name", text)}


def begins(name: str, text: str, *, is_sqlite: bool) -> Q:
    """A beginning as each database looks it up in an index; SQLite's LIKE ignores case, so not by that."""
    if is_sqlite:
        return Q(**{f"{name}__gte": text, f"{name}__lt": text + _LAST})
    return Q(**{f"{name}__startswith": text})


def any_of(conditions: Iterable[Q]) -> Q:
    """The conditions joined by OR."""
    return reduce(or_, conditions)
