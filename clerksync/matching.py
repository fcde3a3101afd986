"""Which Django user a row belongs to, by the rules of CLERKSYNC_LINK_BY.

The first rule that fits decides. What fits several is linked to nobody, and staff is never
linked by e-mail: whoever can have an address verified would get their rights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet
from msgspec import Struct

from clerksync import mirror
from clerksync.conf import settings
from clerksync.linkreports import ProblemKind, told
from clerksync.linkrules import ByVerifiedEmail, Candidates, Rule, clerk_users, grouped, lower, parse_rule
from clerksync.models import ClerkUser


class Match(Struct, frozen=True):
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
    rows = clerk_users().filter(user__in=pks).only("clerk_id", "state", "email", "email_verified", "user_id")
    return {row.user_id: row for row in rows}


def _judge_one(
    row: ClerkUser, user: AbstractBaseUser, holder: ClerkUser | None, rule: Rule, text: str
) -> Match | None:
    """The verdict about the only candidate; None if somebody else is linked, with good reason."""
    if holder is not None and isinstance(rule, ByVerifiedEmail) and not _had_address(holder, row):
        return None
    if holder is not None and holder.state != ClerkUser.State.DELETED:
        return Match(user, ProblemKind.TAKEN, f"{text}: Django user {told(user.pk)} is linked to {holder.pk}")
    if rule.by_email and (getattr(user, "is_staff", False) or getattr(user, "is_superuser", False)):
        return Match(
            user, ProblemKind.STAFF, f"{text}: Django user {told(user.pk)} is staff; link it by hand"
        )
    return Match(user, holder=holder.pk if holder else None)


def _had_address(holder: ClerkUser, row: ClerkUser) -> bool:
    """Whether this address is the holder's, or was, verified, that of one who is deleted.

    Otherwise somebody could prepare a Django user for the true owner of an address, and keep a way in.
    """
    is_living = holder.state != ClerkUser.State.DELETED
    return (is_living or holder.email_verified) and lower(row.email or "") == lower(holder.email or "")


def _without_doubles(found: dict[str, Match]) -> dict[str, Match]:
    """Nobody is linked to a Django user whom several rows fit."""
    by_user = grouped((match.user.pk, clerk_id) for clerk_id, match in found.items() if match.user)
    for pk, clerk_ids in by_user.items():
        if len(clerk_ids) > 1:
            why = f"Django user {told(pk)} fits {', '.join(sorted(clerk_ids))}"
            found |= dict.fromkeys(clerk_ids, Match(None, ProblemKind.AMBIGUOUS, why))
    return found
