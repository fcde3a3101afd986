"""The keys of session tokens: read once, kept, and read again only when a token gives reason to."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from clerksync import tokens
from clerksync.client import ClerkClient
from clerksync.exceptions import ClerkUnavailable, TokenError
from clerksync.keys import COOLDOWN, LIFETIME, UNKNOWN_FOR, KeyRing, configured_source
from clerksync.testing import FakeClerk
from clerksync.testing.wire import Request
from clerksync.token_rules import Rules
from tests.clocks import VirtualTime

USER = "user_2mXbLrPqYdWv8kTzJcNhG4sAeUo"


@pytest.fixture
def time() -> VirtualTime:
    """The time that rings go by."""
    return VirtualTime()


@pytest.fixture
def ring(clerk: FakeClerk, settings: Any, time: VirtualTime) -> KeyRing:
    """The ring of the test's Clerk."""
    return KeyRing(secret_key=clerk.secret_key, api_url=settings.CLERK_API_URL, clock=time.clock)


@pytest.fixture
def verifier(ring: KeyRing) -> tokens.Verifier:
    """Verifies with the ring's keys."""
    return tokens.Verifier(rules=Rules(), source=ring)


def numbers(key: rsa.RSAPublicKey | None) -> rsa.RSAPublicNumbers | None:
    """What makes two keys equal."""
    return None if key is None else key.public_numbers()


def reason(verifier: tokens.Verifier, token: str) -> str:
    with pytest.raises(TokenError) as caught:
        verifier.verify(token)
    return caught.value.reason


def test_find__read_once(clerk: FakeClerk, ring: KeyRing, time: VirtualTime) -> None:
    """One request for all tokens of an hour."""
    for _ in range(60):
        found = ring.find(clerk.instance_id)
        assert numbers(found) == clerk.instance.signing_key.public_key().public_numbers()
        time.sleep(LIFETIME / 60)
    assert len(clerk.requests) == 1


def test_find__parsed_once(clerk: FakeClerk, ring: KeyRing) -> None:
    """The same object each time."""
    assert ring.find(clerk.instance_id) is ring.find(clerk.instance_id)


def test_find__after_its_lifetime(clerk: FakeClerk, ring: KeyRing, time: VirtualTime) -> None:
    """Then it is asked for again, and a key that Clerk has withdrawn is gone."""
    old = clerk.instance_id
    ring.find(old)
    clerk.rotate_signing_key(key_id="ins_new")
    assert ring.find(old) is not None
    time.sleep(LIFETIME + 1)
    assert ring.find(old) is None
    assert ring.find("ins_new") is not None
    assert len(clerk.requests) == 2


@pytest.mark.parametrize("kind", [503, 401, "html", "reset", "truncated"])
def test_find__stale_while_clerk_is_down(
    kind: Any, clerk: FakeClerk, ring: KeyRing, time: VirtualTime
) -> None:
    """What was read before stays in use, for as long as it takes, and is renewed when Clerk is back."""
    first = ring.find(clerk.instance_id)
    clerk.fail(kind, times=None, on="*")
    for _ in range(5):
        time.sleep(LIFETIME)
        assert ring.find(clerk.instance_id) is first
    clerk.clear_faults()
    clerk.clear_requests()
    time.sleep(COOLDOWN)
    assert numbers(ring.find(clerk.instance_id)) == numbers(first)
    assert len(clerk.requests) == 1


@pytest.mark.parametrize("kind", [503, 429, 401, "html", "reset"])
def test_find__never_read(kind: Any, clerk: FakeClerk, ring: KeyRing, time: VirtualTime) -> None:
    """Without any key the answer is that nobody knows; the next try comes after a while."""
    clerk.fail(kind, times=None, on="*")
    with pytest.raises(ClerkUnavailable):
        ring.find(clerk.instance_id)
    asked = len(clerk.requests)
    time.sleep(COOLDOWN - 1)
    with pytest.raises(ClerkUnavailable):
        ring.find(clerk.instance_id)
    assert len(clerk.requests) == asked
    clerk.clear_faults()
    time.sleep(1)
    assert ring.find(clerk.instance_id) is not None


