"""The report in a real browser: right, self-contained, escaped, and printed without a cut."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ninebot_bms import Chunk, format_chunk
from packtap.analysis.remedies import TITLES
from packtap.cli import main
from packtap.model import Cause
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from rides import failing, reads
from system.browser import chromium

SCENARIOS = Path(__file__).parents[1] / "scenarios"
LABELS = sorted(SCENARIOS.glob("*.json"))

#: Everything whose box is wider than what holds it, or that stands outside of the page.
_CUT = """() => {
  const width = document.documentElement.clientWidth, cut = [];
  for (const element of document.querySelectorAll('main *')) {
    const box = element.getBoundingClientRect();
    if (box.right > width + 1 || box.left < -1) cut.push(element.outerHTML.slice(0, 120));
  }
  for (const picture of document.querySelectorAll('svg')) {
    const whole = picture.getBoundingClientRect();
    for (const shape of picture.querySelectorAll('text, rect, line, polyline')) {
      const box = shape.getBoundingClientRect();
      if (box.right > whole.right + 1 || box.left < whole.left - 1
          || box.bottom > whole.bottom + 1 || box.top < whole.top - 1)
        cut.push(shape.outerHTML.slice(0, 120));
    }
  }
  return cut;
}"""
_WORDS = "document.querySelector('main').innerText"


@dataclass
class Opened:
    """A page, and what the browser had to say."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = chromium(playwright)
        yield running
        running.close()


def opened(browser: Browser, report: Path) -> Opened:
    """Open a report at the width of an A4 page's content, as it prints."""
    result = Opened(browser.new_page(viewport={"width": 680, "height": 1000}))
    result.page.on("console", lambda message: result.complaints.append(message.text))
    result.page.on("pageerror", lambda error: result.complaints.append(str(error)))
    result.page.on("request", lambda request: result.requests.append(request.url))
    result.page.goto(report.as_uri())
    result.page.emulate_media(media="print")
    return result


def printed(page: Page, folder: Path) -> str:
    """Print to A4; return the text of all sheets."""
    page.pdf(path=folder / "report.pdf", prefer_css_page_size=True, print_background=True)
    done = subprocess.run(
        ["pdftotext", "-raw", str(folder / "report.pdf"), "-"], capture_output=True, check=True
    )
    return done.stdout.decode()


def words(text: str) -> Counter[str]:
    """Count the words; a hash is broken where a line ends."""
    return Counter(word for word in text.split() if len(word) < 40)


def assert_sound_page(shown: Opened, report: Path) -> None:
    """What is true of every report, on the screen and on paper."""
    page = shown.page
    numbers = page.locator("#ranking .number").all_inner_texts()
    shares = [float(number.removesuffix(" %")) for number in numbers]
    assert len(shares) == 7
    assert sum(round(10 * share) for share in shares) == 1000
    assert shares == sorted(shares, reverse=True)
    assert "Only qualified people open a pack" in page.locator("#safety").inner_text()
    assert shown.complaints == []
    assert shown.requests == [report.as_uri()]
    assert page.evaluate(_CUT) == []
    on_paper = words(printed(page, report.parent))
    assert words(page.evaluate(_WORDS)) - on_paper == Counter()


@pytest.mark.parametrize("label", LABELS, ids=lambda path: path.stem)
def test_the_report_of_every_kind_of_visit_is_right_and_prints_whole(
    label: Path, browser: Browser, tmp_path: Path
) -> None:
    wanted = json.loads(label.read_text())
    report = tmp_path / "report.html"
    capture = str(label.with_suffix(".log.gz"))
    code = main(["diagnose", capture, "--report", str(report), "--json"])
    assert (code == 3) is (wanted["family"] == "visit_silent")
    shown = opened(browser, report)
    page = shown.page
    causes = {Cause(wanted["expected_top_cause"]), *map(Cause, wanted["also_accept_causes"])}
    assert page.locator(".verdict .cause").inner_text() in {TITLES[cause] for cause in causes}
    is_drawn = wanted["family"] not in ("visit_silent", "visit_emulator")
    assert page.locator("#cells rect.bar").count() == (wanted["cells"] if is_drawn else 0)
    assert page.locator("#deviations polyline").count() >= (wanted["cells"] if is_drawn else 0)
    assert page.locator("#simulated").count() == 0
    assert_sound_page(shown, report)
    page.close()


