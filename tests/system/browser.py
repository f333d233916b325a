"""A real Chromium before a real `packtap web`, and a now-file that is written as by an agent."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request, Route

from packtap.clock import boot_ms
from system.process import HOST, Server, binary, free_ports, http
from web_data import now_document, write_now

__all__ = ["DESKTOP", "PHONE", "FakeAgent", "Visit", "WebServer", "chromium", "web_server"]

PHONE: Final = {"width": 390, "height": 844}
DESKTOP: Final = {"width": 1280, "height": 800}
_ARGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_EVERY_S: Final = 0.5


def chromium(playwright: Playwright) -> Browser:
    """Start Debian's Chromium."""
    return playwright.chromium.launch(
        executable_path=binary("chromium", "chromium"), args=list(_ARGS)
    )


class WebServer(Server):
    """`packtap web` on a port of its own."""

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.port}/"

    def answers(self) -> bool:
        """Return whether it serves the page."""
        return http(self.address)[0] == 200


@contextmanager
def web_server(directory: Path, *words: str) -> Iterator[WebServer]:
    """Run `packtap web` with these options."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "packtap", "web", "--port", str(port), *words]
    server = WebServer("web", command, directory, [port])
    try:
        server.start()
        yield server
    finally:
        server.stop()


class FakeAgent:
    """Writes a now-file as an agent does, from a thread; `show` changes what it says."""

    def __init__(self, path: Path, **changes: Any) -> None:
        self.path = path
        self._changes = changes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> "FakeAgent":
        self._show()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def show(self, **changes: Any) -> float:
        """Say something else from now on; return the moment, monotonic seconds."""
        self._changes = self._changes | changes
        self._show()
        return time.monotonic()

    def _write(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._show()

    def _show(self) -> None:
        now_s = boot_ms() / 1000
        document = now_document(boot_s=now_s, t=time.time_ns() // 1_000_000) | self._changes
        write_now(self.path, document)


class Visit:
    """One browser tab; notes every request that leaves for elsewhere and every error."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**options)
        self.address = address
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.context.route("**/*", self._route)
        self.page = self.tab()

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.context.close()

    def tab(self) -> Page:
        """Open one more tab."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))
        page.on("console", lambda message: self._heard(message.type, message.text))
        return page

    def go(self, fragment: str = "") -> Page:
        """Open the page."""
        self.page.goto(self.address + fragment)
        return self.page

    def _route(self, route: Route, request: Request) -> None:
        if request.url.startswith(self.address):
            self.requests.append(request.url)
            route.continue_()
        else:
            self.foreign.append(request.url)
            route.abort()

    def _heard(self, kind: str, text: str) -> None:
        # What the browser says of a server that a test has stopped is no error of the page.
        if kind == "error" and "net::" not in text and "Failed to load resource" not in text:
            self.errors.append(text)
