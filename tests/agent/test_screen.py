"""The live screen: 80 columns, 24 lines, ages, and nothing that was not reported."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from ninebot_bms import Doubt
from packtap.analysis.open_events import OpenEvents
from packtap.cli.screen import render
from packtap.link import LinkDown
from packtap.model import Severity
from packtap.uplink import UplinkStats
from presents import beside_another_master, document_of, event, present_of
from stories import HEALTHY, snapshot

FULL = snapshot(
    99.0,
    status=0x0001,
    voltage_v=38.01,
    current_a=6.42,
    soc_pct=71,
    temperature_1_c=24,
    temperature_2_c=25,
    cell_voltages_mv=HEALTHY,
)
LONG = LinkDown(
    "bms",
    2.0,
    "bms: there is no /dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10KBMS1-if00-port0. Plug the "
    "adapter in, or use one that is here: /dev/ttyUSB0, /dev/ttyUSB1",
)


def drawn(document: dict[str, Any], footer: tuple[str, ...] = (), width: int = 80) -> list[str]:
    """Return the lines of the screen, without colour."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False)
    console.print(render(document, footer))
    return out.getvalue().rstrip("\n").split("\n")


def test_ten_cells_and_two_events_fit_a_terminal_of_80_by_24() -> None:
    events = [event(), event("bms_fault_flag", cell=None, severity=Severity.CRITICAL)]
    faulty = replace(FULL, values={**FULL.values, "status": 0x0101})
    document = document_of(present_of([("3JDEA24M1D0815", faulty)], events))
    lines = drawn(document, ("12 readings have reached the store", "SIMULATED scooter"))
    assert len(lines) <= 24
    assert all(cell_len(line) <= 80 for line in lines)
    assert sum(line.lstrip().startswith("cell ") for line in lines) == 10


def test_what_a_trend_lacks_is_not_said_of_the_cause() -> None:
    known: dict[str, object] = {
        "diagnosis": {"diagnosis": [{"cause": "cell_damage", "probability": 0.9}]},
        "health": {"outlook": "insufficient data: needs 198 more hours at rest"},
    }
    present = present_of([("3JDEA24M1D0815", FULL)])
    (line,) = [each for each in drawn(document_of(present, known=known)) if "likely" in each]
    assert "90%; trend of the cells: insufficient" in line


def test_the_most_probable_cause_and_the_outlook_stand_in_one_line() -> None:
    known: dict[str, object] = {
        "diagnosis": {"diagnosis": [{"cause": "cell_damage", "probability": 0.834}]},
        "health": {"outlook": "cell 7 reaches the limit of cell_imbalance in about 41 days"},
    }
    events = [event(), event("bms_fault_flag", cell=None, severity=Severity.CRITICAL)]
    present = present_of([("3JDEA24M1D0815", FULL)], events)
    lines = drawn(document_of(present, known=known))
    assert [line for line in lines if line.startswith("likely cell damage 83%; cell 7 reaches")]
    assert len(lines) == len(drawn(document_of(present))) + 1 <= 24
    unknown: dict[str, object] = {"diagnosis": None, "health": None}
    assert drawn(document_of(present, known=unknown)) == drawn(document_of(present))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal_however_long_its_words(width: int) -> None:
    sixteen = replace(
        snapshot(1.0, status=0x67FF, voltage_v=58.0, cell_voltages_mv=(3600,) * 16), cell_count=16
    )
    events = [event(text="A very long sentence. " * 20, cell=cell) for cell in range(1, 9)]
    document = document_of(
        present_of([("unknown-a-rather-long-name", sixteen)], events, (LONG,)),
        store_trouble="packtap.db: the disk is full " * 5,
    )
    lines = drawn(document, ("footer " * 40,), width)
    assert all(cell_len(line) <= width for line in lines)


def test_an_old_value_says_how_old_it_is() -> None:
    times = {**FULL.times, "voltage_v": 40.0, "current_a": 30.0, "cell_voltages_mv": -500.0}
    text = "\n".join(drawn(document_of(present_of([("P1", replace(FULL, times=times))]))))
    assert "38.01 V (60 s old)" in text
    assert "discharging (70 s old)" in text
    assert "last: mV off it; read 10 min ago" in text
    assert "ages: voltage 60 s, current 70 s, SoC 1 s, temperatures 1 s, flags 1 s" in text
    assert "SoC 71 %  " in text  # a second old: that is now


