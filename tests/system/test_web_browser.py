"""The page in a real browser, before a real `packtap web`, with a month of ten cells stored."""

import gzip
import http.client
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

from packtap.store import Store
from recorded import VECTORS
from system.browser import DESKTOP, PHONE, FakeAgent, Visit, WebServer, chromium, web_server
from system.process import HOST
from web_data import DAY_MS, HOSTILE, PACK, event_draft, fill, raised, readings_of_days

TOKEN = "0123456789abcdef0123456789abcdef"
WAIT_MS = 20_000  #: a loaded machine draws slowly; a healthy one needs a tenth of a second
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 30 days of ten cells, three hours a day at one reading a second."""
    path = tmp_path_factory.mktemp("month") / "packtap.db"
    begun = time.monotonic()
    count = fill(path, readings_of_days(int(time.time() * 1000), 30, 3))
    with Store.open(path) as store:
        now = int(time.time() * 1000)
        store.commit([event_draft(1, t_ms=now - 3 * DAY_MS)])
        store.commit([event_draft(1, t_ms=now - 2 * DAY_MS, state="cleared")])
    size = path.stat().st_size / 1e6
    print(f"\n{count} readings, {size:.0f} MB, filled in {time.monotonic() - begun:.1f} s")
    return path


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    with FakeAgent(tmp_path / "now.json", values=VALUES, ages_s=dict.fromkeys(VALUES, 0.2)) as it:
        yield it


@pytest.fixture
def server(month: Path, agent: FakeAgent, tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path, "--store", str(month), "--now", str(agent.path)) as it:
        yield it


VALUES: dict[str, Any] = {
    "voltage_v": 39.97,
    "current_a": 4.5,
    "soc_pct": 81,
    "temperature_1_c": 24,
    "status": 1,
    "cell_voltages_mv": [4001, 4000, 3999, 4002, 4000, 3998, 3958, 4001, 4000, 4003],
}


def range_of(url: str) -> int:
    """How many milliseconds of history an address asks for; 0 if it asks for something else."""
    found = {name: int(value) for name, value in re.findall(r"\b(from|to)=(-?\d+)", url)}
    return found["to"] - found["from"] if "api/history" in url else 0


@contextmanager
def plotted(page: Page, days: float) -> Iterator[None]:
    """Wait until a plot of so many days has been asked for and answered."""

    def is_it(answer: Response) -> bool:
        return abs(range_of(answer.url) - days * DAY_MS) < 0.05 * days * DAY_MS

    with page.expect_response(is_it) as found:
        yield
    assert found.value.ok


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def has_drawn(page: Page) -> bool:
    """Whether something of the plot's canvas is not empty."""
    drawn: bool = page.evaluate(
        """() => {
          const canvas = document.querySelector(".plot canvas");
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return data.some((value) => value !== 0);
        }"""
    )
    return drawn


@pytest.mark.parametrize(
    ("screen", "theme"),
    [(PHONE, "light"), (PHONE, "dark"), (DESKTOP, "light"), (DESKTOP, "dark")],
    ids=["phone light", "phone dark", "desktop light", "desktop dark"],
)
def test_a_month_of_ten_cells_opens_and_zooms_without_the_internet(
    browser: Browser, server: WebServer, tmp_path: Path, screen: dict[str, int], theme: str
) -> None:
    with Visit(browser, server.address, viewport=screen, color_scheme=theme) as visit:
        page = visit.go()
        expect(page.get_by_role("status").first).to_have_text("live")
        begun = time.monotonic()
        with plotted(page, 30):
            press(page, "30 days")
        expect(page.locator(".plot canvas")).to_be_visible()
        drawn_s = time.monotonic() - begun
        points = int(page.locator(".plot").get_attribute("data-points") or 0)
        month_url = next(url for url in visit.requests if range_of(url) == 30 * DAY_MS)
        asked = int(re.findall(r"points=(\d+)", month_url)[0])
        assert 50 < points <= asked <= 1000
        assert has_drawn(page)
        begun = time.monotonic()
        with plotted(page, 15):
            press(page, "Zoom in")
        zoom_s = time.monotonic() - begun
        paint = page.evaluate(
            "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
        )
        width = page.evaluate("() => document.documentElement.scrollWidth")
        assert width == screen["width"]
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        assert (tmp_path / "page.png").stat().st_size > 10_000
        assert visit.errors == []
        assert visit.foreign == []
        assert len(visit.requests) > 5
    print(
        f"\n{screen['width']} px: first paint {paint} ms, month {drawn_s:.2f} s, {points} points, "
        f"zoom {zoom_s:.2f} s"
    )


