"""The site of ``manage.py demo --serve``: on the loopback address, until Ctrl-C."""

from __future__ import annotations

import secrets
import socketserver
from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler, get_internal_wsgi_application
from django.urls import reverse

from clerksync.conf import settings
from clerksync.webhooks import configured_secrets
from project.demo_state import Running, announced

HOST = "127.0.0.1"
ADMIN = "demo"
_SEND = "python manage.py send_clerk_event user.updated --first-name Marin"


def serve_site(tell: Callable[[str], object]) -> None:
    """Serve the site on a free port until Ctrl-C; tells its address and a login made for this run."""
    password = _new_password()
    with _Site((HOST, 0), WSGIRequestHandler) as site:
        site.set_app(StaticFilesHandler(get_internal_wsgi_application()))
        url = f"http://{HOST}:{site.server_port}/"
        try:
            with announced(_running(site.server_port)):
                _introduce(url, password, tell)
                site.serve_forever()
        except KeyboardInterrupt:
            tell("Stopped.")


def _introduce(url: str, password: str, tell: Callable[[str], object]) -> None:
    dashboard = reverse("admin:clerksync_mirrorstate_changelist").lstrip("/")
    tell(f"\nThe site is at {url}, its admin at {url}admin/.")
    tell(f"How the table stands, with an invented past of a month: {url}{dashboard}")
    tell(f"Change a user in the fake Clerk, so that it sends a webhook, in another terminal:\n\n  {_SEND}\n")
    tell(f"Log in as {ADMIN} with the password {password}; it was made just now. Ctrl-C ends the site.")


def _running(port: int) -> Running:
    return Running(
        clerk_url=settings.CLERK_API_URL,
        clerk_key=settings.CLERK_SECRET_KEY,
        webhook_url=f"http://{HOST}:{port}{reverse('clerksync:webhook')}",
        webhook_secret=configured_secrets()[0],
    )


def _new_password() -> str:
    """Make the admin, or give it another password, which also ends its sessions."""
    password = secrets.token_urlsafe(9)
    user, _ = get_user_model()._default_manager.get_or_create(
        username=ADMIN, defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save()
    return password


class _Site(ThreadedWSGIServer):
    """A thread for each connection; ends without waiting for browsers that keep theirs open."""

    daemon_threads = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, ipv6=False, allow_reuse_address=False, **kwargs)

    def server_bind(self) -> None:
        """Bind; HTTPServer would look its own name up in the DNS."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])
        self.setup_environ()