def test_old_flags_say_how_old_they_are() -> None:
    old = replace(FULL, times={**FULL.times, "status": 40.0})
    text = "\n".join(drawn(document_of(present_of([("P1", old)]))))
    assert "flags config_valid (60 s old)" in text


def test_flags_that_do_not_fit_stand_whole_on_lines_of_their_own() -> None:
    # bits 0-7: no fault among them, and too many for the line of the pack
    many = replace(FULL, values={**FULL.values, "status": 0x00FF})
    lines = drawn(document_of(present_of([("P1", many)])))
    assert lines[1].startswith("38.01 V")
    assert "flags" not in lines[1]
    assert "…" not in "".join(lines[1:4])
    told = " ".join(lines[2:4]).replace(",", "").split()
    assert told[:4] == ["flags", "config_valid", "activated", "charge_protection"]
    assert {"charger_connected", "discharging", "charging"} < set(told)


@pytest.mark.parametrize(
    ("status", "said"),
    [(0x0101, "flags config_valid, over_discharge"), (0x0000, "flags config_invalid")],
    ids=["a bit that is set", "a bit that is missing"],
)
def test_flags_of_a_fault_stand_on_a_line_of_their_own(status: int, said: str) -> None:
    faulty = snapshot(99.0, status=status, voltage_v=38.0)
    assert drawn(document_of(present_of([("P1", faulty)])))[2] == said


def test_what_nobody_reported_is_a_dash_and_cells_say_why() -> None:
    stock = snapshot(99.0, status=1, voltage_v=38.0)
    text = "\n".join(drawn(document_of(present_of([("P1", stock)]))))
    assert "cells: not reported" in text
    assert "- A" in text
    assert "SoC - %" in text
    assert " 0 " not in text.split("\n")[1]


def test_before_the_pack_was_seen_the_screen_says_so() -> None:
    text = "\n".join(drawn(document_of(present_of(lines=(LONG,)))))
    assert "pack not seen yet" in text
    assert "bms DOWN" in text
    assert "there is no /dev/serial" in text
    assert "nothing raised" in text


def test_a_cell_that_was_not_read_is_a_dash_between_its_neighbours() -> None:
    holed = snapshot(99.0, cell_voltages_mv=(3600, None, 3610))
    rows = [
        line.split()
        for line in drawn(document_of(present_of([("P1", holed)])))
        if line.lstrip().startswith("cell ")
    ]
    assert rows[1] == ["cell", "2", "-"]
    assert rows[0][-3:] == ["3600", "mV", "-5"]
    assert rows[2][-3:] == ["3610", "mV", "+5"]


@pytest.mark.parametrize(
    ("current_a", "words"),
    [(6.42, "6.4 A discharging"), (-1.7, "1.7 A charging"), (0.02, "0.0 A at rest")],
)
def test_the_direction_of_the_current_is_said_in_words(current_a: float, words: str) -> None:
    taken = snapshot(99.0, current_a=current_a)
    assert words in drawn(document_of(present_of([("P1", taken)])))[1]


def test_events_say_severity_and_since_when() -> None:
    events = [event(t=90.0), event("bus_noise", cell=None, t=None, severity=Severity.INFO)]
    text = "\n".join(drawn(document_of(present_of([("P1", FULL)], events))))
    assert "CRITICAL for 10 s: Cell 7 is at 2700 mV, below 2800 mV" in text
    assert "INFO Cell 7" in text


def test_more_events_than_there_is_room_for_are_counted_and_the_worst_are_shown() -> None:
    events = [
        event("bms_fault_flag", cell=None, text="The BMS itself reports a fault."),
        *(
            event("cell_imbalance", cell=cell, severity=Severity.WARNING, text=f"Cell {cell} off.")
            for cell in range(1, 8)
        ),
    ]
    text = "\n".join(drawn(document_of(present_of([("P1", FULL)], events))))
    assert "The BMS itself reports a fault" in text
    assert "and 4 more" in text


def test_trouble_with_store_and_broker_is_said() -> None:
    uplink = UplinkStats(connected=False, last_error="broker b:1883 cannot be reached: refused")
    text = "\n".join(
        drawn(document_of(present_of([("P1", FULL)]), uplink=uplink, store_trouble="disk full"))
    )
    assert "broker not connected" in text
    assert "cannot be reached" in text
    assert "store: disk full" in text


