"""Answers whose JSON would become far more in memory than it is on the wire."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import pytest

from clerksync.exceptions import PayloadError
from clerksync.payloads import MAX_USER, Parser, Source
from clerksync.testing import FakeClerk
from clerksync.transport import MAX_BODY
from tests.figures import tell
from tests.hostile.replies import ENDLESS
from tests.hostile.wires import answering
from tests.observed import user_json
from tests.processes import environment

#: Prints how many MB of memory one answer has cost at its height, and how it was refused.
_READ = """
import sys, django
django.setup()
from clerksync.client import ClerkClient
from clerksync.exceptions import ClerkError
from tests.benchmarks.machine import peak_mb
with ClerkClient(secret_key="sk_live_x", api_url=sys.argv[1]) as client:
    try:
        client.count()
    except ClerkError:
        pass
    before = peak_mb()
    try:
        client.list_users(limit=500)
    except ClerkError as error:
        print(peak_mb() - before, error)
"""

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


@pytest.mark.django_db
def test_answer__bomb_in_a_process_of_its_own(clerk: FakeClerk) -> None:
    """The memory of the whole process grows by little more than the body that is taken at most, and its copy."""
    with answering(clerk, ENDLESS["chunks_of_gzip"]) as (url, _):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _READ, url],
            env=environment(), capture_output=True, text=True, check=True, timeout=100,
        )  # fmt: skip
    grown, _, error = done.stdout.partition(" ")
    assert "more than 67108864 bytes" in error
    assert MAX_BODY <= int(grown) * 1024 * 1024 < 3 * MAX_BODY
    tell("hostile users and answers")
