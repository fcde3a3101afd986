"""JSON from Clerk, turned into observations: pure, tolerant, without Django models.

The ordinary page is decoded by msgspec with types. What msgspec refuses (a lone
surrogate, deep nesting, a value of the wrong type) goes the careful way of
``salvage.py``: that page alone, then user by user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Self

import msgspec

from clerksync import salvage, seals
from clerksync.conf import settings
from clerksync.exceptions import PayloadError
from clerksync.fields import NOTHING, UserFields, build_fields, digest, watched
from clerksync.seals import Head
from clerksync.wire import MAX_ID, User, decode_array, decode_user

#: Raised whenever what the digest covers changes.
DIGEST_VERSION = "1"

#: Bytes of one user's JSON; Clerk's hold at most 8 KB of metadata.
MAX_USER = 4 * 1024 * 1024
#: Bytes of a page from which on its users are counted before they are decoded.
_LARGE = 8 * 1024 * 1024

#: Users with one of these go the careful way: NUL and our escape mark, plain or as an escape.
_MARKS = (b"\\u0000", b"\xe2\x90\x9b", b"\\u241b", b"\\u241B")


class Source(StrEnum):
    """Where an observation comes from; ``GET`` is every read by id, of one or of many."""

    WEBHOOK = "webhook"
    LIST = "list"
    GET = "get"
    CLAIMS = "claims"
    OPERATOR = "operator"


class Kind(StrEnum):
    """What was observed."""

    USER = "user"
    #: Clerk said that the user was deleted.
    DELETED = "deleted"
    #: A read by id found nothing (404).
    ABSENT = "absent"
    #: A list that should show the user does not.
    MISSED = "missed"
    #: Nothing of a deleted user is to be kept any longer.
    ANONYMIZED = "anonymized"
    #: Somebody wants nothing to be kept of the user, whatever Clerk shows.
    ERASED = "erased"
    #: Somebody wants the user to be read from Clerk again after all.
    LIFTED = "lifted"


class Observation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one source says of one user at one moment.

    ``updated_ms`` is Clerk's ``updated_at`` (u), ``observed_ms`` the time of the
    snapshot (s), both in ms of Clerk's clock. An observation that is not ``full``
    says too little to replace a row; ``problems`` says why, and what was dropped.
    """

    clerk_id: str
    source: Source
    kind: Kind = Kind.USER
    full: bool = True
    updated_ms: int = 0
    observed_ms: int = 0
    created_ms: int | None = None
    digest: str = ""
    seal: str = ""
    fields: UserFields | None = None
    payload: str | None = None
    problems: tuple[str, ...] = ()
    provenance: str = ""


def blank(clerk_id: str, kind: Kind, *, observed_ms: int) -> Observation:
    """The wish that nothing be kept of a user, or (``LIFTED``) that they be read again."""
    return Observation(
        clerk_id=clerk_id, source=Source.OPERATOR, kind=kind, observed_ms=observed_ms, fields=NOTHING
    )


def unlisted(clerk_id: str, *, observed_ms: int, provenance: str, updated_ms: int = 0) -> Observation:
    """What a list says of a user whom it should show, and lacks."""
    return Observation(
        clerk_id=clerk_id,
        source=Source.LIST,
        kind=Kind.MISSED,
        updated_ms=updated_ms,
        observed_ms=observed_ms,
        provenance=provenance,
    )


