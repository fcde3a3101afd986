"""What counts as placeholder data: values that some program made up because it had none.

The rules are pure and judge one user at a time; whether data is *missing* is not their business,
so a blank value is never a placeholder. They prefer to miss a placeholder over calling a person
one:

- ``reserved_domain``: an e-mail address in a domain that can receive no mail (RFC 2606, RFC 6761).
- ``not_an_address``: an e-mail address without ``@`` or with nothing on one side of it.
- ``clerk_id``: the user's Clerk id, or any Clerk user id, as a name, username or before the ``@``.
- ``generic_name``: the name *as a whole* is a stand-in ("User", "New" + "User", "null"), or one
  part is a stand-in that nobody is called ("undefined", "N/A", "Test User"). A word that people
  are called counts only where it stands alone or beside another stand-in: Christopher Null,
  Anonymous Smith and Test Ng are people here. Numbers at the end do not matter ("User 17"), and
  a name without a letter ("-", "...") is none. Usernames are chosen freely, so only what nobody
  is called counts there, and only without a number.
- ``test_address``, ``test_phone``: Clerk's test users, unless ``allow_test_users`` is set.
- ``not_a_number``: a phone number without a digit.

Spelling does not matter: case, full-width letters, invisible characters, punctuation and spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from typing import Self

from django.utils.module_loading import import_string
from msgspec import Struct

from clerksync.conf import settings

#: Takes a field's name and its value, which is not blank; answers the rule's name or None.
Rule = Callable[[str, str], str | None]

#: A field and the rule that it breaks.
_Found = tuple[str, str]

#: These and everything below them.
RESERVED_DOMAINS = frozenset(
    {"example", "invalid", "localhost", "test", "example.com", "example.net", "example.org"}
)

_KINDS_OF_USERS = (
    "anonymous", "clerk", "default", "demo", "dummy", "example", "guest", "new", "sample", "test", "unknown", "unnamed",
)  # fmt: skip
#: Nobody is called this, so one field is enough. Written as ``_words`` leaves it.
NEVER_A_NAME = frozenset(
    {f"{kind} user" for kind in _KINDS_OF_USERS}
    | {f"{kind}user" for kind in _KINDS_OF_USERS}
    | {"first name", "firstname", "full name", "last name", "lastname", "no name", "user name", "your name"}
    | {"n/a", "n / a", "not available", "not provided", "placeholder", "undefined"}
)
#: People are called this, too, so it has to be the whole name.
RARELY_A_NAME = frozenset(
    {
        "anonymous",
        "first last",
        "guest",
        "n a",
        "none",
        "null",
        "test",
        "unknown",
        "unnamed",
        "user",
        "username",
    }
)

_NOT_WORDS = re.compile(r"[^\w/]+|_+")
_FILLER = re.compile(r"[-._?*\s]+")
#: Clerk's ids have 27 characters after the prefix.
_CLERK_ID = re.compile(r"(?<![0-9a-z])user[_-](?=[a-z]*\d)[0-9a-z]{20,}")
_BARE_ID_LENGTH = 20
#: Letters and symbols that show nothing; the other invisible characters are Unicode's own class.
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_NOT_DIGITS = re.compile(r"\D+")
#: +1 (any area) 555-0100 to 555-0199.
_TEST_PHONE = re.compile(r"1?\d{3}55501\d\d")


class Placeholder(Struct, frozen=True):
    """A value that is no data; ``field`` is the name of a column."""

    field: str
    value: str
    rule: str


class PlaceholderRules(Struct, frozen=True, dict=True):
    """The rules, with what a project excepts and adds.

    Args:
        real_domains: Domains that are real here, each with its subdomains.
        allow_test_users: Clerk's test addresses and fictional phone numbers are no placeholders.
        extra: Further rules; each is asked about every field that is not blank.
    """

    real_domains: tuple[str, ...] = ()
    allow_test_users: bool = False
    extra: tuple[Rule, ...] = ()

    @classmethod
    def from_settings(cls) -> Self:
        """The rules under REAL_DOMAINS, ALLOW_TEST_USERS and PLACEHOLDER_RULES."""
        rules = (
            import_string(rule) if isinstance(rule, str) else rule for rule in settings.PLACEHOLDER_RULES
        )
        return cls(
            real_domains=tuple(settings.REAL_DOMAINS),
            allow_test_users=settings.ALLOW_TEST_USERS,
            extra=tuple(rules),
        )

    def find(
        self,
        *,
        clerk_id: str,
        email: str | None,
        first_name: str | None,
        last_name: str | None,
        username: str | None,
        phone_number: str | None,
    ) -> tuple[Placeholder, ...]:
        """All placeholders of one user; a field may break several rules."""
        values = {
            "email": email,
            "first_name": first_name,
            "last_name": last_name,
            "username": username,
            "phone_number": phone_number,
        }
        folded = {field: folding for field, value in values.items() if value and (folding := fold(value))}
        found = [*self._in_email(folded), *_in_names(folded), *self._in_phone(folded)]
        found += _with_clerk_id(folded, fold(clerk_id))
        found += self._in_extra({field: values[field] or "" for field in folded}) if self.extra else ()
        return tuple(Placeholder(field, values[field] or "", rule) for field, rule in found)

    def _in_email(self, folded: dict[str, str]) -> Iterator[_Found]:
        if "email" not in folded:
            return
        local, _, domain = folded["email"].rpartition("@")
        domain = normalise_domain(domain)
        if not (local and domain):
            yield "email", "not_an_address"
        elif "+clerk_test" in local:
            if not self.allow_test_users:
                yield "email", "test_address"
        elif self.is_reserved(domain):
            yield "email", "reserved_domain"

    def is_reserved(self, domain: str) -> bool:
        """Whether a folded domain is one that can receive no mail."""
        suffixes = _suffixes(domain)
        return not RESERVED_DOMAINS.isdisjoint(suffixes) and self._real.isdisjoint(suffixes)

    @cached_property
    def _real(self) -> frozenset[str]:
        return frozenset(normalise_domain(fold(domain)) for domain in self.real_domains)

    def _in_phone(self, folded: dict[str, str]) -> Iterator[_Found]:
        if "phone_number" not in folded:
            return
        digits = _NOT_DIGITS.sub("", folded["phone_number"])
        if not digits:
            yield "phone_number", "not_a_number"
        elif not self.allow_test_users and _TEST_PHONE.fullmatch(digits):
            yield "phone_number", "test_phone"

    def _in_extra(self, values: dict[str, str]) -> Iterator[_Found]:
        for rule in self.extra:
            for field, value in values.items():
                name = rule(field, value)
                if name is not None:
                    yield field, name


def fold(value: str) -> str:
    """Bring a value to one case, width and spacing, without invisible characters."""
    if not (value.isascii() and value.isprintable()):
        visible = "".join(" " if char.isspace() else char for char in value if not _is_invisible(char))
        value = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())
    return " ".join(value.casefold().split())


def normalise_domain(domain: str) -> str:
    """Bring a folded domain to its ASCII form without dots at the ends."""
    domain = domain.replace("\u3002", ".").strip(". ")
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain  # no host name, so no rule names it


@lru_cache(maxsize=1024)
def _suffixes(domain: str) -> frozenset[str]:
    """The domain and all that it is a subdomain of: a.b.c, b.c, c."""
    labels = domain.split(".")
    return frozenset(".".join(labels[start:]) for start in range(len(labels)))


def _is_invisible(char: str) -> bool:
    return char in _BLANKS or (unicodedata.category(char) in {"Cc", "Cf"} and not char.isspace())


def _in_names(folded: dict[str, str]) -> Iterator[_Found]:
    parts = {field: _words(folded[field]) for field in ("first_name", "last_name") if field in folded}
    names = {field: _without_number(words) for field, words in parts.items()}
    whole = _without_number(" ".join(names.values()))
    is_generic = _is_generic(whole) or all(map(_is_generic, names.values()))
    for field, name in names.items():
        if is_generic or name in NEVER_A_NAME:
            yield field, "generic_name"
    if "username" in folded and _words(folded["username"]) in NEVER_A_NAME:
        yield "username", "generic_name"


def _words(value: str) -> str:
    """Only the words of a folded name; a name of dashes and dots stays, for it has none."""
    return value if value.isalpha() else _NOT_WORDS.sub(" ", value).strip() or value


def _without_number(words: str) -> str:
    """Drop a number at the end, but keep a name that is nothing else."""
    return words.rstrip("0123456789").rstrip() or words


def _is_generic(words: str) -> bool:
    return words in NEVER_A_NAME or words in RARELY_A_NAME or _FILLER.fullmatch(words) is not None


def _with_clerk_id(folded: dict[str, str], identity: str) -> Iterator[_Found]:
    bare = identity.removeprefix("user_")
    own = (identity, bare) if len(bare) >= _BARE_ID_LENGTH else (identity,)
    for field, value in folded.items():
        text = value.rpartition("@")[0] if field == "email" else value
        if text and (text in own or ("user" in text and _CLERK_ID.search(text))):
            yield field, "clerk_id"
