"""When does a cell reach a limit? Months of life, told from what the checks would gauge."""

import random
from collections import Counter

import pytest

from months import BEGIN_H, Course, live
from packtap.analysis.imbalance import ImbalanceLimits
from packtap.analysis.resistance import ResistanceLimits
from packtap.config import PackConfig
from packtap.memory.health import Health, has_changed
from packtap.memory.outlook import Outlook, outlook
from packtap.memory.pack_memory import PackMemory
from packtap.wire import HealthValue

IMBALANCE, RESISTANCE = ImbalanceLimits(), ResistanceLimits()
RUNS = 100


def told(memory: PackMemory, now_h: float | None) -> Outlook:
    return outlook(memory, now_h, IMBALANCE, RESISTANCE)


def begin_of(seed: int) -> tuple[dict[int, float], dict[int, float]]:
    """Return what `months.live` gives each cell at the beginning: points, and milliohm."""
    rng = random.Random(seed)
    offsets = {cell: rng.gauss(0, 0.3) for cell in range(1, 11)}
    return offsets, {cell: rng.gauss(0, 0.8) for cell in range(1, 11)}


def falling(per_day: float) -> Course:
    return lambda day: {7: -per_day * day}


def growing(per_day: float) -> Course:
    return lambda day: {7: per_day * day}


@pytest.mark.parametrize(
    ("per_day", "days"), [(0.03, 30), (0.05, 45), (0.08, 25)], ids=["slow", "middle", "fast"]
)
def test_nine_of_ten_intervals_hold_the_day_on_which_the_imbalance_reaches_its_limit(
    per_day: float, days: float
) -> None:
    inside = 0
    for seed in range(RUNS):
        memory = PackMemory("P", 0x22)
        now_h = live(memory, days, seed, deviation=falling(per_day))
        answer = told(memory, now_h)
        assert (answer.cell, answer.kind) == (7, "cell_imbalance")
        assert answer.low_h is not None
        assert answer.high_h is not None
        reached_day = (IMBALANCE.raise_pct + begin_of(seed)[0][7]) / per_day
        inside += answer.low_h <= BEGIN_H + 24 * reached_day - now_h <= answer.high_h
    assert inside >= 85


def test_nine_of_ten_intervals_hold_the_day_on_which_the_resistance_reaches_its_limit() -> None:
    inside = 0
    for seed in range(RUNS):
        memory = PackMemory("P", 0x22)
        now_h = live(memory, 45, seed, extra=growing(0.08))
        answer = told(memory, now_h)
        assert (answer.cell, answer.kind) == (7, "high_resistance_cell")
        assert answer.low_h is not None
        assert answer.high_h is not None
        reached_day = (RESISTANCE.limit_mohm(22.0) - begin_of(seed)[1][7]) / 0.08
        inside += answer.low_h <= BEGIN_H + 24 * reached_day - now_h <= answer.high_h
    assert inside >= 85