def test_an_event_that_is_not_on_disk_says_so() -> None:
    present = present_of([("P1", FULL)])
    waiting = event()
    present.events_changed(OpenEvents("store", [waiting]), [waiting])
    assert "CRITICAL (not saved yet) for 10 s: Cell 7" in "\n".join(drawn(document_of(present)))


def test_lost_readings_are_said_in_red_and_only_then() -> None:
    present = present_of([("P1", FULL)])
    assert "LOST" not in "\n".join(drawn(document_of(present)))
    present.lost = (12, 3400)
    present.dropped = 70
    lines = drawn(document_of(present))
    assert lines[-2:] == [
        "LOST: 3400 readings in 12 messages: the store was full before they were sent",
        "LOST: 70 readings, while the store took none",
    ]
    out = io.StringIO()
    console = Console(file=out, width=80, color_system="standard", force_terminal=True)
    console.print(render(document_of(present)))
    assert out.getvalue().count("\x1b[1;31mLOST") == 2


def test_doubts_about_values_are_said() -> None:
    doubt = Doubt("clone-constants", ("cell_voltages_mv",), "All cells are exactly 225 mV")
    text = "\n".join(drawn(document_of(present_of([("P1", replace(FULL, doubts=(doubt,)))]))))
    assert "All cells are exactly 225 mV" in text


def test_another_master_beside_a_bench_is_said_above_the_values() -> None:
    document = document_of(present_of([("P1", FULL)]), bus=beside_another_master())
    lines = drawn(document)
    assert lines[1].startswith("another master asks this pack: the data plug is still on the")
    assert "packtap sends nothing until it is off" in "".join(lines[1:3])
    assert all(cell_len(line) <= 80 for line in lines)
    assert "another master" not in "\n".join(drawn(document_of(present_of([("P1", FULL)]))))


def sixteen(**values: Any) -> dict[str, Any]:
    cells = (*(3600,) * 6, 2700, None, *(3610,) * 8)
    taken = snapshot(99.0, status=0x0101, voltage_v=58.0, cell_voltages_mv=cells, **values)
    events = [event(), event("bms_fault_flag", cell=None), event("cell_imbalance", cell=12)]
    return document_of(present_of([("P1", replace(taken, cell_count=16))], events))


def test_sixteen_cells_and_three_events_fit_a_terminal_of_80_by_24() -> None:
    lines = drawn(sixteen(), ("12 readings have reached the store", "SIMULATED scooter"))
    assert len(lines) <= 24
    assert all(cell_len(line) <= 80 for line in lines)
    rows = [line for line in lines if line.startswith("cell ")]
    assert [row.split("cell ")[1].split()[0] for row in rows] == [str(n) for n in range(1, 9)]
    assert [row.split("cell ")[2].split()[0] for row in rows] == [str(n) for n in range(9, 17)]


def test_sixteen_cells_stand_in_one_column_where_two_have_no_room() -> None:
    rows = [line for line in drawn(sixteen(), width=60) if line.startswith("cell ")]
    assert len(rows) == 16
    assert all("mV" in row or row.rstrip().endswith("-") for row in rows)


def test_what_is_wrong_with_a_cell_is_said_without_its_colour() -> None:
    rows = drawn(sixteen(balancing_cells=(3,), undervoltage_cells=(7, 10)))
    assert any("cell  7" in row and "2700 mV  -910 CRITICAL" in row for row in rows)
    assert any("cell  3" in row and "balancing" in row for row in rows)
    assert any("cell 10" in row and row.endswith("low flag") for row in rows)


def test_a_stroke_stands_where_the_median_is() -> None:
    holed = snapshot(99.0, cell_voltages_mv=(3600, 2700, 3600))
    rows = [line for line in drawn(document_of(present_of([("P1", holed)]))) if "cell " in line]
    strokes = [row.index("\u2502") for row in rows[:3]]
    assert len(set(strokes)) == 1
    assert rows[1].count("\u2588") < rows[0].count("\u2588")


def test_cells_of_an_unknown_age_are_not_called_fresh() -> None:
    document = document_of(present_of([("P1", FULL)]))
    del document["ages_s"]["cell_voltages_mv"]
    assert "read at an unknown time" in "\n".join(drawn(document))