def test_find__within_seconds(clerk: FakeClerk, settings: Any) -> None:
    """Somebody waits for a page: a Clerk that does not answer is given up."""
    clerk.fail("slow", seconds=30, times=None, on="*")
    ring = KeyRing(secret_key=clerk.secret_key, api_url=settings.CLERK_API_URL, timeout=0.3)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ClerkUnavailable):
        pool.submit(ring.find, "ins_1").result(timeout=5)


def test_find__unknown_id(clerk: FakeClerk, ring: KeyRing, time: VirtualTime) -> None:
    """An id that Clerk does not know is asked about once, others meanwhile not at all."""
    ring.find(clerk.instance_id)
    time.sleep(COOLDOWN)
    assert ring.find("ins_a") is None
    assert ring.find("ins_b") is None
    assert len(clerk.requests) == 2
    time.sleep(UNKNOWN_FOR - 1)
    assert ring.find("ins_a") is None
    assert len(clerk.requests) == 2
    time.sleep(1)
    assert ring.find("ins_a") is None
    assert len(clerk.requests) == 3


def test_find__unknown_id_after_a_young_answer(clerk: FakeClerk, ring: KeyRing, time: VirtualTime) -> None:
    """An answer from before the question proves nothing: a key that has just been made is found soon."""
    ring.find(clerk.instance_id)
    clerk.rotate_signing_key(key_id="ins_new")
    assert ring.find("ins_new") is None
    time.sleep(COOLDOWN)
    assert ring.find("ins_new") is not None


def test_find__unknown_ids_bounded(clerk: FakeClerk, settings: Any, time: VirtualTime) -> None:
    """Whoever sends ever new ids fills no memory: the oldest is forgotten, and asked about again."""
    ring = KeyRing(
        secret_key=clerk.secret_key, api_url=settings.CLERK_API_URL, clock=time.clock, max_unknown=3
    )
    ring.find(clerk.instance_id)
    for kid in ("ins_1", "ins_2", "ins_3", "ins_4"):
        time.sleep(COOLDOWN)
        ring.find(kid)
    time.sleep(COOLDOWN)
    clerk.clear_requests()
    assert [ring.find(kid) for kid in ("ins_2", "ins_3", "ins_4")] == [None] * 3
    assert clerk.requests == []
    assert ring.find("ins_1") is None
    assert len(clerk.requests) == 1


def test_find__unknown_id_while_clerk_is_down(clerk: FakeClerk, ring: KeyRing, time: VirtualTime) -> None:
    """It may be a new key: nobody can tell."""
    ring.find(clerk.instance_id)
    time.sleep(COOLDOWN)
    clerk.fail(503, times=None, on="*")
    for _ in range(2):
        with pytest.raises(ClerkUnavailable):
            ring.find("ins_new")
    assert ring.find(clerk.instance_id) is not None


def test_rotation__under_a_new_id(clerk: FakeClerk, verifier: tokens.Verifier, time: VirtualTime) -> None:
    """The first token with the new key makes it known."""
    old = clerk.token(USER)
    verifier.verify(old)
    time.sleep(COOLDOWN)
    clerk.rotate_signing_key(key_id="ins_new")
    assert verifier.verify(clerk.token(USER)).user_id == USER
    assert reason(verifier, old) == "unknown_key"


def test_rotation__under_the_same_id(clerk: FakeClerk, verifier: tokens.Verifier, time: VirtualTime) -> None:
    """As Clerk names keys after instances, this is what to expect; remembered tokens of the old key go."""
    old = clerk.token(USER)
    verifier.verify(old)
    time.sleep(COOLDOWN)
    clerk.rotate_signing_key()
    assert verifier.verify(clerk.token(USER)).user_id == USER
    assert reason(verifier, old) == "signature"
    assert len(clerk.requests) == 2


def test_rotation__another_key_beside_ours(
    clerk: FakeClerk, verifier: tokens.Verifier, ring: KeyRing, time: VirtualTime
) -> None:
    """A key set that has grown, or is read again unchanged, forgets no token."""
    token = clerk.token(USER)
    claims = verifier.verify(token)
    time.sleep(LIFETIME + 1)
    ring.find(clerk.instance_id)
    assert len(clerk.requests) == 2
    assert verifier.verify(token) is claims


