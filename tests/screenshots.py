"""Make the pictures of the README: run `python tests/screenshots.py` by hand, and look at them.

A real `packtap web` in Chromium over 30 days of a simulated pack whose cell 7 sinks, and beside it
a now-document as an agent writes it. The page says that the pack is simulated.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

from playwright.sync_api import Browser, sync_playwright

from packtap.analysis.diagnosis import diagnose
from packtap.analysis.evidence import Evidence
from packtap.model import Event, EventState, Severity
from packtap.store import Draft, Store
from system.browser import FakeAgent, Visit, chromium, web_server
from web_data import DAY_MS, PACK, event_draft, fill, raised, readings_of_days

FOLDER: Final = Path(__file__).parents[1] / "agent" / "docs"
NOTICE: Final = "SIMULATED pack"
SAGS: Final = (
    "Cell 7 sags 88 mV more than the others at 6.2 A: 14 mOhm beyond the median (limit 8). The "
    "cell, its welds or its sense lead has a high resistance. Have the pack checked by qualified "
    "service."
)
LOW: Final = (
    "Cell 7 is 61 mV below the median at rest, 5.1 points of charge off the others (limit 4.5). "
    "The groups drift apart; the pack gives less than it could. Have the pack checked by qualified "
    "service."
)


_TO_NOW: Final = """() => {
  window.scrollBy(0, document.querySelector(".now").getBoundingClientRect().top - 54);
}"""


def now_values() -> dict[str, Any]:
    cells = [4002, 4000, 3999, 4003, 4001, 3998, 3915, 4000, 4002, 3999]
    return {
        "voltage_v": 39.92, "current_a": 6.4, "soc_pct": 81, "temperature_1_c": 24,
        "temperature_2_c": 25, "remaining_capacity_mah": 6318, "status": 0x0001, "serial": PACK,
        "firmware": "1.1.5", "design_capacity_mah": 7800, "cycle_count": 214,
        "cell_voltages_mv": cells,
    }  # fmt: skip


def told() -> dict[str, Any]:
    evidence = Evidence()
    for kind, value, limit, unit in (
        ("high_resistance_cell", 14.0, 8.0, "mOhm"),
        ("cell_imbalance", 5.1, 4.5, "%"),
    ):
        about = (EventState.RAISED, 7, value, limit, unit)
        evidence.take([Event("i", 1.0, PACK, kind, Severity.WARNING, *about)])
    evidence.judged |= {"cell_overvoltage", "cell_undervoltage", "moisture_suspected"}
    return diagnose(evidence).as_document()


def events() -> list[dict[str, Any]]:
    return [
        raised(id="a", kind="high_resistance_cell", cell=7, since_s=740.0, text=SAGS),
        raised(id="b", kind="cell_imbalance", cell=7, since_s=93_000.0, text=LOW),
    ]


def stored(path: Path) -> None:
    now = time.time_ns() // 1_000_000
    fill(path, readings_of_days(now - 9 * 3_600_000, 30, 3))

    def draft(number: int, kind: str, text: str, ago_ms: int) -> Draft:
        more = {"kind": kind, "severity": "warning", "text": text}
        return event_draft(number, t_ms=now - ago_ms, **more)

    with Store.open(path) as store:
        store.commit([draft(1, "cell_imbalance", LOW, DAY_MS)])
        store.commit([draft(2, "high_resistance_cell", SAGS, 740_000)])


def shoot(
    browser: Browser, address: str, name: str, theme: str, size: tuple[int, int], scale: float
) -> None:
    screen = {"width": size[0], "height": size[1]}
    options = {"viewport": screen, "device_scale_factor": scale, "color_scheme": theme}
    with Visit(browser, address, **options) as visit:
        page = visit.go()
        page.get_by_role("button", name="deviation", exact=True).click()
        with page.expect_response(lambda answer: "api/history" in answer.url):
            page.get_by_role("button", name="30 days", exact=True).click()
        page.locator(".plot canvas").wait_for()
        page.wait_for_function("() => Number(document.querySelector('.plot').dataset.points) > 20")
        if name == "phone":
            page.evaluate(_TO_NOW)
        else:
            page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=FOLDER / f"page-{name}.png")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        store, now = Path(folder) / "packtap.db", Path(folder) / "now.json"
        stored(store)
        values = now_values()
        known = {"values": values, "ages_s": dict.fromkeys(values, 0.4), "events": events()}
        words = ("--store", str(store), "--now", str(now), "--notice", NOTICE)
        browser = chromium(playwright)
        agent = FakeAgent(now, **known, cell_count=10, diagnosis=json.loads(json.dumps(told())))
        with agent, web_server(Path(folder), *words) as server:
            shoot(browser, server.address, "phone", "light", (390, 844), 1.25)
            shoot(browser, server.address, "desktop", "dark", (1280, 1000), 1)
        browser.close()


if __name__ == "__main__":
    main()
