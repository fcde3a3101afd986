"""Why Clerk cannot be reached: name, connection, TLS or proxy. Nothing but connections is made."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from msgspec import Struct

_PORTS = {"http": 80, "https": 443}


class Trouble(Struct, frozen=True):
    """What is in the way, and what to do about it."""

    sentence: str
    advice: str


class _Target(Struct, frozen=True):
    """Where the first connection goes to: Clerk, or the proxy of the environment."""

    host: str
    port: int
    is_proxy: bool

    @property
    def name(self) -> str:
        return f"the proxy {self.host}:{self.port}" if self.is_proxy else f"{self.host}:{self.port}"


def find_trouble(url: str, *, seconds: float) -> Trouble | None:
    """Look the host up and connect to it; None if that works. Looking up may take longer than ``seconds``."""
    target = _target(url)
    where = "HTTPS_PROXY, HTTP_PROXY and NO_PROXY" if target.is_proxy else "the name server of this machine"
    try:
        with socket.create_connection((target.host, target.port), timeout=seconds):
            return None
    except (socket.gaierror, UnicodeError):  # the second one: not even a name
        return Trouble(f"No address is known for {target.name}.", f"Check CLERK_API_URL and {where}.")
    except TimeoutError:
        return Trouble(
            f"{target.name} takes no connection within {seconds:g} seconds.",
            "Let the firewall pass connections to it, or name the proxy in HTTPS_PROXY.",
        )
    except OSError as error:
        return Trouble(
            f"{target.name} takes no connection ({type(error).__name__}).",
            f"Check {where}." if target.is_proxy else "Check CLERK_API_URL, the firewall and the proxy.",
        )


def find_tls_trouble(url: str, *, seconds: float) -> Trouble | None:
    """Shake hands; None if that works, or if a proxy or plain http leaves nothing to be tried."""
    target = _target(url)
    if target.is_proxy or urlsplit(url).scheme != "https":
        return None
    context = ssl.create_default_context()
    try:
        with (
            closing(socket.create_connection((target.host, target.port), timeout=seconds)) as plain,
            context.wrap_socket(plain, server_hostname=target.host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return Trouble(
            f"The certificate of {target.name} is not accepted: {error.verify_message}.",
            "If a firewall opens TLS, let REQUESTS_CA_BUNDLE name its certificate; else look at this machine's "
            "clock and certificates.",
        )
    except ssl.SSLError as error:
        return Trouble(
            f"{target.name} does not speak TLS as it should ({error.reason or type(error).__name__}).",
            "Check the port of CLERK_API_URL, and what is between here and there.",
        )
    except OSError:
        return None  # it is slow or gone, which is told of the request itself


def _target(url: str) -> _Target:
    parts = urlsplit(url)
    host, proxies = parts.hostname or "", getproxies()
    named = proxies.get(parts.scheme) or proxies.get("all")
    if not named or proxy_bypass(host):
        return _Target(host, parts.port or _PORTS[parts.scheme], is_proxy=False)
    proxy = urlsplit(named if "//" in named else f"//{named}")
    return _Target(proxy.hostname or "", proxy.port or 80, is_proxy=True)
