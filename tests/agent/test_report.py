"""The report without a browser: gathered in constant memory, complete, escaped, self-contained."""

import re
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninebot_bms import Doubt
from packtap.analysis.diagnosis import diagnose
from packtap.analysis.evidence import Evidence
from packtap.analysis.limits import CellLimits
from packtap.config import Prices
from packtap.model import Event, EventState, Severity
from packtap.report.case import Case, make_case
from packtap.report.drawing import draw_cells, draw_deviations, draw_power
from packtap.report.gather import CellRange, Gathered
from packtap.report.identity import identity_of
from packtap.report.page import render
from packtap.report.source import LinkQuality, Source, utc_of
from packtap.report.track import Track
from packtap.tap import Digest
from stories import HEALTHY, snapshot

#: Attributes and elements through which a page can reach the network or run anything.
_REACHES = re.compile(
    r"<(script|img|link|iframe|object|embed|base|form|a|image|use|foreignObject)\b"
    r"|\b(src|href|action|on\w+)\s*=|url\(|@import|https?://",
    re.IGNORECASE,
)


def event(text: str = "Cell 7 is low. Mind it.", cell: int | None = 7, t: float = 5.0) -> Event:
    return Event(
        "id", t, "pack", "cell_undervoltage", Severity.CRITICAL, EventState.RAISED, cell,
        2500, 2800, "mV", text,
    )  # fmt: skip


def ride(seconds: int, serial: str = "3JDEA24M1D0815") -> Iterator[Digest]:
    """A reading a second, and an event after five."""
    for second in range(seconds):
        cells = (*HEALTHY[:6], HEALTHY[6] - min(second, 300), *HEALTHY[7:])
        taken = snapshot(
            float(second),
            serial=serial,
            current_a=(second % 20) / 2,
            voltage_v=sum(cells) / 1000,
            cell_voltages_mv=cells,
        )
        yield Digest([(serial, taken)], [event()] if second == 5 else [])


def case_of(gathered: Gathered, *, name: str = "ride.log") -> Case:
    return make_case(
        diagnose(Evidence()),
        gathered,
        LinkQuality(10, 5, 5, 0, {"CHECKSUM": 2}),
        Source(name, "capture", "capture text", "0" * 64, datetime(2026, 3, 1, tzinfo=UTC)),
        pack="unknown",
        is_told=False,
        is_silent=False,
        prices=Prices(),
    )


def gathered_ride(seconds: int = 60, serial: str = "3JDEA24M1D0815") -> Gathered:
    gathered = Gathered()
    for digest in ride(seconds, serial):
        gathered.take(digest)
    return gathered


# The page.


def test_the_page_says_everything_that_a_customer_must_know() -> None:
    page = render(case_of(gathered_ride()))
    for words in (
        "Only qualified people open a pack",
        "Damaged cells",
        "No defect of the pack",
        "2-4 years",
        "0" * 64,
        "2026-03-01 00:00 UTC",
        "checksum 2",
        "330-630 EUR",
        "indicative",
        "What is not known",
        "Cell 7 is low. Mind it.",
    ):
        assert words in page, words


def test_the_page_reaches_for_nothing_outside_of_itself() -> None:
    page = render(case_of(gathered_ride()))
    assert _REACHES.search(page) is None
    assert "default-src 'none'" in page


@pytest.mark.parametrize("text", ["<img src=//x>", '"><svg onload=x', "{{7*7}}", "</title><b>"])
def test_what_came_from_the_wire_is_text(text: str) -> None:
    gathered = gathered_ride(serial=text)
    gathered.events.append(event(text))
    gathered.doubts["x"] = Doubt("x", (), text)
    page = render(case_of(gathered, name=text))
    assert "<img" not in page
    assert "<svg onload" not in page
    assert "</title><b>" not in page
    assert "49" not in page.partition("<main>")[2].partition("</header>")[0]


def test_an_empty_case_is_drawn_too() -> None:
    page = render(case_of(Gathered()))
    assert "Cell voltages were not read" in page
    assert "Nothing was raised" in page
    assert "not read" in page


# Gathering.


def test_a_long_recording_takes_no_more_memory_than_its_drawings_need() -> None:
    gathered = Gathered()
    tracemalloc.start()
    for digest in ride(20_000):
        gathered.take(digest)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert gathered.readings == 20_000
    # At most 480 stretches of 16 cells, and 480 of two quantities; readings would be 10 MB.
    assert kept < 2_000_000


