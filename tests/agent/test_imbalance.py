"""Charge off the median, judged at rest; by stories through all checks of cells."""

import itertools

import pytest

from ninebot_bms import BMS, Snapshot
from packtap.analysis.cells import CellChecks
from packtap.analysis.ocv import soc_from_ocv_pct
from packtap.model import Event
from stories import HEALTHY, judge, snapshot


def resting(t: float, number: int, millivolts: int, current_a: float = 0.02) -> Snapshot:
    values = list(HEALTHY)
    values[number - 1] = millivolts
    return snapshot(t, current_a=current_a, cell_voltages_mv=tuple(values))


def judged(story: list[Snapshot], *, rested: bool = False) -> list[Event]:
    return judge(CellChecks(rested=lambda: rested).update, story)


def test_a_cell_far_off_at_rest_is_an_imbalance_once_it_has_rested() -> None:
    events = judged([resting(float(t), 6, 3650) for t in range(0, 400, 2)])
    assert [(e.kind, e.cell) for e in events] == [("cell_imbalance", 6)]
    assert 60 <= (events[0].t or 0) <= 72
    assert "below the median" in events[0].text


def test_a_load_in_between_starts_the_rest_anew() -> None:
    story = [
        resting(float(t), 6, 3650, current_a=9.0 if t % 50 == 0 else 0.0) for t in range(0, 320, 2)
    ]
    assert judged(story) == []


def test_a_pack_on_the_bench_has_rested_already() -> None:
    events = judged([resting(t / 2, 6, 3650) for t in range(40)], rested=True)
    assert [(e.kind, e.cell) for e in events] == [("cell_imbalance", 6)]
    assert (events[0].t or 0) <= 3.0


def test_a_wide_spread_of_nearly_empty_cells_is_no_imbalance() -> None:
    # 60 mV near 3.15 V are two points of charge; at 3.7 V they would be six.
    low = tuple(3150 + 6 * n for n in range(10))
    story = [snapshot(float(t), current_a=0.0, cell_voltages_mv=low) for t in range(0, 900, 2)]
    assert judged(story) == []


@pytest.mark.parametrize(("bleeding", "off_mv"), [((6,), 75), ((5,), 60), ((7, 9), 60)])
def test_what_the_balancer_does_to_a_reading_is_no_imbalance(
    bleeding: tuple[int, ...], off_mv: int
) -> None:
    values = list(HEALTHY)
    values[5] -= off_mv
    story = [
        snapshot(float(t), current_a=0.0, balancing_cells=bleeding, cell_voltages_mv=tuple(values))
        for t in range(0, 900, 2)
    ]
    assert judged(story) == []


def test_two_cells_alone_have_no_median_that_says_who_is_wrong() -> None:
    story = [
        snapshot(float(t), current_a=0.0, cell_voltages_mv=(3300, 3900)) for t in range(0, 900, 2)
    ]
    assert judged(story) == []


def test_without_a_current_nothing_is_said_about_rest() -> None:
    values = list(HEALTHY)
    values[5] = 3650
    story = [snapshot(float(t), cell_voltages_mv=tuple(values)) for t in range(0, 900, 2)]
    assert judged(story) == []


def test_a_current_that_is_no_longer_read_ends_the_rest() -> None:
    late = resting(400.0, 6, 3650)
    stale = Snapshot(
        t=400.0,
        address=BMS,
        values=late.values,
        times={**late.times, "current_a": 0.0},
        fresh=frozenset({"cell_voltages_mv"}),
        cell_count=None,
        doubts=(),
        temperatures_raw={},
    )
    assert judged([resting(0.0, 6, 3650), stale, stale]) == []


def test_charge_from_voltage_rises_with_the_voltage_everywhere() -> None:
    charges = [soc_from_ocv_pct(mv) for mv in range(2500, 4400, 10)]
    assert all(later > earlier for earlier, later in itertools.pairwise(charges))
    assert soc_from_ocv_pct(4195) == pytest.approx(100)
    assert soc_from_ocv_pct(2900) == pytest.approx(0)
