"""How the tests ask the fake Clerk: by its function, or over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import requests

from clerksync.testing import FakeClerk, Request, Response

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Ask:
    """Asks with the right key, without a socket."""

    clerk: FakeClerk

    def __call__(
        self,
        endpoint: str,
        query: Pairs | None = None,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return the answer to ``GET /v1/...``."""
        method, _, path = endpoint.partition(" ")
        known = {"Authorization": f"Bearer {self.clerk.secret_key}"}
        encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return self.clerk.handle(Request(method, path, query or [], {**known, **(headers or {})}, encoded))

    def json(self, endpoint: str, query: Pairs | None = None, *, body: object = None) -> Any:
        """Return the content of an answer that must be a 200."""
        response = self(endpoint, query, body=body)
        assert response.status == 200, response.body
        return msgspec.json.decode(response.body)

    def ids(self, *query: tuple[str, str]) -> list[str]:
        """Return the ids of one page."""
        return [user["id"] for user in self.json("GET /v1/users", list(query))]

    def error(self, endpoint: str, query: Pairs | None = None, *, body: object = None) -> tuple[int, str]:
        """Return the status of an error and its code."""
        response = self(endpoint, query, body=body)
        (error,) = msgspec.json.decode(response.body)["errors"]
        return response.status, error["code"]

    def walk(self, *query: tuple[str, str], limit: int) -> list[str]:
        """Return the ids of all pages by cursor."""
        found: list[str] = []
        page = self.ids(*query, ("limit", str(limit)))
        while page:
            found += page
            page = self.ids(*query, ("limit", str(limit)), ("starting_after", found[-1]))
        return found


@dataclass(frozen=True)
class Http:
    """Asks over one kept connection, following no redirect."""

    session: requests.Session
    url: str

    def get(
        self, path: str = "/v1/users", *, query: Pairs | None = None, timeout: float = 10
    ) -> requests.Response:
        """Return the answer to a GET."""
        return self.session.get(self.url + path, params=query, timeout=timeout, allow_redirects=False)
