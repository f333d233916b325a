"""A real browser for the tests of pages: Chromium, headless, without a network of its own."""

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

__all__ = ["chromium"]

_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run the Chromium that `tests/install_servers.sh` installs."""
    path = shutil.which("chromium")
    assert path is not None, "run tests/install_servers.sh: it installs chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGS))
        yield browser
        browser.close()