def test_dark_and_light_follow_the_reader(browser: Browser, server: WebServer) -> None:
    colours = []
    for theme in ("light", "dark"):
        with Visit(browser, server.address, viewport=PHONE, color_scheme=theme) as visit:
            page = visit.go()
            colours.append(page.evaluate("() => getComputedStyle(document.body).backgroundColor"))
    light, dark = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
    assert light > 600
    assert dark < 150


def test_an_injected_fault_appears_on_both_open_tabs(
    browser: Browser, server: WebServer, agent: FakeAgent
) -> None:
    text = "Cell 7 sags 180 mV more than the others at 12 A: high resistance."
    with Visit(browser, server.address, viewport=PHONE) as visit:
        first, second = visit.go(), visit.tab()
        second.goto(server.address)
        for page in (first, second):
            expect(page.get_by_role("heading", name="Nothing is raised")).to_be_visible()
        begun = agent.show(events=[raised(cell=7, severity="critical", text=text)])
        for page in (first, second):
            banner = page.locator(".banner")
            expect(banner).to_contain_text(text)
            print(f"\nshown {time.monotonic() - begun:.2f} s after the agent wrote it")
            expect(banner).to_contain_text("Critical: stop using this pack")
            expect(banner).to_contain_text("Never open a pack")
            expect(page.locator(".bars tr.critical th")).to_have_text("7")
            expect(page.locator("#announce")).to_contain_text(text)
        agent.show(events=[])
        expect(first.get_by_role("heading", name="Nothing is raised")).to_be_visible()
        assert visit.errors == []


def test_a_lost_connection_is_said_and_heals_without_a_reload(
    browser: Browser, server: WebServer, agent: FakeAgent
) -> None:
    with Visit(browser, server.address, viewport=PHONE) as visit:
        page = visit.go()
        connection = page.locator("#connection")
        expect(connection).to_have_text("live")
        page.evaluate("() => { window.notReloaded = true; }")
        server.kill9()
        expect(connection).to_have_text("no connection, trying again")
        expect(page.locator(".figure .value").first).to_have_text("39.97\u00a0V")
        server.start()
        expect(connection).to_have_text("live")
        agent.show(values=VALUES | {"voltage_v": 38.5})
        expect(page.locator(".figure .value").first).to_have_text("38.50\u00a0V")
        assert page.evaluate("() => window.notReloaded") is True
        assert visit.errors == []


def test_an_agent_that_ends_and_comes_back_is_noticed(
    browser: Browser, month: Path, tmp_path: Path
) -> None:
    now = tmp_path / "now.json"
    words = ("--store", str(month), "--now", str(now))
    with web_server(tmp_path, *words) as server, Visit(browser, server.address) as visit:
        with FakeAgent(now):
            page = visit.go()
            expect(page.get_by_role("heading", name="Nothing is raised")).to_be_visible()
        expect(page.locator(".banner")).to_contain_text("No agent shows this pack live here")
        expect(page.locator(".figures .age.old").first).to_be_visible()
        with FakeAgent(now, values={"voltage_v": 33.3}, ages_s={"voltage_v": 0.1}):
            expect(page.locator(".figure .value").first).to_have_text("33.30\u00a0V")
        assert visit.errors == []


