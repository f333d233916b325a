"""How fast a month of ten cells opens on a slow phone: Chromium, its processor slowed down.

A real `packtap web` over a store with 30 days of a simulated pack of ten cells, at phone size: once
as a pack that is ridden three hours a day and read each second, once as one that is read all day
(each 20 s), whose month has as many points as the screen takes. The browser's own tool slows its
processor by 4 (a middling phone) and by 6 (a slow one). Each figure is the best of five, with the
median behind it: first paint of a page that is opened anew; from a press on "30 days" until the
month is drawn; from "Zoom in" until that is drawn. Server and browser share this machine; what a
network adds is not in it.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Browser, Page, sync_playwright

from packtap.store import Draft
from system.browser import PHONE, FakeAgent, Visit, chromium, web_server
from web_data import fill, readings_of_days

RUNS = 5
#: Press a button; return the milliseconds until another plot stands there and has been painted.
PRESS = """(name) => new Promise((done) => {
  const frame = document.querySelector(".plot");
  const button = [...document.querySelectorAll("button")].find(
    (one) => (one.getAttribute("aria-label") ?? one.textContent) === name);
  const begun = performance.now();
  new MutationObserver((_, observer) => {
    if (!frame.querySelector("canvas")) return;
    observer.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begun)));
  }).observe(frame, { childList: true, subtree: true });
  button.click();
})"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


def opened(visit: Visit, slowness: int) -> Page:
    """Open the page with a processor so many times slower; wait until it has drawn its plot."""
    visit.context.new_cdp_session(visit.page).send(
        "Emulation.setCPUThrottlingRate", {"rate": slowness}
    )
    page = visit.go()
    page.locator(".plot > *").wait_for()
    return page


def figures(browser: Browser, address: str, slowness: int) -> dict[str, list[float]]:
    """Milliseconds of each step, shortest first; and how many points a month has."""
    told: dict[str, list[float]] = {"first paint": [], "a month drawn": [], "zoom": []}
    for _ in range(RUNS):
        with Visit(browser, address, viewport=PHONE, device_scale_factor=2) as visit:
            page = opened(visit, slowness)
            told["first paint"].append(page.evaluate(PAINT))
            told["a month drawn"].append(page.evaluate(PRESS, "30 days"))
            told["points"] = [float(page.locator(".plot").get_attribute("data-points") or 0)]
            told["zoom"].append(page.evaluate(PRESS, "Zoom in"))
    return {name: sorted(values) for name, values in told.items()}


def all_day(end_ms: int) -> Iterator[Draft]:
    """Thirty days without a pause, a reading each 20 s."""
    for draft in readings_of_days(end_ms, 30, 24):
        columns = {name: column[::20] for name, column in draft.body["columns"].items()}
        yield replace(draft, times_ms=draft.times_ms[::20], body={"columns": columns})


def measure(browser: Browser, title: str, drafts: Iterator[Draft]) -> None:
    """Print the figures of one store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = fill(folder / "packtap.db", drafts)
        print(f"{title}: {count} simulated readings of ten cells")
        words = ("--store", str(folder / "packtap.db"), "--now", str(folder / "now.json"))
        with FakeAgent(folder / "now.json"), web_server(folder, *words) as server:
            for slowness in (1, 4, 6):
                found = figures(browser, server.address, slowness)
                points = found.pop("points")[0]
                parts = [f"{n} {v[0]:.0f} ms ({median(v):.0f})" for n, v in found.items()]
                print(f"  processor slowed by {slowness}: {', '.join(parts)}; {points:.0f} points")


def main() -> None:
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        now_ms = time.time_ns() // 1_000_000
        measure(browser, "ridden three hours a day", readings_of_days(now_ms, 30, 3))
        # Its last reading is the present: the day of the page's fill begins at eight.
        measure(browser, "read all day", all_day(now_ms - 8 * 3_600_000))
        browser.close()


if __name__ == "__main__":
    main()
