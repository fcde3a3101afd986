"""HTTP to Clerk's Backend API: one request until there is an answer; the only user of requests."""

from __future__ import annotations

import logging
import re
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import requests
import urllib3
from django.core.exceptions import ImproperlyConfigured
from msgspec import Struct

from clerksync import __version__, answers, signals
from clerksync.answers import Answer
from clerksync.connections import DeadlineAdapter, ends_by
from clerksync.exceptions import BudgetSpent, ClerkUnavailable, InvalidResponse
from clerksync.logs import Log, clean, told
from clerksync.throttle import Patience, Throttle, backoff

API_VERSION = "2026-05-12"
#: Of one body, after decompression.
MAX_BODY = 64 * 1024 * 1024
MAX_POSTED = 64 * 1024
_PIECE = 1024 * 1024
#: How a body may be packed: as it is asked for, or not at all.
_PLAIN = {"", "identity"}
_PACKINGS = _PLAIN | {"gzip", "x-gzip"}

_API_URL = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")

Params = Sequence[tuple[str, str | int]]

logger = logging.getLogger(__name__)


class Transport:
    """Sends requests with the secret key, at the throttle's pace, and again where that can help.

    Args:
        secret_key: Clerk's secret key.
        api_url: With or without ``/v1``.
        throttle: Says when a request may go.
        timeout: (connect, read) in seconds.
        deadline: Seconds for one call with all its tries.
        halt: Once set, nothing is sent any more, and waits end with SyncInterrupted.
    """

    def __init__(
        self,
        *,
        secret_key: str,
        api_url: str,
        throttle: Throttle,
        timeout: tuple[float, float],
        deadline: float,
        halt: threading.Event | None = None,
    ) -> None:
        self.requests = 0
        self.throttled = 0
        self._api_url = api_url
        self._throttle = throttle
        self._timeout = timeout
        self._deadline = deadline
        self._halt = halt
        self._clock = throttle.clock
        self._lock = threading.Lock()
        self._latest: tuple[int, float] | None = None
        self._key = _SecretKey(secret_key)
        self._session = _session(self._key, api_url)

    @property
    def knows_time(self) -> bool:
        """Whether Clerk has told the time."""
        return self._latest is not None

    def now_ms(self) -> int:
        """Return the time of Clerk's clock at the earliest; of ours, if Clerk has not told its own."""
        if self._latest is None:
            return time.time_ns() // 1_000_000
        observed_ms, at = self._latest
        return observed_ms + int((self._clock.monotonic() - at) * 1000)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, path: str, params: Params = (), *, stop: threading.Event | None = None) -> Answer:
        """Ask until there is an answer that another try would not change, or the deadline comes."""
        signals.pre_request.send(Transport, url=self._api_url)
        # A loop, not tenacity: the wait after a 429 is exact and shared, the others are jittered,
        # and a deadline and ``stop`` cut all of them short; each would be a callback there.
        request = f"GET /v1{path}"
        patience = Patience(seconds=self._deadline, clock=self._clock, stop=stop, halt=self._halt)
        why = f"{request}: the rate limit leaves no room before the deadline"
        attempt = 0
        while True:
            while wait := self._throttle.take():
                if wait >= patience.left:
                    raise BudgetSpent(why)
                patience.sleep(wait, why=why)
            patience.check()
            outcome = self._attempt(request, f"{self._api_url}/v1{path}", params, left=patience.left)
            if isinstance(outcome, Answer) and not outcome.is_temporary:
                return outcome
            attempt += 1
            trouble = outcome.describe() if isinstance(outcome, Answer) else outcome
            why = f"{request}: no answer before the deadline; the last of {attempt} tries: {trouble}"
            logger.info(
                "%s, try %d: %s",
                request,
                attempt,
                clean(trouble),
                extra=told(Log.API_RETRIED, attempt=attempt),
            )
            if isinstance(outcome, Answer) and outcome.status == 429:
                self._slow_down(outcome, attempt=attempt)
            else:
                patience.sleep(backoff(attempt), why=why)

    def _attempt(self, request: str, url: str, params: Params, *, left: float) -> Answer | str:
        """Send one request; return the answer, or what went wrong on the way."""
        connect, read = (max(0.05, min(seconds, left)) for seconds in self._timeout)
        with self._lock:
            self.requests += 1
        started = self._clock.monotonic()
        try:
            with ends_by(time.monotonic() + left):
                response = self._session.get(
                    url, params=params, timeout=(connect, read), allow_redirects=False, stream=True
                )
                elapsed = self._clock.monotonic() - started
                with closing(response):
                    body = _read(response) if _packing(response) in _PACKINGS else b""
        # ValueError: requests reads where a redirect leads, although it does not follow it.
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            trouble, is_hopeless = _explain(error)
        else:
            return self._answer(request, response, body, elapsed=elapsed)
        # Outside of the handler: the error that is hidden thus holds our headers, and so the key.
        if is_hopeless:
            raise ClerkUnavailable(f"{request}: {trouble}")
        return trouble

    def _answer(
        self, request: str, response: requests.Response, body: bytes, *, elapsed: float
    ) -> Answer | str:
        if len(body) > MAX_BODY:
            raise InvalidResponse(f"{request}: an answer of more than {MAX_BODY} bytes")
        if (packing := _packing(response)) not in _PACKINGS and response.status_code == 200:
            raise InvalidResponse(
                f"{request}: an answer packed as {answers.one_line(packing, 60)}, which was not asked for"
            )
        observed_ms = answers.started_ms(response.headers, elapsed=elapsed)
        if observed_ms is not None:
            self._latest = observed_ms, self._clock.monotonic() - elapsed
        answer = Answer(
            request,
            response.status_code,
            response.headers,
            self._key.remove_from(body) if response.status_code != 200 else body,
            observed_ms,
        )
        return "the JSON ends early" if answer.is_cut else answer

    def _slow_down(self, answer: Answer, *, attempt: int) -> None:
        with self._lock:
            self.throttled += 1
        seconds = answers.retry_after(answer.headers)
        self._throttle.pause(backoff(attempt) if seconds is None else seconds)


