"""The endpoints of Clerk's Backend API that the fake answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clerksync.testing import bodies
from clerksync.testing.instance import Instance
from clerksync.testing.listing import Listing, UnknownCursor
from clerksync.testing.ordering import Tie
from clerksync.testing.population import Population
from clerksync.testing.queries import parse_list_query
from clerksync.testing.roster import Record
from clerksync.testing.wire import Refusal, Request, Response, json_response, raw_response


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Answers well-behaved requests; raises Refusal where Clerk answers with an error."""

    population: Population
    instance: Instance
    unknown_cursor: UnknownCursor = "error"
    tie: Tie | None = None

    def answer(self, request: Request) -> Response:
        """Return the answer to a request whose key and version have been checked."""
        route = find_route(request)
        if route is None:
            raise _not_found("No such endpoint")
        handler = _HANDLERS[route]
        with self.population.lock:
            return handler(self, request)

    def list_users(self, request: Request) -> Response:
        """Answer one page of users."""
        records = self._listing().page(parse_list_query(request.query))
        return raw_response(b"[" + b",".join([record.wire for record in records]) + b"]")

    def count_users(self, request: Request) -> Response:
        """Answer how many users match."""
        count = self._listing().count(parse_list_query(request.query))
        return json_response({"object": "total_count", "total_count": count})

    def get_user(self, request: Request) -> Response:
        """Answer one user."""
        return raw_response(self._record(request).wire)

    def create_user(self, request: Request) -> Response:
        """Create a user and answer it."""
        fields = bodies.creation(request.body, roster=self.population.roster)
        return json_response(self.population.create_user(**fields))

    def update_user(self, request: Request) -> Response:
        """Change a user and answer it."""
        clerk_id = self._record(request).clerk_id
        changes = bodies.changes(request.body, roster=self.population.roster, clerk_id=clerk_id)
        return json_response(self.population.update_user(clerk_id, **changes))

    def delete_user(self, request: Request) -> Response:
        """Delete a user and answer the DeletedObject."""
        return json_response(self.population.delete_user(self._record(request).clerk_id))

    def act_on_user(self, request: Request) -> Response:
        """Ban, unban, lock or unlock a user and answer it."""
        actions = {
            "ban": self.population.ban_user,
            "unban": self.population.unban_user,
            "lock": self.population.lock_user,
            "unlock": self.population.unlock_user,
        }
        action = actions[request.path.rpartition("/")[2]]
        return json_response(action(self._record(request).clerk_id))

    def get_instance(self, request: Request) -> Response:
        """Answer the instance."""
        return json_response(self.instance.describe())

    def get_jwks(self, request: Request) -> Response:
        """Answer the public keys."""
        return json_response(self.instance.jwks())

    def _listing(self) -> Listing:
        return Listing(self.population.roster, unknown_cursor=self.unknown_cursor, tie=self.tie)

    def _record(self, request: Request) -> Record:
        clerk_id = request.path.split("/")[3]
        record = self.population.roster.find(clerk_id)
        if record is None:
            raise _not_found(f"No user was found with id {clerk_id}")
        return record


_HANDLERS: dict[str, Callable[[Endpoints, Request], Response]] = {
    "GET /v1/users": Endpoints.list_users,
    "POST /v1/users": Endpoints.create_user,
    "GET /v1/users/count": Endpoints.count_users,
    "GET /v1/users/{user_id}": Endpoints.get_user,
    "PATCH /v1/users/{user_id}": Endpoints.update_user,
    "DELETE /v1/users/{user_id}": Endpoints.delete_user,
    "POST /v1/users/{user_id}/ban": Endpoints.act_on_user,
    "POST /v1/users/{user_id}/unban": Endpoints.act_on_user,
    "POST /v1/users/{user_id}/lock": Endpoints.act_on_user,
    "POST /v1/users/{user_id}/unlock": Endpoints.act_on_user,
    "GET /v1/instance": Endpoints.get_instance,
    "GET /v1/jwks": Endpoints.get_jwks,
}

#: The endpoints, as ``fail(on=...)`` names them.
ROUTES = tuple(_HANDLERS)


def find_route(request: Request) -> str | None:
    """Return the route of a request, for instance ``GET /v1/users/{user_id}``."""
    exact = f"{request.method} {request.path}"
    if exact in _HANDLERS:
        return exact
    parts = request.path.split("/")
    if parts[:3] != ["", "v1", "users"] or len(parts) < 4 or not parts[3]:
        return None
    route = " ".join((request.method, "/".join([*parts[:3], "{user_id}", *parts[4:]])))
    return route if route in _HANDLERS else None


def _not_found(long_message: str) -> Refusal:
    return Refusal(404, code="resource_not_found", message="not found", long_message=long_message)
