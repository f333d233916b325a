"""The live screen: 80 columns, 24 lines, ages, and nothing that was not reported."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from ninebot_bms import Doubt
from packtap.cli.screen import render
from packtap.link import LinkDown
from packtap.model import Severity
from packtap.uplink import UplinkStats
from presents import document_of, event, present_of
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
    document = document_of(present_of([("3JDEA24M1D0815", FULL)], events))
    lines = drawn(document, ("12 readings have reached the store", "SIMULATED scooter"))
    assert len(lines) <= 24
    assert all(cell_len(line) <= 80 for line in lines)
    assert sum(line.lstrip().startswith("cell ") for line in lines) == 10


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
    assert "cells read 10 min ago" in text
    assert "SoC 71 %  " in text  # a second old: that is now


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


def test_doubts_about_values_are_said() -> None:
    doubt = Doubt("clone-constants", ("cell_voltages_mv",), "All cells are exactly 225 mV")
    text = "\n".join(drawn(document_of(present_of([("P1", replace(FULL, doubts=(doubt,)))]))))
    assert "All cells are exactly 225 mV" in text