def test_markup_in_names_and_texts_is_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    store, now = tmp_path / "packtap.db", tmp_path / "now.json"
    end = int(time.time() * 1000)
    fill(store, readings_of_days(end, 1, 0.1, pack=HOSTILE))
    fill(store, readings_of_days(end, 1, 0.1, pack="OTHER"))
    changes: dict[str, Any] = {
        "pack": HOSTILE,
        "mode": HOSTILE,
        "values": {"serial": HOSTILE, "voltage_v": 36.0, "firmware": HOSTILE},
        "ages_s": {"serial": 1.0},
        "flags": [HOSTILE],
        "doubts": [{"text": HOSTILE}],
        "events": [raised(text=HOSTILE, kind=HOSTILE, severity="critical", cell=None)],
        "lines": [{"name": HOSTILE, "port": "", "is_up": False, "reason": HOSTILE}],
        "uplink": {"connected": False, "last_error": HOSTILE},
        "store_trouble": HOSTILE,
        "bus_trouble": HOSTILE,
        "diagnosis": {
            "diagnosis": [{"cause": HOSTILE, "probability": 1, "evidence_for": [HOSTILE]}],
            "next_test": {"action": HOSTILE},
        },
    }
    with Store.open(store) as opened:
        opened.commit([event_draft(1, t_ms=end, pack=HOSTILE, text=HOSTILE)])
    words = ("--store", str(store), "--now", str(now), "--notice", HOSTILE)
    with (
        FakeAgent(now, **changes),
        web_server(tmp_path, *words) as server,
        Visit(browser, server.address) as visit,
    ):
        page = visit.go()
        expect(page.locator(".packs .serial").first).to_have_text(HOSTILE)
        expect(page.locator("#notice")).to_have_text(HOSTILE)
        page.locator(".packs a").first.click()
        expect(page.locator("h1")).to_have_text(HOSTILE)
        for part in (".banner", ".events", ".diagnosis", ".link", ".about", ".flags"):
            expect(page.locator(part).first).to_contain_text(HOSTILE)
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 2
        assert visit.errors == []
        assert visit.foreign == []


def test_all_packs_are_listed_worst_first_found_and_opened_by_keyboard(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "fleet.db"
    end = int(time.time() * 1000)
    for seed, pack in enumerate(("CALM1", "BAD2", "WARN3")):
        fill(store, readings_of_days(end, 1, 0.1, pack=pack, seed=seed))
    with Store.open(store) as opened:
        opened.commit([event_draft(1, t_ms=end - 60_000, pack="BAD2")])
        opened.commit([event_draft(2, t_ms=end, pack="WARN3", severity="warning", id="w")])
    with (
        web_server(tmp_path, "--store", str(store)) as server,
        Visit(browser, server.address, viewport=PHONE) as visit,
    ):
        page = visit.go()
        names = page.locator(".packs .serial")
        expect(names).to_have_text(["BAD2", "WARN3", "CALM1"])
        expect(page.locator(".packs .worst").first).to_contain_text("2700 mV")
        page.get_by_label("Find a pack").fill("warn")
        expect(names).to_have_text(["WARN3"])
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("WARN3")
        expect(page.locator(".banner")).to_contain_text("Warning: act soon")
        page.go_back()
        expect(names).to_have_text(["BAD2", "WARN3", "CALM1"])
        assert visit.errors == []


def test_the_page_can_be_used_by_keyboard_alone(browser: Browser, server: WebServer) -> None:
    with Visit(browser, server.address, viewport=DESKTOP) as visit:
        page = visit.go()
        expect(page.locator(".plot")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="To the content")).to_be_focused()
        week = page.get_by_role("button", name="7 days", exact=True)
        seen = []
        for _ in range(20):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("() => document.activeElement.textContent"))
            if seen[-1] == "7 days":
                break
        expect(week).to_be_focused()
        with plotted(page, 7):
            page.keyboard.press("Enter")
        expect(week).to_have_attribute("aria-pressed", "true")
        page.locator(".plot").focus()
        for key, days in (("+", 3.5), ("-", 7), ("ArrowLeft", 7)):
            with plotted(page, days):
                page.keyboard.press(key)
        page.get_by_text("As a table").click()
        table = page.get_by_role("region", name="History as a table")
        expect(table.get_by_role("columnheader")).to_have_count(11)
        assert 10 < table.get_by_role("row").count() <= 62
        assert visit.errors == []