class Parser:
    """Turns JSON into observations under the settings that shape what is stored."""

    def __init__(self, *, exclude: Iterable[str] = (), store_payload: bool = True) -> None:
        self.exclude = frozenset(exclude)
        self.store_payload = store_payload
        shape = ",".join(sorted(self.exclude)) + f";{store_payload}"
        #: Says under which of our versions and settings a row was stored.
        self.shape = f"{DIGEST_VERSION}.{hashlib.blake2b(shape.encode(), digest_size=3).hexdigest()}"

    @classmethod
    def from_settings(cls) -> Self:
        """The parser for EXCLUDE_FIELDS and STORE_PAYLOAD."""
        return cls(exclude=settings.EXCLUDE_FIELDS, store_payload=settings.STORE_PAYLOAD)

    def parse_page(
        self, body: bytes, *, source: Source, observed_ms: int | None, provenance: str = ""
    ) -> list[Observation]:
        """Parse an array of users, each by itself.

        Args:
            body: A JSON array.
            source: ``LIST`` or ``GET``.
            observed_ms: When the request started, in Clerk's clock; None if not known.
            provenance: The id of the run.

        Returns:
            One observation for each user. Of a user that cannot be parsed only the id
            is known, or not even that: then ``clerk_id`` is empty.

        Raises:
            PayloadError: The body is no JSON array.
        """
        elements: Sequence[bytes | msgspec.Raw]
        try:
            # So large a page may be millions of nothings, each of which costs the decoder 64 bytes.
            elements = decode_array(body) if len(body) <= _LARGE else salvage.split_array(body)
        except (msgspec.MsgspecError, RecursionError):
            elements = salvage.split_array(body)
        careful = _may_need_care(body)
        return [
            self._parse(
                element, careful=careful, source=source, observed_ms=observed_ms, provenance=provenance
            )
            for element in elements
        ]

    def parse_user(
        self, body: bytes, *, source: Source, observed_ms: int | None, provenance: str = ""
    ) -> Observation:
        """Parse one user, as ``parse_page`` does.

        Raises:
            PayloadError: There is no user with an id in the body.
        """
        observation = self._parse(
            body,
            careful=_may_need_care(body),
            source=source,
            observed_ms=observed_ms,
            provenance=provenance,
        )
        if not observation.clerk_id:
            raise PayloadError("; ".join(observation.problems))
        return observation

    def read_heads(self, body: bytes, *, observed_ms: int | None) -> list[Head] | None:
        """Read only the heads of a page of a list; None if it is to be parsed in full."""
        return None if self.exclude & seals.KEYS else seals.read_heads(body, observed_ms=observed_ms)

    def parse_head(self, head: Head, *, provenance: str) -> Observation:
        """Parse the rest of a user, as ``parse_page`` does."""
        raw = bytes(head.raw)
        return self._parse(
            raw,
            careful=_may_need_care(raw),
            source=Source.LIST,
            observed_ms=head.observed_ms,
            provenance=provenance,
        )

    def _parse(
        self,
        raw: bytes | msgspec.Raw,
        *,
        careful: bool,
        source: Source,
        observed_ms: int | None,
        provenance: str,
    ) -> Observation:
        try:
            if len(raw) > MAX_USER:
                raise PayloadError(f"larger than {MAX_USER} bytes", clerk_id=salvage.find_id(bytes(raw)))
            user, payload, problems = self._read(raw, careful=careful)
        except PayloadError as error:
            return Observation(
                clerk_id=error.clerk_id or "",
                source=source,
                full=False,
                observed_ms=observed_ms or 0,
                problems=(error.reason,),
                provenance=provenance,
            )
        fields, dropped = build_fields(user)
        updated_ms = fields.updated_at or 0
        hashed = f"{self.shape}:{digest(user, fields)}"
        is_listed = source is Source.LIST and not self.exclude & seals.KEYS
        return Observation(
            clerk_id=user.id,
            source=source,
            full=_is_full(user, fields, source),
            updated_ms=updated_ms,
            observed_ms=updated_ms if observed_ms is None else observed_ms,
            created_ms=fields.created_at,
            digest=hashed,
            seal=seals.seal(seals.hash_bytes(raw), digest=hashed, watched=watched(fields))
            if is_listed
            else "",
            fields=fields,
            payload=payload,
            problems=problems + dropped,
            provenance=provenance,
        )

    def _read(self, raw: bytes | msgspec.Raw, *, careful: bool) -> tuple[User, str | None, tuple[str, ...]]:
        """The user, the payload if it is stored, and what was mended."""
        if not self.exclude and not (careful and _needs_care(bytes(raw))):
            try:
                user = decode_user(raw)
                if 0 < len(user.id) <= MAX_ID and not _has_codes(user):
                    return user, str(raw, "utf-8") if self.store_payload else None, ()
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                pass  # the careful way tells what is wrong
        user, payload, problems = salvage.read_user(bytes(raw), exclude=self.exclude)
        return user, payload if self.store_payload else None, problems


def _may_need_care(body: bytes) -> bool:
    # One byte of the marks is found at memory's speed, a whole mark is not.
    return b"\\" in body or b"\x9b" in body


def _needs_care(raw: bytes) -> bool:
    return any(mark in raw for mark in _MARKS)


def _has_codes(user: User) -> bool:
    """Whether there are one-time codes, which are never stored."""
    return bool(user.phone_numbers) and any(phone.backup_codes for phone in user.phone_numbers or ())


def _is_full(user: User, fields: UserFields, source: Source) -> bool:
    """Whether there is enough of a user to replace a row.

    Test events of Clerk's dashboard lack keys that every real user has.
    """
    complete = (
        fields.created_at is not None
        and fields.updated_at is not None
        and isinstance(user.email_addresses, list)
    )
    if source is Source.WEBHOOK:
        return complete and user.has_image is not msgspec.UNSET and user.banned is not msgspec.UNSET
    return complete
