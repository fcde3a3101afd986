"""The fake Clerk: a population of users behind Clerk's Backend API, with faults on demand."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from django.test import Client
from django.urls import reverse

from clerksync.testing import faultkinds
from clerksync.testing.admission import check_key, check_version
from clerksync.testing.clock import Clock, VirtualClock
from clerksync.testing.deliveries import Delivery, data_of, event_body, sign
from clerksync.testing.endpoints import Endpoints, find_route
from clerksync.testing.faults import Fault, FaultBook
from clerksync.testing.instance import Instance
from clerksync.testing.listing import UnknownCursor
from clerksync.testing.ordering import shuffled_by
from clerksync.testing.population import Population
from clerksync.testing.ratelimit import RateLimit, too_many_requests
from clerksync.testing.sessions import Sessions
from clerksync.testing.wire import Json, RecordedRequest, Refusal, Request, Response

DEFAULT_INSTANCE_ID = "ins_2kVqNwXcRtYb7mHsDfJpL3gZaEo"
#: Seconds after which nobody takes a user for too young to be shown.
OLD_ENOUGH = 120
DEFAULT_KEY = "sk_live_6Wq2nVbXr9TzKdMhYcPfLsGj"


class FakeClerk(Population, Sessions):
    """Clerk as far as an application can tell; the same seed and calls give the same answers.

    Args:
        seed: Where all ids and names come from.
        instance_id: The id of the instance, and of its signing key.
        environment: ``production`` or ``development``.
        secret_key: The one key that is accepted; may be changed at any time.
        clock: Stamps changes, ``Date`` headers and the rate limit; stands still by default.
        rate_limit: So many requests in so many seconds, or None for no limit.
        unknown_cursor: What ``starting_after`` an unknown user gets, which Clerk does not
            document: an ``error`` (404), the first page as if the cursor were ``ignored``,
            or an ``empty`` page.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        instance_id: str = DEFAULT_INSTANCE_ID,
        environment: str = "production",
        secret_key: str = DEFAULT_KEY,
        clock: Clock | None = None,
        rate_limit: tuple[int, float] | None = None,
        unknown_cursor: UnknownCursor = "error",
    ) -> None:
        super().__init__(seed=seed, clock=VirtualClock() if clock is None else clock)
        self.instance = Instance(instance_id=instance_id, environment=environment, secret_key=secret_key)
        self.unknown_cursor: UnknownCursor = unknown_cursor
        self.requests: list[RecordedRequest] = []
        self._rate_limit = rate_limit and RateLimit(requests=rate_limit[0], seconds=rate_limit[1])
        self._faults = FaultBook()
        self._answers = 0
        self._seed = seed

    @property
    def instance_id(self) -> str:
        """The id of the instance."""
        return self.instance.instance_id

    @property
    def secret_key(self) -> str:
        """The key that requests have to carry."""
        return self.instance.secret_key

    @secret_key.setter
    def secret_key(self, value: str) -> None:
        self.instance.secret_key = value

    @property
    def publishable_key(self) -> str:
        """The key that frontends carry."""
        return self.instance.publishable_key

    def advance(self, *, ms: int = 0, seconds: float = 0) -> int:
        """Move the clock and return its new time in milliseconds; a real clock raises TypeError."""
        if not isinstance(self.clock, VirtualClock):
            raise TypeError("only a VirtualClock can be moved")
        return self.clock.advance(ms=ms, seconds=seconds)

    def fail(
        self,
        kind: str | int,
        *,
        times: int | None = 1,
        on: str = "GET /v1/users",
        after: int = 0,
        **options: Any,
    ) -> Fault:
        """Arm a fault and return it; its ``fired`` counts the answers that it has spoilt.

        Args:
            kind: A status (``503``, ``429``; options ``code``, ``message``, ``retry_after`` as it
                is to be sent, ``retry_after_date`` in seconds from now) or the name of a fault;
                see ``faultkinds.OPTIONS``.
            times: How many requests it meets; None for all.
            on: A route (``GET /v1/users/{id}``), one path (``GET /v1/users/user_...``) or ``*``.
            after: How many such requests pass before it.
            options: What the kind takes, for instance ``seconds`` of ``slow``; ``call`` of
                ``callback`` is given the request, and a Response that it returns is sent.
        """
        with self.lock:
            return self._faults.arm(kind, times=times, on=on, after=after, options=options)

    def sync_users(self, *clerk_ids: str) -> None:
        """Bring the rows of these users up to date; no fault meets these requests, none is recorded.

        For users who are gone a virtual clock moves on: an absence so soon would prove nothing.
        """
        if isinstance(self.clock, VirtualClock) and any(clerk_id not in self for clerk_id in clerk_ids):
            self.advance(seconds=OLD_ENOUGH)
        with self.lock:
            hidden = self.requests, self._faults, self._rate_limit
            self.requests, self._faults, self._rate_limit = [], FaultBook(), None
        try:
            super().sync_users(*clerk_ids)
        finally:
            with self.lock:
                self.requests, self._faults, self._rate_limit = hidden

    def sign_webhook(
        self,
        event_type: str,
        user: Json | None = None,
        *,
        data: Json | None = None,
        svix_id: str | None = None,
    ) -> Delivery:
        """Make a really signed delivery of an event, at the clock's time.

        Args:
            event_type: For instance ``user.updated``.
            user: Whom it is about; what is sent is what this instance holds now, or, of a user
                who is gone, what is given.
            data: The object of the event instead.
            svix_id: The message's id; give one to send the same message twice.
        """
        now_ms = self.clock.now_ms()
        if data is None and user is not None:
            current = self.get(user["id"]) if user["id"] in self else user
            data = data_of(event_type, current, now_ms=now_ms)
        body = event_body(event_type, data or {}, timestamp_ms=now_ms, instance_id=self.instance_id)
        return sign(body, svix_id=svix_id or f"msg_{secrets.token_hex(12)}")

    def send_webhook(
        self,
        event_type: str,
        user: Json | None = None,
        *,
        data: Json | None = None,
        svix_id: str | None = None,
        client: Client | None = None,
    ) -> Any:
        """Deliver an event as ``sign_webhook`` makes it, and return the response.

        The project's URLs must include ``clerksync.urls``; CSRF is enforced, as it would be for Clerk.
        """
        delivery = self.sign_webhook(event_type, user, data=data, svix_id=svix_id)
        return (client or Client(enforce_csrf_checks=True)).post(
            reverse("clerksync:webhook"),
            data=delivery.body,
            content_type="application/json",
            headers=delivery.headers,
        )

    def clear_faults(self) -> None:
        """Disarm all faults."""
        with self.lock:
            self._faults.clear()

    def clear_requests(self) -> None:
        """Forget the recorded requests."""
        with self.lock:
            self.requests.clear()

    def handle(self, request: Request) -> Response:
        """Answer a request, record it, and let the faults that are due do their work."""
        with self.lock:
            faults = self._faults.take(request, route=find_route(request))
            self._answers += 1
            trace_id = f"{self._seed & 0xFFFFFFFF:08x}{self._answers:024x}"
        response = self._replaced(request, faults, trace_id=trace_id)
        if response is None:
            response = self._answer(request, faults, trace_id=trace_id)
        for fault in faults:
            response = faultkinds.alter(fault.kind, response, options=fault.options)
        return self._recorded(request, self._dated(response, faults))

    def _replaced(self, request: Request, faults: list[Fault], *, trace_id: str) -> Response | None:
        """Return the answer of a fault in place of Clerk's, if there is one."""
        response: Response | None = None
        for fault in faults:
            if fault.kind == "callback":
                call: Callable[[Request], Response | None] = fault.options["call"]
                response = call(request) or response
            elif response is None and faultkinds.replaces(fault.kind):
                response = faultkinds.replacement(
                    fault.kind, options=fault.options, now_ms=self.clock.now_ms(), trace_id=trace_id
                )
        return response

    def _answer(self, request: Request, faults: list[Fault], *, trace_id: str) -> Response:
        for fault in faults:
            request = faultkinds.rewrite(fault.kind, request, options=fault.options)
        endpoints = Endpoints(
            population=self,
            instance=self.instance,
            unknown_cursor=self.unknown_cursor,
            tie=shuffled_by(trace_id) if any(fault.kind == "shuffle_ties" for fault in faults) else None,
        )
        try:
            check_version(request)
            check_key(request, secret_key=self.secret_key)
            self._check_rate(request)
            return endpoints.answer(request)
        except Refusal as refusal:
            return refusal.response(trace_id=trace_id)

    def _check_rate(self, request: Request) -> None:
        if self._rate_limit is None or request.path == "/v1/jwks":
            return
        with self.lock:
            seconds = self._rate_limit.admit(now_ms=self.clock.now_ms())
        if seconds:
            raise too_many_requests(seconds=seconds)

    def _dated(self, response: Response, faults: list[Fault]) -> Response:
        if any(fault.kind == "no_date" for fault in faults):
            return response
        date = formatdate(self.clock.now_ms() // 1000, usegmt=True)
        return replace(response, headers={"Date": date, **response.headers})

    def _recorded(self, request: Request, response: Response) -> Response:
        at_ms = self.clock.now_ms()
        with self.lock:
            self.requests.append(RecordedRequest.of(request, status=response.status, at_ms=at_ms))
        return response