#: Family of everyday use -> what is simulated for it, its cause, the cell that must stand out.
EVERYDAY: dict[str, tuple[str, str, str | None]] = {
    "healthy_commute": ("--seconds 300", "none", None),
    "healthy_parked": ("--story park --seconds 20000", "none", None),
    "weak_cell": ("--fault weak_cell:4:1 --seconds 1200", "cell_damage", "4"),
    "high_resistance_cell": (
        "--fault high_resistance_cell:9 --onset 30 --seconds 400", "cell_damage", "9",
    ),
    "self_discharge": ("--fault self_discharge_cell:2", "cell_damage", "2"),
    "dead_cell": ("--fault dead_cell:5", "cell_damage", "5"),
    "soc_imbalance": ("--fault cell_imbalance:3", "cell_damage", "3"),
    "cell_overvoltage": ("--fault cell_overvoltage-rest:6", "cell_damage", "6"),
    "deep_discharge": ("--fault deep_discharge", "deep_discharge", None),
    "open_wire_hard": ("--fault open_balance_wire:4:1", "connection", "4"),
    "open_wire_partial": ("--fault open_balance_wire:4:0.1", "connection", "4"),
    "open_wire_intermittent": (
        "--fault open_balance_wire-loose:4 --seconds 300", "connection", "4",
    ),
    "power_connector": (
        "--fault high_resistance_connection --onset 30 --seconds 400", "connection", None,
    ),
    "data_connector": ("--fault bms_comm_intermittent --seconds 400", "connection", None),
    "over_temperature": ("--fault over_temperature --seconds 300", "none", None),
    "temp_sensor": ("--fault temp_sensor_fault", "bms_board", None),
    "board_flag": ("--fault bms_fault_flag", "bms_board", None),
    "board_frozen": ("--fault frozen_readings", "bms_board", None),
    "board_mismatch": ("--fault voltage_sum_mismatch --seconds 300", "bms_board", None),
    "board_silent": ("--fault bms_comm_lost", "bms_board", None),
    "firmware_garbage": ("--fault implausible_data --seconds 300", "bms_board", None),
    "soc_miscalibration": ("--fault soc_miscalibration", "calibration", None),
    "capacity_fade": ("--fault capacity_fade:1", "cell_damage", None),
    "moisture": ("--fault moisture_suspected", "moisture", None),
    "bus_noise": ("--fault bus_noise", "connection", None),
    "clock_jump": ("--fault timestamp_anomaly", "none", None),
}  # fmt: skip


@pytest.mark.parametrize("family", EVERYDAY)
def test_the_report_of_every_family_of_everyday_use_is_right_and_prints_whole(
    family: str, browser: Browser, tmp_path: Path
) -> None:
    options, cause, cell = EVERYDAY[family]
    capture, report = tmp_path / f"{family}.log", tmp_path / "report.html"
    assert main(["simulate", *options.split(), "--out", str(capture)]) == 0
    code = main(["diagnose", str(capture), "--report", str(report), "--json"])
    assert code == (0 if family.startswith(("healthy", "clock")) else 1)
    shown = opened(browser, report)
    page = shown.page
    assert page.locator(".verdict .cause").inner_text() == TITLES[Cause(cause)]
    assert page.locator("#cells rect.bar").count() == 10
    assert page.locator("#deviations .course").count() >= 10
    assert page.locator("#power .course").count() >= 2
    assert page.locator("#simulated").is_visible()
    if cell is not None:
        assert cell in page.locator("#cells text.number.named").all_text_contents()
    assert_sound_page(shown, report)
    page.close()


def recorded(path: Path, plan: Plan, *, serial: str, seconds: float) -> Path:
    """Write what a tap reads of an emulated ride."""
    wires = Wires(plan, serial=serial)
    lines = (format_chunk(Chunk(t, line, data)) for t, line, data in reads(wires, seconds))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "serial", ["<img src=//x>", "</style><b>!", "'\"><script>a", "<svg/onload=x>", "{{7*7}}"]
)
def test_a_hostile_serial_and_file_name_stay_text(
    serial: str, browser: Browser, tmp_path: Path
) -> None:
    capture = recorded(
        tmp_path / "<script>alert(1)<\u2044script>.log", Plan(), serial=serial, seconds=20
    )
    prices = tmp_path / "prices.toml"
    prices.write_text("[prices]\ncurrency = '<b>&'\n")
    report = tmp_path / "report.html"
    main(["diagnose", str(capture), "--report", str(report), "--prices", str(prices), "--json"])
    shown = opened(browser, report)
    assert serial in shown.page.locator("#pack").inner_text()
    assert "<script>alert(1)" in shown.page.locator("header").inner_text()
    assert shown.page.locator("img, script, b, iframe, a, [onload]").count() == 0
    assert shown.page.locator("style").count() == 1
    assert shown.complaints == []
    assert shown.requests == [report.as_uri()]
    shown.page.close()


def test_a_failing_cell_stands_out_without_its_colour(browser: Browser, tmp_path: Path) -> None:
    capture = recorded(tmp_path / "ride.log", failing(60.0), serial="3JDEA24M1D0815", seconds=240)
    report = tmp_path / "report.html"
    assert main(["diagnose", str(capture), "--report", str(report), "--json"]) == 1
    shown = opened(browser, report)
    page = shown.page
    assert page.locator("#cells path.mark").count() == 1
    assert page.locator("#cells text.number.named").text_content() == "7"
    assert "cell 7" in (page.locator("#deviations text.named").text_content() or "")
    assert page.locator("#power polyline").count() >= 2
    assert page.locator("#power polygon").count() >= 2
    assert "Cell 7" in page.locator("#evidence .plus").first.inner_text()
    assert page.evaluate(_CUT) == []
    page.close()


def test_danger_is_the_first_thing_on_a_phone_too(browser: Browser, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    empty = SCENARIOS / "visit_013.log.gz"
    main(["diagnose", str(empty), "--report", str(report), "--json"])
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(report.as_uri())
    stop = page.locator("#stop").bounding_box()
    assert stop is not None
    assert stop["y"] + stop["height"] < 740
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
