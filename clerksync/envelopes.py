"""Events of Clerk's webhooks: what a signed body says, and of whom. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import msgspec

from clerksync import salvage
from clerksync.exceptions import PayloadError
from clerksync.payloads import Kind, Observation, Parser, Source
from clerksync.wire import MAX_ID

#: Svix tries for 27.6 hours; what is older comes from a replay, and may be older than anything.
MAX_AGE_MS = 28 * 3_600_000
#: The specification's examples are in seconds, the documentation in milliseconds.
_SECONDS_BELOW = 100_000_000_000
#: These carry one-time codes: their content is never kept.
SECRET_TYPES = frozenset({"email.created", "sms.created"})
#: Who was at the browser.
_ATTRIBUTES = "event_attributes"
#: A body without one of these names nothing that is never stored, for a name may be escaped, and has each text in
#: a form by which it is found again when its user is to be forgotten.
_SIGNS = (b"\\u", b"\\/", *(path.rpartition(".")[2].encode() for path in salvage.NEVER_STORED))
_MAX_TYPE = 100
#: Whom an object that is no user belongs to, a session or a membership, where it cannot be read as JSON.
_OWNER = re.compile(rb'"user_id"\s*:\s*"([\w-]{1,255})"')
_ID = re.compile(r"[\w-]{1,255}", re.ASCII)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event; ``data`` is its object as JSON, ``timestamp_ms`` its time in ms of Clerk's clock."""

    type: str
    data: bytes
    timestamp_ms: int | None
    instance_id: str
    object_id: str

    @property
    def user_id(self) -> str:
        """The user whom the event is about, if it names one."""
        if self.type.startswith("user."):
            return self.object_id
        try:
            owned = _decode_owned(self.data)
            user_id = owned.user_id or (owned.public_user_data and owned.public_user_data.user_id) or ""
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            found = _OWNER.search(self.data)
            return found[1].decode() if found else ""
        return user_id if _ID.fullmatch(user_id) else ""

    def decode_data(self) -> dict[str, Any]:
        """The object of the event."""
        value: dict[str, Any] = salvage.load_object(self.data)
        return value


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw
    timestamp: int | float | None = None
    instance_id: str | None = None


class _Identified(msgspec.Struct):
    id: str | None = None


class _Owner(msgspec.Struct):
    user_id: str | None = None


class _Owned(msgspec.Struct):
    user_id: str | None = None
    public_user_data: _Owner | None = None


class _Session(msgspec.Struct):
    user: msgspec.Raw = msgspec.Raw(b"null")


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_id = msgspec.json.Decoder(_Identified).decode
_decode_owned = msgspec.json.Decoder(_Owned).decode
_decode_session = msgspec.json.Decoder(_Session).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def parse_event(body: bytes) -> Event:
    """Read the envelope of a verified body.

    Raises:
        PayloadError: It is no event, whoever signed it.
    """
    try:
        envelope = _decode_envelope(body)
        identified = _decode_id(envelope.data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        envelope, identified = _salvage(body, error)
    if not 0 < len(envelope.type) <= _MAX_TYPE or not envelope.type.isprintable():
        raise PayloadError("the event has no usable type")
    object_id = salvage.escape_text(identified.id or "")
    return Event(
        type=envelope.type,
        data=bytes(envelope.data),
        timestamp_ms=_milliseconds(envelope.timestamp),
        instance_id=salvage.escape_text(envelope.instance_id or "")[:64],
        # Cut off, an id would be somebody else's.
        object_id=object_id if len(object_id) <= MAX_ID else "",
    )


def observe(event: Event, parser: Parser, *, sent_ms: int, provenance: str) -> Observation | None:
    """What an event says of a user; None if it says nothing of any.

    Raises:
        PayloadError: It should, but there is no user with an id in it.
    """
    observed_ms = sent_ms if event.timestamp_ms is None else event.timestamp_ms
    match event.type.partition("."):
        case ("user", _, "deleted"):
            if not event.object_id:
                raise PayloadError("a deleted user without an id")
            return Observation(
                clerk_id=event.object_id,
                source=Source.WEBHOOK,
                kind=Kind.DELETED,
                observed_ms=observed_ms,
                provenance=provenance,
            )
        case ("user", _, "created" | "updated"):
            user: bytes | msgspec.Raw | None = event.data
        case ("session", _, _):
            user = _user_of_session(event)
        case _:
            return None
    if user is None:
        return None
    observation = parser.parse_user(
        bytes(user), source=Source.WEBHOOK, observed_ms=observed_ms, provenance=provenance
    )
    too_old = event.timestamp_ms is None or sent_ms - observed_ms > MAX_AGE_MS
    return msgspec.structs.replace(observation, full=False) if too_old else observation


def keep(event: Event, body: bytes, *, exclude: Collection[str]) -> str | None:
    """What is kept of a body: nothing of who was at the browser, no one-time codes, nothing that is excluded.

    Args:
        event: What the body says.
        body: As it was signed.
        exclude: Dotted names of parts of a user.
    """
    if event.type in SECRET_TYPES:
        return None
    if not exclude and not any(sign in body for sign in _SIGNS):
        try:
            parts = _decode_parts(body)
            parts.pop(_ATTRIBUTES, None)
            return msgspec.json.encode(parts).decode()  # the object as Clerk sent it
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            pass  # the careful way reads it
    paths = [f"data.{user}{path}" for path in (*exclude, *salvage.NEVER_STORED) for user in ("", "user.")]
    return salvage.dump_object(salvage.load_object(body), without=[*paths, _ATTRIBUTES])


def _user_of_session(event: Event) -> msgspec.Raw | None:
    try:
        user = _decode_session(event.data).user
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise PayloadError(f"not a session: {error}") from error
    return None if bytes(user) == b"null" else user


def _salvage(body: bytes, error: Exception) -> tuple[_Envelope, _Identified]:
    """The careful way, for text and nesting that the fast decoder refuses."""
    value = salvage.load_object(body)
    data = value.get("data")
    if not isinstance(value.get("type"), str) or not isinstance(data, dict):
        raise PayloadError(f"not an event: {error}")
    timestamp, instance_id, object_id = value.get("timestamp"), value.get("instance_id"), data.get("id")
    return (
        _Envelope(
            type=value["type"],
            data=msgspec.Raw(salvage.dump_object(data).encode()),
            timestamp=timestamp if isinstance(timestamp, int | float) else None,
            instance_id=instance_id if isinstance(instance_id, str) else None,
        ),
        _Identified(id=object_id if isinstance(object_id, str) else None),
    )


def _milliseconds(timestamp: float | None) -> int | None:
    if timestamp is None or not 0 < timestamp < 10**14:
        return None
    return int(timestamp) * 1000 if timestamp < _SECONDS_BELOW else int(timestamp)
