"""The careful way: reads users that the fast decoder refuses, and loses nothing of them.

Text that a database cannot hold (NUL, lone surrogates) is kept in an escaped form
that ``unescape_text`` turns back: the mark U+241B and four hexadecimal digits.
"""

from __future__ import annotations

import json
import math
import re
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from clerksync.exceptions import PayloadError
from clerksync.wire import MAX_ID, User

#: One-time codes are never stored, whatever the settings say.
NEVER_STORED = ("phone_numbers.backup_codes",)
#: Clerk's users are a few levels deep; a thousand is somebody's joke, and is read. Much more would
#: overrun the stack that threads have on other systems than Linux, which no error can report.
RECURSION_LIMIT = 2_500
#: Longer integers are dropped: Python refuses to read them, and so would the reader of the payload.
MAX_DIGITS = 300

#: Of one list; Clerk's have 500.
MAX_ELEMENTS = 10_000

_TOO_LARGE = "a number that is too large was dropped"
_MARK = "\N{SYMBOL FOR ESCAPE}"
_ESCAPED = re.compile(f"[\x00\ud800-\udfff{_MARK}]")
_MARKED = re.compile(f"{_MARK}([0-9a-f]{{4}})")
# Possessive, so that a long text costs no memory.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},]', re.DOTALL)
_ID = re.compile(rb'"id"\s*:\s*"([\w-]{1,255})"')
#: Reading the annotations again for each user would take a hundred times longer than using them.
_FIELDS = {field.name: field.type for field in msgspec.structs.fields(User)}
_recursion_lock = threading.Lock()


def read_user(raw: bytes, *, exclude: Collection[str] = ()) -> tuple[User, str, tuple[str, ...]]:
    """Read one user, dropping what has the wrong type.

    Args:
        raw: The user's JSON.
        exclude: Dotted names of parts that are left out.

    Returns:
        The user, the JSON to store, and what was dropped and why.

    Raises:
        PayloadError: There is no user with an id in it.
    """
    text = raw.decode("utf-8", "surrogateescape")
    problems: list[str] = []
    with _deep_recursion():
        try:
            _check_depth(raw)
            value = _load(text, problems)
            removed = [_remove(value, path.split(".")) for path in (*exclude, *NEVER_STORED)]
            # With parts to leave out always: a key that comes twice would keep the first one's value.
            is_changed = exclude or problems or any(removed) or not _storable(text)
            payload = json.dumps(value) if is_changed else text
            user = _convert(value, problems)
        except RecursionError as error:
            raise PayloadError("nested too deeply to be read", clerk_id=find_id(raw)) from error
        except (ValueError, msgspec.ValidationError) as error:
            raise PayloadError(f"not a user: {error}", clerk_id=find_id(raw)) from error
    return user, payload, tuple(problems)


def load_object(raw: bytes) -> dict[str, Any]:
    """Read any JSON object.

    Raises:
        PayloadError: It is none.
    """
    with _deep_recursion():
        try:
            _check_depth(raw)
            return _load(raw.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError) as error:
            raise PayloadError(f"not a JSON object: {error}") from error


def dump_object(value: dict[str, Any], *, without: Collection[str] = ()) -> str:
    """JSON that both databases store as text, without some of its parts (dotted names).

    Raises:
        PayloadError: It is nested too deeply.
    """
    with _deep_recursion():
        try:
            for path in without:
                _remove(value, path.split("."))
            return json.dumps(value)
        except RecursionError as error:
            raise PayloadError("nested too deeply to be written") from error