def test_events_are_bounded_and_what_is_left_out_is_counted() -> None:
    gathered = Gathered()
    for number in range(450):
        gathered.take(Digest([], [event(t=float(number))]))
    assert len(gathered.events) == 200
    assert gathered.events_left_out == 250


def test_another_serial_is_another_pack_with_cells_of_its_own() -> None:
    gathered = gathered_ride(300, "3JDEA24M1D0815")
    for digest in ride(3, "3JDEA24M1D0816"):
        gathered.take(digest)
    assert gathered.cells()[6].low_mv == HEALTHY[6] - 2
    named = identity_of(gathered.latest, gathered.serials, {})
    assert named.is_doubtful
    assert "swapped" in named.looks


def test_a_doubt_that_showed_once_in_a_thousand_readings_is_not_a_finding() -> None:
    gathered = gathered_ride(100)
    gathered.doubts["sum-mismatch"] = Doubt("sum-mismatch", (), "once")
    assert gathered.standing_doubts() == {}


def test_an_open_wire_marks_both_its_cells() -> None:
    gathered = Gathered()
    wire = Event("i", 1.0, "p", "open_balance_wire", Severity.CRITICAL, EventState.RAISED, 4)
    gathered.take(Digest([], [wire]))
    assert gathered.named() == {4, 5}


def test_events_behind_a_step_of_the_clock_have_no_time_of_their_own() -> None:
    gathered = gathered_ride(60)
    gathered.take(Digest([], [event(t=1.7e9)]))
    assert [noted.after_s for noted in gathered.noted()] == [5.0, None]


# Courses.


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.one_of(st.none(), st.floats(-1e4, 1e4))), max_size=60)
)
def test_a_course_keeps_its_extremes_and_its_bounds(
    readings: list[tuple[float, float | None]],
) -> None:
    track = Track(1)
    for t, value in sorted(readings, key=lambda reading: reading[0]):
        track.add(t, [value])
    points = [point for run in track.runs(0) for point in run]
    known = [value for _, value in readings if value is not None]
    assert len(points) <= 480
    assert bool(points) == bool(known)
    if known:
        assert min(point.low for point in points) == min(known)
        assert max(point.high for point in points) == max(known)
        assert all(point.low <= point.mean + 1e-6 <= point.high + 2e-6 for point in points)


def test_a_silence_cuts_the_course() -> None:
    track = Track(1)
    for t in (0.0, 1.0, 2.0, 500.0, 501.0):
        track.add(t, [1.0])
    assert len(track.runs(0)) == 2


# Drawings.


def test_every_cell_is_a_bar_with_limits_marks_and_numbers() -> None:
    cells = [CellRange(n, 3800 - n, 3700, 3900, float(-n)) for n in range(1, 11)]
    drawing = draw_cells(cells, frozenset({7}), CellLimits(), "Cells")
    styles = [shape.attributes["class"] for shape in drawing.shapes]
    assert sum(style.startswith("bar") for style in styles) == 10
    assert styles.count("limit") == 2
    assert styles.count("mark") == 1
    texts = [shape.text for shape in drawing.shapes]
    assert "lower limit 2800 mV" in texts
    assert "3793 mV" in texts
    assert "-7" in texts


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 10_000)), min_size=1, max_size=16),
    st.frozensets(st.integers(1, 17)),
)
def test_any_cells_can_be_drawn_inside_the_picture(
    cells: list[int | None], named: frozenset[int]
) -> None:
    gathered = Gathered()
    gathered.take(Digest([("p", snapshot(t, cell_voltages_mv=tuple(cells))) for t in (1.0, 2.0)]))
    ranges = gathered.cells()
    if ranges:
        drawing = draw_cells(ranges, named, CellLimits(), "Cells")
        for shape in drawing.shapes:
            x = float(shape.attributes.get("x", shape.attributes.get("x1", "0")))
            assert -1 <= x <= drawing.width + 1
    draw_deviations(gathered.deviations, len(cells), named, [1.0], "Deviations")
    draw_power(gathered.power, [], "Power")


def test_times_are_dates_only_where_they_can_be() -> None:
    assert utc_of(None) is None
    assert utc_of(12.5) is None
    assert utc_of(1_763_800_000.0) == datetime(2025, 11, 22, 8, 26, 40, tzinfo=UTC)
