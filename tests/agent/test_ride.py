"""The emulated ride: sane physics, seeded, and a sound one raises nothing."""

from collections.abc import Iterator
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rides
from ninebot_bms import BMS, Reply
from ninebot_bms.emulator import RegisterImage
from ninebot_bms.frames import Dialect, Frame
from ninebot_bms.registers import Block
from packtap.model import EventState
from packtap.ride import Ride, RidePlan

#: What a master reads: register, bytes, every so many seconds.
READS = ((0x30, 12, 0.2), (0x40, 30, 1.0), (0x36, 12, 2.0))


def polled(ride: Ride, seconds: float) -> Iterator[Reply]:
    """Yield the registers that a master reads during a ride, without the bytes around them."""
    image = RegisterImage({"serial": rides.SERIAL, "design_voltage_v": 36.0})
    for step in range(int(seconds / 0.2)):
        now = step * 0.2
        ride.advance(now)
        image.update(ride.registers())
        for index, size, every_s in READS:
            if step % round(every_s / 0.2) == 0:
                data = image.read(index, size)
                frame = Frame(Dialect.XIAOMI, BMS, None, 0x01, index, data)
                yield Reply(now, "bms", frame, Block(BMS, index, data))


@pytest.mark.parametrize("seed", range(1, 6))
def test_an_hour_on_a_sound_pack_raises_nothing(seed: int) -> None:
    digest = rides.fresh_tap().digest(polled(Ride(RidePlan(seed=seed, soc_pct=95.0)), 3600))
    assert len(digest.snapshots) > 15_000
    assert digest.events == []


@pytest.mark.parametrize("cell", [1, 5, 10])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_cell_that_fails_is_the_one_that_is_named(cell: int, seed: int) -> None:
    plan = rides.failing(60.0, cell=cell, seed=seed)
    digest = rides.fresh_tap().digest(polled(Ride(plan), 180))
    raised = [event for event in digest.events if event.state is EventState.RAISED]
    assert "cell_undervoltage" in {event.kind for event in raised}
    assert {event.cell for event in raised} <= {cell, None}
    assert all(event.t is not None and event.t > 60.0 for event in raised)


def test_until_it_fails_the_pack_is_like_a_sound_one() -> None:
    sound, failing = Ride(RidePlan()), Ride(rides.failing(30.0))
    for second in range(30):
        sound.advance(float(second))
        failing.advance(float(second))
        assert sound.registers() == failing.registers()


def test_the_same_seed_is_the_same_ride_and_another_is_another() -> None:
    def told(seed: int) -> list[object]:
        ride = Ride(RidePlan(seed=seed))
        story: list[object] = []
        for second in range(60):
            ride.advance(float(second))
            story.append(dict(ride.registers()))
        return story

    assert told(1) == told(1)
    assert told(1) != told(2)


def cells_of(registers: object) -> tuple[int, ...]:
    assert isinstance(registers, tuple)
    return registers


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 1000),
    cells=st.integers(1, 16),
    soc_pct=st.floats(20, 100),
    seconds=st.floats(1, 120),
)
def test_what_a_sound_board_reports_fits_together(
    seed: int, cells: int, soc_pct: float, seconds: float
) -> None:
    ride = Ride(RidePlan(cells=cells, seed=seed, soc_pct=soc_pct))
    ride.advance(seconds)
    registers = ride.registers()
    millivolts = cells_of(registers["cell_voltages_mv"])
    assert len(millivolts) == cells
    assert all(2800 < cell < 4350 for cell in millivolts)
    assert max(millivolts) - min(millivolts) < 150
    pack_v, current_a = registers["voltage_v"], registers["current_a"]
    assert isinstance(pack_v, float)
    assert isinstance(current_a, float)
    # 4 mohm of wiring, 1 mV of flicker a cell, 10 mV of rounding.
    assert abs(sum(millivolts) / 1000 - pack_v) < 0.005 * abs(current_a) + 0.002 * cells + 0.02
    assert -10 < current_a < 25
    assert registers["status"] == 1
    assert registers["undervoltage_cells"] == ()
    assert 0 <= int(str(registers["soc_pct"])) <= 100


def test_voltage_sags_under_load_and_recovers() -> None:
    ride = Ride(RidePlan())
    points: list[tuple[float, float]] = []
    for step in range(1200):
        ride.advance(step * 0.25)
        registers = ride.registers()
        cells = cells_of(registers["cell_voltages_mv"])
        points.append((float(str(registers["current_a"])), median(cells)))
    loaded = median(mv for amps, mv in points if amps > 12)
    resting = median(mv for amps, mv in points if abs(amps) < 0.5)
    charging = median(mv for amps, mv in points if amps < -2)
    assert loaded < resting - 100
    assert charging > resting


def test_riding_takes_charge_and_warms_the_pack() -> None:
    ride = Ride(RidePlan(soc_pct=90.0))
    ride.advance(0.1)
    before = ride.registers()
    ride.advance(900.0)
    after = ride.registers()
    taken = int(str(before["remaining_capacity_mah"])) - int(str(after["remaining_capacity_mah"]))
    # A quarter of an hour at some 5 A on average.
    assert 500 < taken < 3000
    assert 24 < int(str(after["temperature_1_c"])) < 45


def test_a_collapsed_cell_makes_the_board_report_a_fault_for_good() -> None:
    ride = Ride(rides.failing(1.0))
    for second in range(120):
        ride.advance(float(second))
        ride.registers()
    assert int(str(ride.registers()["status"])) == 0x0101
    assert ride.registers()["undervoltage_cells"] in ((7,), ())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cells": 0}, "1-16 cells"),
        ({"cells": 17}, "1-16 cells"),
        ({"failing_cell": 11}, "no cell 11"),
        ({"failing_cell": 0}, "no cell 0"),
        ({"soc_pct": 101.0}, "0-100 %"),
        ({"soc_pct": -1.0}, "0-100 %"),
        ({"fails_after_s": -1.0}, "before its start"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RidePlan(**options)  # type: ignore[arg-type]