def split_array(body: bytes) -> list[bytes]:
    """Cut a JSON array into its elements without reading them.

    Raises:
        PayloadError: The array does not end, or is longer than any page.
    """
    if not body.lstrip().startswith(b"["):
        raise PayloadError("not a list of users")
    elements: list[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(body):
        mark = token.group()[:1]
        if mark in (b"[", b"{"):
            depth += 1
            start = token.end() if depth == 1 else start
        elif mark in (b"]", b"}"):
            depth -= 1
        if depth == 0 or (depth == 1 and mark == b","):
            elements.append(body[start : token.start()].strip())
            start = token.end()
            if len(elements) > MAX_ELEMENTS:
                raise PayloadError(f"the list has more than {MAX_ELEMENTS} elements")
        if depth == 0:
            return [element for element in elements if element]
    raise PayloadError("the list of users is cut off")


def escape_text(text: str) -> str:
    """Replace what a database cannot hold; the inverse of ``unescape_text``."""
    return _ESCAPED.sub(lambda match: f"{_MARK}{ord(match.group()):04x}", text)


def unescape_text(text: str) -> str:
    """Turn escaped text back into what Clerk sent."""
    return _MARKED.sub(lambda match: chr(int(match.group(1), 16)), text)


def _check_depth(raw: bytes) -> None:
    """Raise RecursionError before the JSON reader of Python 3.12 and later does, which counts to 10,000."""
    if raw.count(b"[") + raw.count(b"{") <= RECURSION_LIMIT:
        return
    depth = 0
    for token in _TOKEN.finditer(raw):
        mark = token.group()[:1]
        depth += (mark in b"[{") - (mark in b"]}")
        if depth > RECURSION_LIMIT:
            raise RecursionError("nested too deeply")


def _load(text: str, problems: list[str] | None = None) -> dict[str, Any]:
    """Read an object; numbers that no database takes become null."""
    dropped: list[str] = [] if problems is None else problems

    def parse_int(digits: str) -> int | None:
        if len(digits) < MAX_DIGITS:
            return int(digits)
        dropped.append(_TOO_LARGE)
        return None

    def parse_float(digits: str) -> float | None:
        if math.isfinite(number := float(digits)):
            return number
        dropped.append(_TOO_LARGE)
        return None

    value = json.loads(
        text, strict=False, parse_int=parse_int, parse_float=parse_float, parse_constant=lambda name: None
    )
    if not isinstance(value, dict):
        raise PayloadError(f"not a user but {type(value).__name__}")
    return value


def _remove(value: Any, path: list[str]) -> bool:
    """Remove a part of a payload; through lists, from every element."""
    if isinstance(value, list):
        return sum(_remove(item, path) for item in value) > 0  # from every element
    if not isinstance(value, dict) or path[0] not in value:
        return False
    if len(path) > 1:
        return _remove(value[path[0]], path[1:])
    del value[path[0]]
    return True


def _storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _convert(value: dict[str, Any], problems: list[str]) -> User:
    """Convert field by field, so that one odd value costs that value only."""
    clean = _clean(value)
    known: dict[str, Any] = {}
    for name, kind in _FIELDS.items():
        if name not in clean:
            continue
        try:
            known[name] = _convert_field(clean[name], kind, problems)
        except (msgspec.ValidationError, OverflowError) as error:
            problems.append(f"{name}: {error}")
    if not 0 < len(known.get("id", "")) <= MAX_ID or _MARK in known["id"]:
        raise PayloadError("no usable id")
    return User(**known)


def _convert_field(value: Any, kind: Any, problems: list[str]) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, float) and math.isfinite(value) and kind == int | None:
        value = math.floor(value)
    element = _element_type(kind)
    if element is None or not isinstance(value, list):
        return msgspec.convert(value, kind, strict=False)
    return list(_convert_elements(value, element, problems))


def _convert_elements(values: list[Any], kind: Any, problems: list[str]) -> Iterator[Any]:
    for value in values:
        try:
            yield msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError as error:
            problems.append(f"{kind.__name__.lower()}: {error}")


def _element_type(kind: Any) -> Any:
    for option in getattr(kind, "__args__", ()):
        if getattr(option, "__origin__", None) is list:
            return option.__args__[0]
    return None


def _clean(value: Any) -> Any:
    """Escape every string."""
    if isinstance(value, str):
        return escape_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {escape_text(key): _clean(item) for key, item in value.items()}
    return value


def find_id(raw: bytes) -> str | None:
    """The user's own id, without reading the rest; never that of an address inside."""
    depth = 0
    for token in _TOKEN.finditer(raw):
        mark = token.group()[:1]
        if depth == 1 and mark == b'"' and (found := _ID.match(raw, token.start())):
            return found.group(1).decode()
        depth += (mark in b"[{") - (mark in b"]}")
        if mark == b"[" and depth == 1:
            return None  # not an object
    return None


@contextmanager
def _deep_recursion() -> Iterator[None]:
    """Raise Python's limit for one read; the limit belongs to the process."""
    with _recursion_lock:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(before, RECURSION_LIMIT))
        try:
            yield
        finally:
            sys.setrecursionlimit(before)
