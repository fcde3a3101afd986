"""The fake Clerk of ``world``: tells its address and its key, and changes every n-th user for each n that it is told."""

from __future__ import annotations

import argparse
import itertools
import sys

from clerksync.testing import FakeClerk, RealClock, Request, Response, serve


def main() -> None:
    """Serve until nobody listens any more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=0)
    parser.add_argument("--limit", type=int, help="requests in 10 s")
    parser.add_argument("--latency", type=float, help="seconds before each answer")
    parser.add_argument("--fail-every", type=int, help="answer each n-th list with 503")
    parser.add_argument("--small-pages", type=int, help="ten users on each page, whatever was asked for")
    options = parser.parse_args()
    clerk = FakeClerk(clock=RealClock(), rate_limit=options.limit and (options.limit, 10))
    clerk.create_users(options.users)
    if options.latency:
        clerk.fail("slow", seconds=options.latency, times=None, on="*")
    if options.small_pages:
        clerk.fail("limit_ignored", times=None)
    if options.fail_every:
        _fail(clerk, every=options.fail_every)
    with serve(clerk) as served:
        sys.stdout.write(f"{served.url} {clerk.secret_key}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            _change(clerk, every=int(line))
            sys.stdout.write("changed\n")
            sys.stdout.flush()


def _fail(clerk: FakeClerk, *, every: int) -> None:
    numbers = itertools.count(1)

    def answer(request: Request) -> Response | None:
        return Response(503, body=b"{}") if next(numbers) % every == 0 else None

    clerk.fail("callback", call=answer, times=None)


def _change(clerk: FakeClerk, *, every: int) -> None:
    for number, user in enumerate(clerk.users()):
        if number % every == 0:
            clerk.update_user(user["id"], first_name=f"Name {number}")


if __name__ == "__main__":
    main()