def test_forgeries__once_in_a_cooldown(
    clerk: FakeClerk, verifier: tokens.Verifier, time: VirtualTime
) -> None:
    """Bad signatures and unknown ids share one request in 30 s."""
    verifier.verify(clerk.token(USER))
    forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for number in range(100):
        time.sleep(0.9)
        header = {"kid": f"ins_{number}"} if number % 2 else {}
        assert reason(verifier, clerk.token(USER, key=forger, header=header)) in {"unknown_key", "signature"}
    assert len(clerk.requests) <= 1 + 90 / COOLDOWN


def test_threads__one_request(clerk: FakeClerk, settings: Any) -> None:
    """Whoever comes while the keys are read waits for them."""
    clerk.fail("slow", seconds=0.3, times=None, on="*")
    ring = KeyRing(secret_key=clerk.secret_key, api_url=settings.CLERK_API_URL)
    start = threading.Barrier(16)

    def find() -> rsa.RSAPublicKey | None:
        start.wait()
        return ring.find(clerk.instance_id)

    with ThreadPoolExecutor(16) as pool:
        found = [future.result() for future in [pool.submit(find) for _ in range(16)]]
    assert None not in found
    assert len(set(map(id, found))) == 1
    assert len(clerk.requests) == 1


def test_threads__nobody_waits_for_a_renewal(clerk: FakeClerk, ring: KeyRing, time: VirtualTime) -> None:
    """While one thread reads the keys anew, the others go on with the old ones."""
    first = ring.find(clerk.instance_id)
    time.sleep(LIFETIME + 1)
    under_way, go_on = threading.Event(), threading.Event()

    def wait(request: Request) -> None:
        under_way.set()
        go_on.wait(10)

    clerk.fail("callback", call=wait, on="*")
    with ThreadPoolExecutor(1) as pool:
        renewal = pool.submit(ring.find, clerk.instance_id)
        under_way.wait(10)
        assert ring.find(clerk.instance_id) is first
        assert not renewal.done()
        go_on.set()
        assert renewal.result() is not first


def test_scope__same_id_on_another_instance(clerk: FakeClerk, settings: Any) -> None:
    """Keys are kept by instance: an id alone names none."""
    here = configured_source().find(clerk.instance_id)
    assert here is not None
    with override_settings(CLERK_SECRET_KEY="sk_test_another"):
        clerk.secret_key = "sk_test_another"
        clerk.rotate_signing_key()
        there = configured_source().find(clerk.instance_id)
    assert numbers(there) not in {None, numbers(here)}
    assert numbers(configured_source().find(clerk.instance_id)) == numbers(here)


def test_scope__one_ring_for_an_instance(clerk: FakeClerk) -> None:
    """All threads share it; the rings of instances that are long gone are not kept."""
    ring = configured_source()
    assert configured_source() is ring
    for number in range(20):
        with override_settings(CLERK_SECRET_KEY=f"sk_test_{number}"):
            configured_source()
    assert configured_source() is not ring


def test_budget__of_its_own(clerk: FakeClerk, ring: KeyRing) -> None:
    """A Clerk that asks readers of users to wait still tells its keys, which it does not limit."""
    with ClerkClient(purpose="web", deadline=0.5) as client:
        clerk.fail(429, retry_after=3600, on="GET /v1/users/count")
        with pytest.raises(ClerkUnavailable):
            client.count()
    assert ring.find(clerk.instance_id) is not None


def test_log__says_what_goes_on(
    clerk: FakeClerk, ring: KeyRing, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for each try, without the secret key."""
    clerk.fail(401, times=None, on="*")
    for _ in range(5):
        with pytest.raises(ClerkUnavailable):
            ring.find("ins_1")
    (record,) = caplog.records
    assert "nobody can be recognised; next try in 30 s" in record.message
    assert "status 401" in record.message
    assert clerk.secret_key not in caplog.text


def test_configured__nothing(settings: Any) -> None:
    """Says what to set."""
    settings.CLERK_SECRET_KEY = ""
    with pytest.raises(ImproperlyConfigured, match=r"set CLERK_SECRET_KEY.*or CLERK_JWT_KEY"):
        configured_source()
