"""A real browser for tests: Debian's Chromium without a window, driven by Playwright.

The tests are skipped where there is no Chromium. Its headless shell is preferred: the whole browser draws its
own windows, too, though nobody sees them, and takes 1.7 times the time of the processor. Pictures of what was seen are kept in the
directory that CLERKSYNC_TEST_SCREENSHOTS names, and dropped if it names none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from clerksync.testing import FakeClerk
from project.defaults import BASE_DIR
from tests.profiles import pick

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
#: Run as root there is no sandbox; the others keep Chromium from calling home.
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium was found (Debian: apt-get install chromium-headless-shell)")
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        # Playwright runs a loop of its own in this thread, in which Django would refuse to use a database.
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield playwright.chromium.launch(executable_path=path, args=ARGUMENTS)


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core: the file that CLERKSYNC_TEST_AXE names, what npm has installed here, or can fetch."""
    named = os.environ.get("CLERKSYNC_TEST_AXE")
    installed = Path(named) if named else BASE_DIR / "node_modules" / "axe-core" / "axe.min.js"
    if installed.exists():
        return installed.read_text()
    directory = tmp_path_factory.mktemp("axe")
    try:
        command = ["npm", "pack", "--silent", "axe-core@4"]
        done = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"npm or the npm package axe-core cannot be had here: {type(error).__name__}")
    with tarfile.open(directory / done.stdout.split()[-1]) as package:
        source = package.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


#: Machines that test are busy.
PATIENCE_MS = 30_000


class Visit:
    """One window on the live server, and what went wrong in it."""

    def __init__(self, page: Page, *, base: str, pictures: Path | None) -> None:
        self.page = page
        self.base = base
        self.pictures = pictures
        self.problems: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._on_request)

    def go(self, path: str) -> None:
        """Open a page."""
        self.page.goto(self.base + path)

    def look(self, name: str, *, whole: bool = False) -> None:
        """Take a picture, of the window or of the whole page."""
        if self.pictures is not None:
            self.page.screenshot(path=self.pictures / f"{name}.png", full_page=whole)

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return width

    def faults(self, axe: str) -> list[str]:
        """What keeps people from using the page, as axe-core finds it: rule and places."""
        self.page.evaluate(axe)
        found: list[dict[str, Any]] = self.page.evaluate(
            "axe.run({resultTypes: ['violations']}).then(told => told.violations)"
        )
        return [
            f"{fault['impact']} {fault['id']}: {node['target']} {node['html'][:200]}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]

    def _on_console(self, message: ConsoleMessage) -> None:
        is_icon = message.location.get("url", "").endswith("/favicon.ico")  # the browser's own idea
        if message.type in {"error", "warning"} and not is_icon:
            self.problems.append(message.text)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:")):
            self.problems.append(f"asked for {request.url}")


@pytest.fixture(
    params=pick(
        short=[("light", 1280), ("dark", 390)],
        long=[("light", 1280), ("light", 390), ("dark", 1280), ("dark", 390)],
    ),
    ids="{0[0]}-{0[1]}".format,
)
def visit(
    request: pytest.FixtureRequest,
    browser: Browser,
    live_server: LiveServer,
    clerk: FakeClerk,  # outlives the window, whose last request may still be under way
    tmp_path: Path,
) -> Iterator[Visit]:
    """A window, light or dark, wide or narrow; in the end nothing may have gone wrong in it."""
    scheme, width = request.param
    pictures = Path(os.environ.get("CLERKSYNC_TEST_SCREENSHOTS", tmp_path)) / f"{scheme}-{width}"
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    visit = Visit(context.new_page(), base=live_server.url, pictures=pictures)
    yield visit
    context.close()
    assert visit.problems == []
