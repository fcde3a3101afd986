"""Parts of clerksync as Django tasks: ``django.tasks``, or the package django-tasks before Django 6.0."""

from __future__ import annotations

from clerksync import pagereads

try:
    from django.tasks import task
except ImportError:  # Django 5.2
    from django_tasks import task  # type: ignore[no-redef]  # the same, in a package


@task()
def read_user(clerk_id: str) -> None:
    """Read one user from Clerk, and write what comes.

    Raises:
        ClerkError: Clerk did not give the user, who stays in doubt.
        DeletesRefused: The user is gone, and the breaker lets no more users go.
    """
    pagereads.read_user(clerk_id)


def read_later(clerk_id: str, at_ms: int) -> None:
    """Let a worker read the user; the doubt is for the drain, should no worker come."""
    pagereads.mark(clerk_id, at_ms)
    read_user.enqueue(clerk_id)
