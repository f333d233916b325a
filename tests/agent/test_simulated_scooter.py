"""The simulated scooter itself: sane physics, seeded, and what its board reports fits together."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from statistics import median, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rides
from packtap.simulated.chemistry import CHEMISTRIES, Curve
from packtap.simulated.day import Mode, Phase
from packtap.simulated.fault_rows import parse_fault
from packtap.simulated.pack_model import PackTraits, build_pack
from packtap.simulated.recording import ADAPTERS, Recorder
from packtap.simulated.scooter import Plan, Scooter
from packtap.simulated.wires import Wires

RIDING = (Phase(Mode.RIDING),)
PARKED = (Phase(Mode.PARKED, look_every_s=600.0),)


def seen(scooter: Scooter, seconds: float, every_s: float = 1.0) -> list[dict[str, object]]:
    """Return what the board reports, once a while, for so long."""
    story: list[dict[str, object]] = []
    start = scooter.now
    for step in range(int(seconds / every_s)):
        scooter.advance(start + step * every_s)
        story.append(dict(scooter.registers()))
    return story


def cells_of(registers: Mapping[str, object]) -> tuple[int, ...]:
    cells = registers["cell_voltages_mv"]
    assert isinstance(cells, tuple)
    return cells


def amps(registers: Mapping[str, object]) -> float:
    value = registers["current_a"]
    assert isinstance(value, float)
    return value


# Cells.


@pytest.mark.parametrize("chemistry", CHEMISTRIES, ids=lambda row: row.name)
def test_a_curve_rises_and_is_what_lithium_cells_show(chemistry) -> None:  # type: ignore[no-untyped-def]
    curve = Curve(chemistry)
    volts = [curve.volts(pct / 2) for pct in range(-80, 240)]
    assert volts == sorted(volts)
    assert 2.5 < curve.volts(0) < 2.9
    assert 3.6 < curve.volts(50) < 3.8
    assert 4.15 < curve.volts(100) < 4.21
    for pct in (1.0, 20.0, 55.5, 99.0):
        assert curve.soc_pct(curve.volts(pct)) == pytest.approx(pct, abs=0.01)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), age=st.floats(0, 1), cells=st.integers(1, 16))
def test_a_pack_is_drawn_within_what_packs_are(seed: int, age: float, cells: int) -> None:
    pack = build_pack(PackTraits(cells=cells, age=age), 60.0, seed)
    assert len(pack.cells) == cells
    for cell in pack.cells:
        assert 0.6 * 7.8 < cell.ah < 1.15 * 7.8
        assert 0.006 < cell.ohm < 0.05
        assert abs(cell.soc_pct - 60.0) < 5.0


def test_resistance_doubles_in_the_cold_and_shrinks_in_the_heat() -> None:
    pack = build_pack(PackTraits(), 60.0, 1)
    factors = []
    for celsius in (-10.0, 0.0, 25.0, 45.0):
        pack.celsius = celsius
        factors.append(pack.resistance_factor)
    assert factors == sorted(factors, reverse=True)
    assert 2.5 < factors[0] < 4.6
    assert 1.9 < factors[1] < 2.9
    assert factors[2] == pytest.approx(1.0)


def test_charge_is_conserved_and_voltage_relaxes() -> None:
    pack = build_pack(PackTraits(age=0.0), 80.0, 2)
    rested = pack.volts(1, 0.0)
    before = pack.cells[0].soc_pct
    for _ in range(360):
        pack.advance(1.0, 10.0)
    drawn_pct = 100 * 1.0 / pack.cells[0].ah  # 10 A for 360 s
    assert before - pack.cells[0].soc_pct == pytest.approx(drawn_pct, rel=0.001)
    loaded, let_go = pack.volts(1, 10.0), pack.volts(1, 0.0)
    for _ in range(7200):
        pack.advance(1.0, 0.0)
    after = pack.volts(1, 0.0)
    assert loaded < let_go < after < rested
    assert after == pytest.approx(pack.curve.volts(pack.cells[0].soc_pct), abs=0.0005)


def test_healthy_groups_stay_together_over_a_month_of_rest() -> None:
    pack = build_pack(PackTraits(), 70.0, 3)
    before = [cell.soc_pct for cell in pack.cells]
    for _ in range(30 * 24):
        pack.advance(3600.0, 0.0)
    lost = [then - cell.soc_pct for then, cell in zip(before, pack.cells, strict=True)]
    assert all(1.5 < loss < 3.5 for loss in lost)  # percent a month
    assert max(lost) - min(lost) < 1.2


# Board and day.


def test_the_same_seed_is_the_same_ride_and_another_is_another() -> None:
    assert seen(Scooter(Plan(seed=1)), 60) == seen(Scooter(Plan(seed=1)), 60)
    assert seen(Scooter(Plan(seed=1)), 60) != seen(Scooter(Plan(seed=2)), 60)


def test_until_it_fails_the_pack_is_like_a_sound_one() -> None:
    sound, failing = Scooter(Plan()), Scooter(rides.failing(30.0))
    assert seen(sound, 30) == seen(failing, 30)
    assert seen(sound, 30) != seen(failing, 30)


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
    ride = Scooter(Plan(cells=cells, seed=seed, soc_pct=soc_pct))
    ride.advance(seconds)
    registers = dict(ride.registers())
    millivolts = cells_of(registers)
    assert len(millivolts) == cells
    assert all(2800 < cell < 4350 for cell in millivolts)
    assert max(millivolts) - min(millivolts) < 150
    pack_v = registers["voltage_v"]
    assert isinstance(pack_v, float)
    # Skew: a group and the pack are read at other moments, up to 25 A apart.
    assert abs(sum(millivolts) / 1000 - pack_v) < 0.01 * pack_v + 25 * 0.03 * cells
    assert -15 < amps(registers) < 31
    assert registers["status"] in (0x0001, 0x0041, 0x0201, 0x0241)
    assert registers["undervoltage_cells"] == ()
    assert 0 <= int(str(registers["soc_pct"])) <= 100


def test_at_rest_pack_voltage_and_sum_agree_and_sound_cells_flicker() -> None:
    for seed in range(1, 9):
        story = seen(Scooter(Plan(seed=seed, story="rest")), 60)
        for registers in story:
            pack_v = float(str(registers["voltage_v"]))
            assert abs(sum(cells_of(registers)) / 1000 - pack_v) < 0.007 * pack_v
        levels = [cells_of(registers)[0] for registers in story]
        assert 0 < pstdev(levels) < 2.5


def test_in_current_steps_the_cells_seem_to_differ_though_they_do_not() -> None:
    def spreads(plan: Plan, seconds: float) -> list[int]:
        cells = [cells_of(registers) for registers in seen(Scooter(plan), seconds, 0.5)]
        return [max(each) - min(each) for each in cells]

    moving = [mv for seed in range(1, 7) for mv in spreads(Plan(seed=seed, phases=RIDING), 300)]
    still = [mv for seed in range(1, 7) for mv in spreads(Plan(seed=seed, story="rest"), 30)]
    assert max(still) < 30
    assert 40 < max(moving) < 200  # events.md section 4: 20-100 mV in a current step
    assert median(moving) < 40


def test_voltage_sags_under_load_and_recovers() -> None:
    points = [
        (amps(registers), median(cells_of(registers)))
        for registers in seen(Scooter(Plan(phases=RIDING)), 300, 0.25)
    ]
    loaded = median(mv for current_a, mv in points if current_a > 12)
    resting = median(mv for current_a, mv in points if abs(current_a) < 0.5)
    charging = median(mv for current_a, mv in points if current_a < -2)
    assert loaded < resting - 100
    assert charging > resting


def test_riding_takes_charge_and_warms_the_pack() -> None:
    ride = Scooter(Plan(soc_pct=90.0, phases=RIDING))
    before, after = dict(ride.registers()), seen(ride, 900)[-1]
    taken = int(str(before["remaining_capacity_mah"])) - int(str(after["remaining_capacity_mah"]))
    # A quarter of an hour at some 5 A on average.
    assert 500 < taken < 3000
    assert 22 < ride.pack.celsius < 45


def test_a_charge_is_constant_current_then_constant_voltage_and_ends_full() -> None:
    scooter = Scooter(Plan(soc_pct=80.0, story="charge"))
    story = seen(scooter, 5400, 5.0)
    currents = [amps(registers) for registers in story]
    assert min(currents) == pytest.approx(-scooter.charger_a, abs=0.15)
    ended = [registers for registers in story if abs(amps(registers)) < 0.1][-1]
    assert ended["soc_pct"] == 100
    assert 4050 < median(cells_of(ended)) < 4210
    tapering = [current_a for current_a in currents if -0.8 * scooter.charger_a < current_a < -0.2]
    assert len(tapering) > 20
    assert median(tapering[:10]) < median(tapering[-10:])
    assert all(registers["status"] in (0x01, 0x41, 0x201, 0x241) for registers in story)


def test_a_cell_that_collapses_opens_the_output_and_the_board_says_so() -> None:
    ride = Scooter(rides.failing(5.0))
    story = seen(ride, 120)
    assert ride.board.is_cut
    assert story[-1]["status"] == 0x0101
    assert story[-1]["undervoltage_cells"] == (7,)
    assert abs(amps(story[-1])) < 0.1


def test_balancing_shows_in_the_map_and_in_the_readings() -> None:
    plan = Plan(soc_pct=88.0, charge_spread_pct=1.5, story="charge")
    scooter = Scooter(plan)
    story = seen(scooter, 5400, 5.0)
    bleeding = [registers for registers in story if registers["balancing_cells"]]
    assert bleeding
    for registers in bleeding:
        numbers = registers["balancing_cells"]
        assert isinstance(numbers, tuple)
        assert len({number % 2 for number in numbers}) == 1  # neighbours take turns
        assert max(cells_of(registers)) > 4000


def test_a_parked_scooter_is_silent_but_for_short_looks() -> None:
    reads = rides.reads(Wires(Plan(phases=PARKED)), 3700.0)
    times = [t for t, _, _ in reads if t is not None]
    assert times
    assert {int(t // 600) for t in times} == {1, 2, 3, 4, 5, 6}
    assert all(t % 600 < 6 for t in times)


@pytest.mark.parametrize("seed", range(6))
def test_a_board_knows_what_the_pack_holds_today_where_the_plan_says_so(seed: int) -> None:
    knows = Scooter(Plan(age=0.9, learns=True, seed=seed))
    cells = knows.pack.cells
    assert knows.board.full_mah == round(1000 * sum(cell.ah for cell in cells) / len(cells))
    goes_on = Scooter(Plan(age=0.9, learns=False, seed=seed))
    assert goes_on.board.full_mah == goes_on.plan.design_capacity_mah


@pytest.mark.parametrize("parked_s", [240.0, 100.1, 1 / 3])
def test_a_parked_scooter_rides_on_though_nobody_has_looked_at_it(parked_s: float) -> None:
    parked = Phase(Mode.PARKED, parked_s, look_every_s=3600.0)
    scooter = Scooter(Plan(phases=(Phase(Mode.RIDING, 0.7), parked, *RIDING)))
    scooter.advance(1.0)
    assert scooter.phase is parked
    scooter.advance(scooter.wakes_at())
    assert scooter.phase.mode is Mode.RIDING
    assert scooter.is_awake


def test_the_cold_and_the_aged_relax_slower_and_sag_deeper() -> None:
    def sag(plan: Plan) -> float:
        pack = Scooter(plan).pack
        return pack.volts(1, 0.0) - pack.volts(1, 15.0)

    usual = Plan(seed=5)
    assert sag(replace(usual, ambient_c=-8.0)) > 2.2 * sag(usual)
    assert sag(replace(usual, age=1.0)) > 1.5 * sag(usual)


# Recordings.


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_hands_over_the_same_bytes_in_order_of_time(adapter: str) -> None:
    def bytes_of(how: str) -> bytes:
        chunks = Recorder(adapter=how).record(Wires(Plan(story="bench")), 20)
        return b"".join(chunk.data for chunk in chunks if chunk.line == "bms")

    assert bytes_of(adapter) == bytes_of("frames")
    chunks = list(Recorder(adapter=adapter, one_line=True).record(Wires(Plan()), 20))
    assert {chunk.line for chunk in chunks} == {"bms"}
    times = [chunk.t for chunk in chunks if chunk.t is not None]
    # Two wires may be read out of order by a frame's length, never by more.
    assert all(later > earlier - 0.03 for earlier, later in pairwise(times))


def test_a_clock_that_steps_moves_the_times_and_not_the_bytes() -> None:
    plan = Plan(faults=(parse_fault("timestamp_anomaly:0", 5.0),))
    stepped = list(Recorder().record(Wires(plan), 10))
    steady = list(Recorder().record(Wires(Plan()), 10))
    assert [chunk.data for chunk in stepped] == [chunk.data for chunk in steady]
    moved = {round((b.t or 0) - (a.t or 0)) for a, b in zip(steady, stepped, strict=True)}
    assert moved == {0, -3600}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cells": 0}, "1-16 cells"),
        ({"cells": 17}, "1-16 cells"),
        ({"soc_pct": 101.0}, "0-100 %"),
        ({"soc_pct": -1.0}, "0-100 %"),
        ({"soc_pct": math.nan}, "0-100 %"),
        ({"story": "holiday"}, "no story"),
        ({"board": "none"}, "no board"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Plan(**options)  # type: ignore[arg-type]
