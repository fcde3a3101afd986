"""The careful way of reading users, pure."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clerksync.exceptions import PayloadError
from clerksync.salvage import escape_text, read_user, split_array, unescape_text
from tests.jsons import any_json, any_text

USER = b'{"id": "user_a", "created_at": 1, "updated_at": 2, "email_addresses": [], "public_metadata": %s}'


@given(st.lists(any_json, max_size=6), st.booleans(), st.sampled_from([None, 0, 2]))
@example(["\ud800\udfff"], True, None)  # noqa: FBT003  # hypothesis
def test_split_array__agrees_with_json(values: list[Any], ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001  # hypothesis
    """The pieces of any list are its elements, however it is written."""
    body = json.dumps(values, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    pieces = split_array(body)
    # Not the values themselves: two halves of a character, written as escapes, are read as one character.
    whole = json.loads(body.decode("utf-8", "surrogatepass"))
    assert [json.loads(piece.decode("utf-8", "surrogatepass")) for piece in pieces] == whole


@given(st.lists(any_json, min_size=1, max_size=4), st.data())
def test_split_array__cut_off(values: list[Any], data: st.DataObject) -> None:
    """No beginning of a list is taken for a list."""
    body = json.dumps(values).encode()
    end = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(PayloadError):
        split_array(body[:end])


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'"[]"', b"<html>"])
def test_split_array__no_array(body: bytes) -> None:
    """Anything but a list is refused."""
    with pytest.raises(PayloadError):
        split_array(body)


def test_split_array__deep_and_long() -> None:
    """Neither depth nor length costs more than the reading."""
    deep, long = b"[" * 200_000 + b"]" * 200_000, b'"' + b"x\\n" * 500_000 + b'"'
    assert split_array(b"[%s,%s,1]" % (deep, long)) == [deep, long, b"1"]


@given(any_text)
@example("\u241b0000")
@example("\u241b\x00\ud800\udc00")
def test_escape_text__can_be_turned_back(text: str) -> None:
    """What is stored is text for every database and leads back to what Clerk sent."""
    stored = escape_text(text)
    assert unescape_text(stored) == text
    assert "\x00" not in stored
    stored.encode()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00\u241b")))
def test_escape_text__leaves_ordinary_text(text: str) -> None:
    """Only what no database takes is changed."""
    assert escape_text(text) == text


@pytest.mark.parametrize("levels", [1, 50, 1000])
def test_read_user__nested(levels: int) -> None:
    """A thousand levels are read."""
    user, _, problems = read_user(USER % (b"[" * levels + b"]" * levels))
    assert (user.id, problems) == ("user_a", ())


@pytest.mark.parametrize("levels", [20_000, 200_000])
@pytest.mark.parametrize("pair", [b"[]", b'{"a":}'])
def test_read_user__nested_too_deeply(levels: int, pair: bytes) -> None:
    """More levels cost this user alone, who is still known by the id."""
    with pytest.raises(PayloadError, match="nested too deeply") as caught:
        read_user(USER % (pair[:-1] * levels + b"1" + pair[-1:] * levels))
    assert caught.value.clerk_id == "user_a"


def test_read_user__on_a_small_stack() -> None:
    """Depth ends in an error, not in a crash, on the stack that a thread has on other systems."""
    script = """
import threading
from clerksync.exceptions import PayloadError
from clerksync.salvage import read_user
def read():
    for levels in (100, 900, 1000, 1100, 1500, 2400, 3000, 6000, 50_000):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            try:
                read_user(b'{"id": "user_a", "public_metadata": ' + opening * levels + b"1" + closing * levels + b"}")
            except PayloadError:
                pass
    print("alive")
threading.stack_size(512 * 1024)
thread = threading.Thread(target=read)
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, b"alive"), done.stderr


@pytest.mark.parametrize(
    ("raw", "clerk_id"),
    [
        (b'{"id": "user_a", "x": tru}', "user_a"),
        (b'{"x": [{"id": "idn_1"}], "id": "user_a", "y": tru}', "user_a"),
        (b'{"x": [{"id": "idn_1"}], "y": tru}', None),
        (b'{"x": "\\"id\\": \\"user_b\\"", "y": tru}', None),
        (b'{"id": {"id": "idn_1"}, "y": tru}', None),
        (b'{"id": "user \\u0000", "y": tru}', None),
        (b'[{"id": "user_a"}, tru]', None),
    ],
)
def test_read_user__id_of_what_cannot_be_read(raw: bytes, clerk_id: str | None) -> None:
    """Only the user's own id counts, never that of an address or of a text."""
    with pytest.raises(PayloadError) as caught:
        read_user(raw)
    assert caught.value.clerk_id == clerk_id


@pytest.mark.parametrize(
    "raw",
    [
        b'{"id": "user_a", "private_metadata": {"ssn": "SECRET"}, "private_metadata": 5}',
        b'{"id": "user_a", "private_metadata": 5, "private_metadata": {"ssn": "SECRET"}}',
        b'{"id": "user_a", "private_metadata": [[{"ssn": "SECRET"}], {"ssn": "SECRET"}]}',
        b'{"id": "user_a", "\\u0070rivate_metadata": {"\\u0073sn": "SECRET"}}',
    ],
)
def test_read_user__excluded_parts_leave_no_trace(raw: bytes) -> None:
    """Neither doubled keys nor nested lists nor escaped names bring an excluded part into the payload."""
    _, payload, _ = read_user(raw, exclude=["private_metadata.ssn"])
    assert "SECRET" not in payload


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 5000, b"-" + b"9" * 400])
def test_read_user__numbers_that_are_too_large(number: bytes) -> None:
    """A number that no database takes is dropped, and said so."""
    user, payload, problems = read_user(USER % (b'{"a": %s, "b": 1}' % number))
    assert user.public_metadata == {"a": None, "b": 1}
    assert problems == ("a number that is too large was dropped",)
    assert json.loads(payload)["public_metadata"]["b"] == 1