@pytest.mark.parametrize("days", [20, 60])
def test_a_pack_in_which_nothing_changes_gets_no_number(days: float) -> None:
    answers: Counter[str] = Counter()
    for seed in range(RUNS // 2):
        memory = PackMemory("P", 0x22)
        now_h = live(memory, days, seed)
        answer = told(memory, now_h)
        assert answer.hours is None
        answers[answer.text] += 1
    assert answers == {"no trend towards a limit": RUNS // 2}


def test_too_little_says_how_many_hours_at_rest_it_still_takes() -> None:
    memory = PackMemory("P", 0x22)
    nothing = told(memory, BEGIN_H)
    assert nothing.text.startswith("insufficient data: needs ")
    assert nothing.rest_hours_needed is not None
    needed = [nothing.rest_hours_needed]
    begin = 0.0
    for days in (2, 3, 15):
        now_h = live(memory, days, seed=3, begin_day=begin)
        begin += days
        answer = told(memory, now_h)
        assert answer.hours is None
        assert answer.rest_hours_needed is not None
        needed.append(answer.rest_hours_needed)
    assert needed == sorted(needed, reverse=True)
    assert 100 < needed[0] < 400
    assert needed[-1] == 0


def test_the_hours_asked_for_are_enough() -> None:
    memory = PackMemory("P", 0x22)
    now_h = live(memory, 3, seed=5)
    needed = told(memory, now_h).rest_hours_needed
    assert needed
    # Two points a day are twelve hours apart: as many as were asked for, and no more hours.
    now_h = live(memory, needed / 6 / 2, seed=5, begin_day=3.5)
    assert told(memory, now_h).rest_hours_needed == 0


def test_without_a_clock_no_trend_is_told() -> None:
    memory = PackMemory("P", 0x22)
    live(memory, 40, seed=1, deviation=falling(0.05))
    answer = told(memory, None)
    assert (answer.hours, answer.rest_hours_needed) == (None, None)
    assert "not known" in answer.text


def test_a_limit_that_the_trend_has_passed_is_now() -> None:
    memory = PackMemory("P", 0x22)
    now_h = live(memory, 60, seed=1, deviation=falling(0.12))
    answer = told(memory, now_h)
    assert (answer.hours, answer.low_h, answer.cell) == (0.0, 0.0, 7)
    assert "has reached the limit of cell_imbalance" in answer.text


def test_what_is_years_away_is_no_forecast() -> None:
    memory = PackMemory("P", 0x22)
    now_h = live(memory, 118, seed=1, deviation=falling(0.005))
    assert told(memory, now_h).hours is None


def test_a_cell_whose_resistance_falls_back_to_the_others_is_no_trend_to_a_limit() -> None:
    memory = PackMemory("P", 0x22)
    now_h = live(memory, 40, seed=1, extra=lambda day: {7: 8.0 - 0.1 * day})
    assert told(memory, now_h).hours is None


def test_the_cell_that_gets_there_first_is_named() -> None:
    memory = PackMemory("P", 0x22)
    now_h = live(
        memory,
        30,
        seed=2,
        deviation=lambda day: {3: 0.03 * day, 7: -0.06 * day},
        extra=lambda day: {9: 0.06 * day},
    )
    assert (told(memory, now_h).cell, told(memory, now_h).kind) == (7, "cell_imbalance")


def test_the_rows_say_what_the_memory_holds() -> None:
    memory = PackMemory("P", 0x22)
    health, pack = Health(), PackConfig()
    empty = health.rows(memory, BEGIN_H, pack)
    assert {name for name, value in empty.items() if value is not None} == {
        "outlook",
        "rest_hours_needed_h",
    }
    now_h = live(memory, 40, seed=1, deviation=falling(0.05))
    rows = health.rows(memory, now_h, pack)
    deviations, resistances = rows["cell_rest_deviation_pct"], rows["cell_resistance_mohm"]
    assert isinstance(deviations, list)
    assert isinstance(resistances, list)
    assert (len(deviations), len(resistances)) == (10, 10)
    assert deviations.index(min(each for each in deviations if each is not None)) == 6
    assert all(each is not None and 15 < each < 30 for each in resistances)
    slopes = rows["cell_rest_deviation_slope_pct_per_week"]
    assert isinstance(slopes, list)
    assert slopes[6] == pytest.approx(-0.35, abs=0.08)
    assert rows["time_to_limit_cell"] == 7
    assert rows["capacity_estimate_mah"] is None
    assert has_changed(empty, rows)
    assert not has_changed(rows, rows)


def test_a_limit_that_the_user_sets_is_the_one_that_is_meant() -> None:
    memory = PackMemory("P", 0x22)
    now_h = live(memory, 40, seed=1, deviation=falling(0.03))
    health = Health()
    hours = [
        health.rows(memory, now_h, PackConfig(cell_imbalance_pct=limit))["time_to_limit_h"]
        for limit in (4.5, 9.0)
    ]
    assert isinstance(hours[0], float)
    assert isinstance(hours[1], float)
    assert hours[1] > 2 * hours[0]


def test_a_change_within_the_noise_is_no_news() -> None:
    before: dict[str, HealthValue] = {
        "cell_resistance_mohm": [20.0, None],
        "time_to_limit_h": 900.0,
        "outlook": "a",
    }
    same: dict[str, HealthValue] = {
        "cell_resistance_mohm": [21.0, None],
        "time_to_limit_h": 910.0,
        "outlook": "b",
    }
    assert not has_changed(before, same)
    changes: tuple[dict[str, HealthValue], ...] = (
        {"cell_resistance_mohm": [22.0, None]},
        {"cell_resistance_mohm": [20.0, 20.0]},
        {"cell_resistance_mohm": None},
        {"time_to_limit_h": 800.0},
        {"identity_doubt": "another board"},
    )
    for news in changes:
        assert has_changed(before, {**before, **news})
