"""Answers whose JSON would become far more in memory than it is on the wire."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from clerksync.exceptions import PayloadError
from clerksync.payloads import MAX_USER, Parser, Source
from tests.figures import tell
from tests.observed import user_json

_MANY = 9 * 1024 * 1024


@pytest.mark.parametrize("element", [b"[]", b"{}", b"0", b'""', b"null"])
def test_page__of_nothings(element: bytes) -> None:
    """Millions of nothings are no page; they are not even decoded."""
    body = b"[" + (element + b",") * (_MANY // len(element)) + element + b"]"
    tracemalloc.start()
    with pytest.raises(PayloadError, match="more than 10000 elements"):
        Parser().parse_page(body, source=Source.LIST, observed_ms=None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(body)
    tell("hostile users and answers")


@pytest.mark.parametrize("key", ["email_addresses", "public_metadata", "anything"])
def test_user__too_large(key: str) -> None:
    """A user of more than 4 MiB costs that user alone, who is still known by the id."""
    large = json.dumps(user_json("user_large")).encode()[:-1] + b',"%b":[' % key.encode()
    large += b"{}," * (MAX_USER // 3) + b"{}]}"
    small = json.dumps(user_json("user_small")).encode()
    seen = Parser().parse_page(b"[%b,%b,%b]" % (small, large, small), source=Source.LIST, observed_ms=None)
    assert [(one.clerk_id, one.full) for one in seen] == [
        ("user_small", True),
        ("user_large", False),
        ("user_small", True),
    ]
    assert seen[1].problems == (f"larger than {MAX_USER} bytes",)
    tell("hostile users and answers")