class Posted(Struct, frozen=True):
    """The answer to a POST; ``location`` is where a redirect points."""

    status: int
    location: str
    body: bytes


def post(url: str, body: bytes, headers: dict[str, str], *, timeout: tuple[float, float] = (5, 15)) -> Posted:
    """Send one POST, without our key and without following redirects.

    Raises:
        ClerkUnavailable: No answer came.
    """
    named = {"User-Agent": f"clerksync/{__version__}", **headers}
    try:
        with requests.post(
            url, data=body, headers=named, timeout=timeout, allow_redirects=False, stream=True
        ) as response:
            text = response.raw.read(MAX_POSTED, decode_content=True)
            return Posted(response.status_code, response.headers.get("Location", ""), text)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise ClerkUnavailable(f"POST {urlsplit(url).netloc}: {_explain(error)[0]}") from None


def checked_key(key: str) -> str:
    """Return the key, or raise ImproperlyConfigured if it cannot be one."""
    if not key:
        raise ImproperlyConfigured(
            "CLERK_SECRET_KEY is empty: set it to a secret key (sk_live_... or sk_test_...) "
            "of your instance, which Clerk's dashboard shows under API keys."
        )
    # Anything else would be refused by http.client, with the key in the message.
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ImproperlyConfigured("CLERK_SECRET_KEY contains a space or a character that no key has.")
    return key


def base_url(url: str) -> str:
    """Return the URL without ``/v1`` and slash, or raise ImproperlyConfigured if it is none."""
    base = url.rstrip("/").removesuffix("/v1").rstrip("/")
    if not _API_URL.fullmatch(base):
        # The value is not shown: it may hold a password.
        raise ImproperlyConfigured("CLERK_API_URL must be a URL like https://api.clerk.com.")
    return base


class _SecretKey(requests.auth.AuthBase):
    """Puts the key into each request."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def remove_from(self, body: bytes) -> bytes:
        """Return an error's body without the key, should it have come back in it."""
        return body.replace(self._key.encode(), b"***")


def _session(key: _SecretKey, url: str) -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter())
    session.auth = key
    session.headers["User-Agent"] = f"clerksync/{__version__}"
    session.headers["Accept"] = "application/json"
    # By default whatever the installed packages can unpack is asked for.
    session.headers["Accept-Encoding"] = "gzip"
    session.headers["Clerk-API-Version"] = API_VERSION
    # The cookies of Clerk's edge belong to browsers.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Proxies and certificates of the environment are looked up once, not for every request;
    # and .netrc, which would replace the key, never.
    environment = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify = environment["proxies"], environment["verify"]
    session.trust_env = False
    return session


def _packing(response: requests.Response) -> str:
    return str(response.headers.get("Content-Encoding", "")).strip().lower()


def _read(response: requests.Response) -> bytes:
    """Read the body at once, or in large pieces: ``response.content`` takes twice as long, in pieces of 10 KB."""
    left = response.raw.length_remaining
    if left is not None and left <= MAX_BODY and _packing(response) in _PLAIN:
        whole: bytes = response.raw.read(decode_content=False)
        return whole
    pieces, size = [], 0
    while size <= MAX_BODY and (piece := response.raw.read1(_PIECE, decode_content=True)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _explain(error: Exception) -> tuple[str, bool]:
    """Return what broke a request, and whether it would break the next one just so."""
    root: BaseException = error
    while (inner := root.__cause__ or root.__context__) is not None:
        root = inner
    # Wrong URLs and proxies are ValueErrors.
    is_hopeless = isinstance(error, ValueError) or isinstance(root, ssl.SSLCertVerificationError)
    return f"{type(error).__name__} ({answers.one_line(str(root), 200)})", is_hopeless
