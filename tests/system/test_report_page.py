"""The report in a real browser: right, self-contained, escaped, and printed without a cut."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from browser import chromium
from ninebot_bms import Chunk, format_chunk
from packtap.analysis.remedies import TITLES
from packtap.cli import main
from packtap.emulated_bus import Wires
from packtap.model import Cause
from packtap.ride import RidePlan
from rides import failing, reads

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
    with chromium() as running:
        yield running


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


@pytest.mark.parametrize("label", LABELS, ids=lambda path: path.stem)
def test_the_report_of_every_kind_of_visit_is_right_and_prints_whole(
    label: Path, browser: Browser, tmp_path: Path
) -> None:
    wanted = json.loads(label.read_text())
    report = tmp_path / "report.html"
    code = main(["diagnose", str(label.with_suffix(".log.gz")), "--report", str(report), "--json"])
    assert code == (3 if wanted["family"] == "visit_silent" else code)
    shown = opened(browser, report)
    page = shown.page
    numbers = page.locator("#ranking .number").all_inner_texts()
    shares = [float(number.removesuffix(" %")) for number in numbers]
    assert len(shares) == 7
    assert sum(round(10 * share) for share in shares) == 1000
    assert shares == sorted(shares, reverse=True)
    causes = {wanted["expected_top_cause"], *wanted["also_accept_causes"]}
    assert page.locator(".verdict .cause").inner_text() in {
        TITLES[Cause(cause)] for cause in causes
    }
    is_drawn = wanted["family"] not in ("visit_silent", "visit_emulator")
    assert page.locator("#cells rect.bar").count() == (wanted["cells"] if is_drawn else 0)
    assert page.locator("#deviations polyline").count() >= (wanted["cells"] if is_drawn else 0)
    assert "Only qualified people open a pack" in page.locator("#safety").inner_text()
    assert shown.complaints == []
    assert shown.requests == [report.as_uri()]
    assert page.evaluate(_CUT) == []
    on_paper = words(printed(page, tmp_path))
    assert words(page.evaluate(_WORDS)) - on_paper == Counter()
    page.close()


def recorded(path: Path, plan: RidePlan, *, serial: str, seconds: float) -> Path:
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
        tmp_path / "<script>alert(1)<\u2044script>.log", RidePlan(), serial=serial, seconds=20
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
