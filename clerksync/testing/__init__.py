"""A fake Clerk for tests: users, Clerk's Backend API over them, webhooks, and faults on demand.

In the tests of a project, ``clerksync.testing.plugin`` gives each test of pytest a fixture ``clerk``, and
``ClerkTestMixin`` each test of Django's TestCase a ``self.clerk``; ``synced=True`` writes rows as well. By
itself::

    from clerksync.testing import FakeClerk, serve

    clerk = FakeClerk(seed=7)
    user = clerk.create_user(email="maren@harbour-works.io", first_name="Maren")
    clerk.create_users(1000)
    clerk.fail(503, times=2, on="GET /v1/users")  # the next two pages fail
    with serve(clerk) as served:
        ...  # sync with CLERK_API_URL = served.url and CLERK_SECRET_KEY = clerk.secret_key
    clerk.advance(seconds=60)
    clerk.update_user(user["id"], first_name="Marin")
    assert [request.status for request in clerk.requests][:3] == [503, 503, 200]
"""

from __future__ import annotations

from clerksync.testing.clerk import FakeClerk
from clerksync.testing.clock import Clock, RealClock, VirtualClock
from clerksync.testing.faults import Fault
from clerksync.testing.guard import RealClerkCalled
from clerksync.testing.mixin import ClerkTestMixin
from clerksync.testing.server import Served, serve
from clerksync.testing.sessions import TokenOptions
from clerksync.testing.shapes import every_shape
from clerksync.testing.wire import RecordedRequest, Request, Response

__all__ = [
    "ClerkTestMixin",
    "Clock",
    "FakeClerk",
    "Fault",
    "RealClerkCalled",
    "RealClock",
    "RecordedRequest",
    "Request",
    "Response",
    "Served",
    "TokenOptions",
    "VirtualClock",
    "every_shape",
    "serve",
]