def test_a_range_is_chosen_with_the_mouse(browser: Browser, server: WebServer) -> None:
    with Visit(browser, server.address, viewport=DESKTOP) as visit:
        page = visit.go()
        with plotted(page, 30):
            press(page, "30 days")
        box = page.locator(".plot .u-over").bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * 0.2, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=5)
        with plotted(page, 9):
            page.mouse.up()
        assert visit.errors == []


@pytest.mark.parametrize("after_s", [0, -1])
def test_a_lone_newest_reading_is_drawn_at_either_end_of_its_point(
    browser: Browser, tmp_path: Path, after_s: int
) -> None:
    store = tmp_path / "packtap.db"
    now = int(time.time() * 1000)
    first = next(readings_of_days(now, 1, 0.1))
    day = 86_400_000  # midnight begins a point, whatever its width
    at = (now // day - 1) * day + after_s * 1000
    fine = {"viewport": PHONE, "device_scale_factor": 3, "color_scheme": "light"}
    lone = {"columns": {"voltage_v": [37.25]}}
    fill(store, iter([replace(first, times_ms=(at,), body=lone)]))
    with (
        web_server(tmp_path, "--store", str(store)) as server,
        Visit(browser, server.address, **fine) as visit,
    ):
        page = visit.go()
        press(page, "voltage")
        expect(page.locator(".plot canvas")).to_be_visible()
        page.wait_for_function(
            """() => {
              const canvas = document.querySelector(".plot canvas");
              const area = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              let found = 0;
              for (let i = 0; i < area.data.length; i += 4) {
                const [r, g, b, a] = area.data.subarray(i, i + 4);
                if (a > 100 && b > 180 && b - r > 100 && b - g > 60) found += 1;
              }
              return found > 0;
            }"""
        )
        assert visit.errors == []


def test_what_a_guest_on_the_dashboards_wire_does_is_shown(
    browser: Browser, tmp_path: Path
) -> None:
    now_file = tmp_path / "now.json"
    with (
        FakeAgent(now_file, mode="share", sharing="waiting for the phone") as agent,
        web_server(tmp_path, "--now", str(now_file)) as server,
        Visit(browser, server.address) as visit,
    ):
        card = visit.go().get_by_role("region", name="Link and buffer", exact=True)
        sharing = card.get_by_role("row", name=re.compile("sharing the dashboard's wire"))
        expect(sharing).to_contain_text("waiting for the phone; ")
        expect(sharing).to_have_class("bad")
        agent.show(sharing="asking")
        expect(sharing).to_contain_text(re.compile(r"asking; \d+\scollisions?, left off"))
        expect(sharing).not_to_have_class("bad")
        agent.show(mode="listen", sharing=None)
        expect(sharing).to_have_count(0)
        assert visit.errors == []


def test_what_waits_and_how_long_the_buffer_lasts_is_shown_and_marked_when_it_is_little(
    browser: Browser, tmp_path: Path
) -> None:
    now_file = tmp_path / "now.json"
    outbox = {
        "count": 3, "bytes": 900, "undated": 0, "first_seq": 5, "stranded": 2,
        "oldest_ms": time.time_ns() // 1_000_000 - 7200_000,
    }  # fmt: skip
    away = {"connected": False, "last_error": "nobody listens"}
    with (
        FakeAgent(now_file, outbox=outbox, uplink=away, buffer_hours_left=30.0) as agent,
        web_server(tmp_path, "--now", str(now_file)) as server,
        Visit(browser, server.address) as visit,
    ):
        card = visit.go().get_by_role("region", name="Link and buffer", exact=True)
        room = card.get_by_role("row", name=re.compile("room in the buffer"))
        expect(room).to_contain_text(re.compile(r"for 30\sh without delivery"))
        expect(room).not_to_have_class("bad")
        waiting = card.get_by_role("row", name=re.compile("waiting to be sent"))
        expect(waiting).to_contain_text(re.compile(r"3\smessages, the oldest 2\sh old"))
        broker = card.get_by_role("row", name=re.compile("^broker"))
        expect(broker).to_contain_text("not connected: nobody listens")
        expect(broker).to_have_class("bad")
        expect(card.get_by_role("row", name=re.compile("never dated"))).to_contain_text("gaps")
        agent.show(buffer_hours_left=5.0)
        expect(room).to_contain_text(re.compile(r"for 5\sh without delivery"))
        expect(room).to_have_class("bad")
        agent.show(buffer_hours_left=None)
        expect(room).to_contain_text("not")
        assert visit.errors == []


def test_landmarks_and_names_are_there_for_a_screen_reader(
    browser: Browser, server: WebServer
) -> None:
    with Visit(browser, server.address) as visit:
        page = visit.go()
        expect(page.get_by_role("main")).to_be_visible()
        expect(page.get_by_role("banner")).to_be_visible()
        expect(page.get_by_role("contentinfo")).to_be_visible()
        for name in ("Now", "Cells", "History", "Events", "Diagnosis", "Link and buffer"):
            expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
        expect(page.get_by_role("table", name=re.compile("Voltage of each cell"))).to_be_visible()
        expect(page.get_by_role("rowheader", name="7", exact=True)).to_be_visible()
        assert page.locator("#announce").get_attribute("aria-live") == "polite"
        nameless = page.evaluate(
            "() => [...document.querySelectorAll('button, a, input')].filter("
            "(e) => !e.textContent.trim() && !e.getAttribute('aria-label') && !e.labels?.length)"
            ".length"
        )
        assert nameless == 0


def test_a_token_is_asked_for_once_and_no_script_can_read_it(
    browser: Browser, month: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    words = ("--store", str(month), "--token-file", str(token))
    with web_server(tmp_path, *words) as server:
        with Visit(browser, server.address, viewport=PHONE) as visit:
            page = visit.go()
            page.get_by_label("Token").fill("wrong token wrong token")
            page.keyboard.press("Enter")
            expect(page.get_by_role("alert")).to_have_text("This is not the token.")
            assert PACK not in page.content()
            page.get_by_label("Token").fill(TOKEN)
            page.keyboard.press("Enter")
            expect(page.locator("h1")).to_have_text(PACK)
            assert page.evaluate("() => document.cookie") == ""
            assert page.evaluate("() => Object.keys(localStorage).length") == 0
            (cookie,) = visit.context.cookies()
            assert cookie["httpOnly"]
            assert cookie["sameSite"] == "Strict"
            page.reload()
            expect(page.locator("h1")).to_have_text(PACK)
        with Visit(browser, server.address, viewport=PHONE) as visit:
            page = visit.go(f"#token={TOKEN}")
            expect(page.locator("h1")).to_have_text(PACK)
            assert TOKEN not in page.url


def test_the_csv_of_the_page_is_a_file_of_readings(browser: Browser, server: WebServer) -> None:
    with Visit(browser, server.address, accept_downloads=True) as visit:
        page = visit.go()
        with plotted(page, 1):
            press(page, "1 day")
        with page.expect_download() as download:
            page.get_by_text("The readings of the shown history as CSV").click()
        assert download.value.suggested_filename == f"packtap-{PACK}.csv"
        lines = Path(download.value.path()).read_text().splitlines()
        assert lines[0].startswith("time_utc,t_ms,")
        assert len(lines) > 3600


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_report_and_flight_recordings_are_taken_from_the_page(
    browser: Browser, tmp_path: Path, screen: dict[str, int]
) -> None:
    store, now = tmp_path / "bus" / "packtap.db", tmp_path / "now.json"
    store.parent.mkdir()
    end = int(time.time() * 1000)
    fill(store, readings_of_days(end, 2, 0.1))
    with Store.open(store) as opened:
        opened.commit([event_draft(1, t_ms=end)])
    flight = store.parent / "flight" / f"flight-{end / 1000:.3f}-cell_undervoltage.log.gz"
    flight.parent.mkdir()
    remark = f"# flight recording by packtap 0.1.0: {HOSTILE}/cell_undervoltage/07/s/1; times: UTC"
    genuine = gzip.decompress((VECTORS / "recordings" / "m365_esc_bms.log.gz").read_bytes())
    flight.write_bytes(gzip.compress(f"{remark}\n".encode() + genuine))
    words = ("--store", str(store), "--now", str(now))
    with (
        FakeAgent(now, values=VALUES, events=[raised(severity="critical")]),
        web_server(tmp_path, *words) as server,
        Visit(browser, server.address, viewport=screen, accept_downloads=True) as visit,
    ):
        page = visit.go()
        row = page.locator(".flights li")
        expect(row).to_have_count(1)
        expect(row).to_contain_text("cell undervoltage")
        expect(row.locator(".serial")).to_have_text(HOSTILE.partition("/")[0])
        assert page.locator("img").count() == 0
        assert page.evaluate("() => document.documentElement.scrollWidth") == screen["width"]
        taken = {}
        for name in ("capture", "report"):
            with page.expect_download() as download:
                row.get_by_text(name, exact=True).click()
            taken[name] = Path(download.value.path())
        assert taken["capture"].read_bytes() == flight.read_bytes()
        assert "Pack 3JAGJ17A8D3660" in taken["report"].read_text()
        with page.expect_download() as download:
            page.get_by_text("Report for the customer").click()
        assert download.value.suggested_filename == f"packtap-{PACK}-report.html"
        report = tmp_path / "report.html"
        report.write_bytes(Path(download.value.path()).read_bytes())
        assert visit.errors == []
        assert visit.foreign == []
    page = browser.new_page(viewport={"width": screen["width"], "height": screen["height"]})
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.goto(report.as_uri())
    expect(page.locator("h1")).to_have_text(f"Pack {PACK}")
    expect(page.locator("#basis")).to_contain_text("made of a store, not of a recording")
    expect(page.locator("#cells rect.bar")).to_have_count(10)
    expect(page.locator("#safety")).to_contain_text("Only qualified people open a pack")
    assert heard == []
    page.close()


def test_an_answer_that_is_given_up_between_head_and_body_leaves_the_plot_as_it_was(
    browser: Browser, server: WebServer
) -> None:
    with Visit(browser, server.address, viewport=DESKTOP) as visit:
        visit.page.add_init_script(
            """const real = window.fetch;
            window.stalled = 0;
            window.fetch = async (address, options) => {
              const answer = await real(address, options);
              if (!window.stalling || !String(address).startsWith("api/history")) return answer;
              window.stalled += 1;
              const { signal } = options;
              const body = new ReadableStream({ start(controller) {
                signal.addEventListener("abort", () => controller.error(signal.reason));
              } });
              return new Response(body, { status: answer.status, headers: answer.headers });
            };"""
        )
        page = visit.go()
        with plotted(page, 30):
            press(page, "30 days")
        expect(page.locator(".history .note").first).to_contain_text("points of")
        page.get_by_text("As a table").click()
        page.evaluate("() => { window.stalling = true; }")
        for number, name in enumerate(("7 days", "1 day"), start=1):
            press(page, name)
            page.wait_for_function("(n) => window.stalled >= n", arg=number)
        press(page, "voltage")  # draws what there is: it was {} once
        table = page.get_by_role("region", name="History as a table")
        expect(table.get_by_role("columnheader")).to_have_text(["time", "voltage_v"])
        expect(page.locator(".history .note").first).to_contain_text("In V.")
        assert visit.errors == []
        page.evaluate("() => { window.stalling = false; }")
        with plotted(page, 7):
            press(page, "7 days")
        assert visit.errors == []


def test_a_stream_ends_cleanly_when_the_server_is_told_to_stop(
    month: Path, agent: FakeAgent, tmp_path: Path
) -> None:
    words = ("--store", str(month), "--now", str(agent.path))
    with web_server(tmp_path, *words) as server:
        connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
        key = urlencode({"agent": "pi", "bus": "a", "pack": PACK})
        connection.request("GET", f"/api/stream?{key}")
        answer = connection.getresponse()
        while not answer.readline().startswith(b"event: pack"):
            pass
        begun = time.monotonic()
        server.stop()
        # Chunked: a stream that is cut instead of ended raises here.
        assert answer.read().startswith(b"data: {")
        connection.close()
        print(f"\nended {time.monotonic() - begun:.2f} s after SIGTERM")
        assert "stopped" in server.log_tail()
        assert "Traceback" not in server.log_tail()
