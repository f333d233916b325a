"""An event that an earlier life raised is ended by a check that never saw it begin."""

from collections.abc import Iterable

import pytest

from agent.test_link_checks import damaged, polls
from agent.test_tap import serial_reply, status_reply
from ninebot_bms import BusEvent
from packtap.analysis.charge_drift import ChargeDriftCheck
from packtap.analysis.finding import Finding
from packtap.analysis.frozen import FrozenCheck
from packtap.analysis.link_health import CommLossCheck, IntermittentCheck, NoiseCheck
from packtap.analysis.open_events import OpenEvents
from packtap.analysis.reading import CellReading
from packtap.analysis.resistance import CellLines, Deviation
from packtap.analysis.sense_wires import OpenWireCheck
from packtap.model import Event, EventState, Severity
from packtap.tap import Tap, TapSettings
from stories import HEALTHY, snapshot

SERIAL = "3JDEA24M1D0815"


def opened(kind: str, cell: int | None = None, pack: str = SERIAL) -> Event:
    return Event(
        f"{pack}/{kind}/{cell or 0:02d}/old/1", 1.0, pack, kind, Severity.WARNING,
        EventState.RAISED, cell,
    )  # fmt: skip


def ends(findings: Iterable[Finding]) -> list[tuple[str, int | None, float | None]]:
    """Return what is over, and when; nothing may be raised."""
    told = list(findings)
    assert not any(finding.present for finding in told)
    return [(finding.kind, finding.cell, finding.t) for finding in told]


def told(
    check: CommLossCheck | IntermittentCheck | NoiseCheck, story: Iterable[BusEvent]
) -> list[tuple[str, int | None, float | None]]:
    return ends(finding for event in story for finding in check.receive(event))


@pytest.mark.parametrize("is_known", [True, False])
def test_noise_is_over_after_a_minute_without_it(is_known: bool) -> None:
    check = NoiseCheck()
    if is_known:
        check.reopen(opened("bus_noise"))
    assert told(check, polls(0, 59, 0.1)) == []
    over = told(check, polls(59, 90, 0.1))
    assert [kind for kind, _, _ in over] == (["bus_noise"] if is_known else [])
    assert told(check, polls(90, 100, 0.1)) == []


def test_noise_that_goes_on_is_not_over() -> None:
    check = NoiseCheck()
    check.reopen(opened("bus_noise"))
    story: list[BusEvent] = []
    for second in range(120):
        story += [*polls(second, second + 1, 0.1), damaged(second + 0.95)]
    assert told(check, story) == []


@pytest.mark.parametrize("is_known", [True, False])
def test_a_loose_contact_is_over_after_ten_minutes_without_a_gap(is_known: bool) -> None:
    check = IntermittentCheck()
    if is_known:
        check.reopen(opened("bms_comm_intermittent"))
    assert told(check, polls(0, 590)) == []
    over = told(check, polls(590, 620))
    assert [kind for kind, _, _ in over] == (["bms_comm_intermittent"] if is_known else [])


@pytest.mark.parametrize("is_known", [True, False])
def test_a_picture_that_moves_is_no_longer_frozen(is_known: bool) -> None:
    check = FrozenCheck()
    if is_known:
        check.reopen(opened("frozen_readings"))
    assert check.is_suspect is is_known
    still = [snapshot(float(t), current_a=5.0, voltage_v=36.0) for t in range(5)]
    assert ends(finding for each in still for finding in check.update(each)) == []
    moved = snapshot(5.0, current_a=5.1, voltage_v=36.0)
    over = ends(check.update(moved))
    assert over == ([("frozen_readings", None, 5.0)] if is_known else [])


@pytest.mark.parametrize("is_known", [True, False])
def test_a_wire_that_stays_well_for_ten_minutes_is_no_longer_open(is_known: bool) -> None:
    check = OpenWireCheck()
    if is_known:
        check.reopen(opened("open_balance_wire", 4))
    story = [CellReading(float(t), float(t), HEALTHY) for t in range(100, 800, 10)]
    over = ends(finding for each in story for finding in check.take(each))
    assert over == ([("open_balance_wire", 4, 710.0)] if is_known else [])


@pytest.mark.parametrize("is_known", [True, False])
def test_a_cell_that_keeps_up_over_a_third_of_the_charge_is_not_weak(is_known: bool) -> None:
    check, lines = ChargeDriftCheck(), CellLines()
    lines.median_mv = 3700.0
    if is_known:
        check.reopen(opened("weak_cell", 3))
    even = {cell: Deviation(0.0, 0.0, 0.1, 0.1, 0.0, 0.01) for cell in range(1, 11)}
    over = ends(
        finding
        for step in range(45)
        for finding in check.take(
            CellReading(
                float(step), float(step), HEALTHY, drawn_ah=step / 10, capacity_mah=10000.0
            ),
            lines,
            even,
        )
    )
    assert [(kind, cell) for kind, cell, _ in over] == ([("weak_cell", 3)] if is_known else [])


@pytest.mark.parametrize("kind", ["bus_noise", "frozen_readings"])
def test_a_new_tap_ends_what_the_store_says_is_open(kind: str) -> None:
    """Link events stand under the pack's name, which a new tap reads only later."""
    tap = Tap(TapSettings(), OpenEvents("old", [opened(kind)], 1))
    story: list[BusEvent] = [
        event for event in polls(0, 200, 0.5) if type(event).__name__ == "Seen"
    ]
    for step in range(400):
        state = {"voltage_v": 36.0, "current_a": 5.0 + step % 7, "status": 1}
        warm = {"temperature_1_c": 24, "temperature_2_c": 25}
        story.append(status_reply(step / 2 + 0.01, **state, **warm))
    story.append(serial_reply(20.2, SERIAL))
    told = tap.digest(sorted(story, key=lambda event: event.t or 0.0))
    tap.idle(None)
    cleared = [event.id for event in told.events if event.state is EventState.CLEARED]
    assert cleared == [f"{SERIAL}/{kind}/00/old/1"]
    assert tap.open_events.all() == ()
