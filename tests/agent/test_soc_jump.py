"""A percentage that leaps: raised if it stays, and only where nothing else explains it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ninebot_bms import Snapshot
from packtap.analysis.occasion import Occasion
from packtap.analysis.soc_jump import SocJumpCheck
from packtap.config import PackConfig
from packtap.model import Event, EventState, Value
from packtap.pack_checks import PackChecks
from stories import judge, snapshot

CELLS = (3750,) * 10


def poll(t: float, soc_pct: int | None, **more: Value) -> Snapshot:
    values: dict[str, Value] = {
        "soc_pct": soc_pct, "current_a": 5.0, "status": 1, "cell_voltages_mv": CELLS,
        "full_capacity_mah": 7800,
    }  # fmt: skip
    return snapshot(t, **{**values, **more})


def leap(
    before: int = 62, after: int = 35, at: float = 100.0, end: float = 200.0, every: float = 0.5,
    **more: Value,
) -> Iterator[Snapshot]:  # fmt: skip
    for step in range(int(end / every)):
        t = step * every
        yield poll(t, before if t < at else after, **more)


def told(story: Iterable[Snapshot]) -> list[Event]:
    return judge(SocJumpCheck().update, story)


def test_a_leap_that_stays_is_raised_after_ten_seconds_with_what_it_leapt() -> None:
    [event] = told(leap())
    assert (event.kind, event.t, event.value, event.limit) == (
        "soc_miscalibration", 110.0, 27.0, 10.0,
    )  # fmt: skip
    assert "leapt from 62 to 35 %" in event.text


@pytest.mark.parametrize("every", [0.2, 1.0, 2.0, 6.0])
@pytest.mark.parametrize("after", [30, 85])
def test_the_pace_and_the_direction_make_no_difference(every: float, after: int) -> None:
    [event] = told(leap(after=after, every=every, at=120.0, end=300.0))
    assert 130.0 <= (event.t or 0.0) <= 150.0


@pytest.mark.parametrize("after", [62, 60, 53, 70])
def test_steps_that_boards_make_are_no_leap(after: int) -> None:
    assert told(leap(after=after)) == []


def test_a_slow_change_is_no_leap() -> None:
    assert told(poll(t * 1.0, 90 - t // 20) for t in range(1500)) == []


def test_a_leap_that_comes_back_is_a_damaged_word() -> None:
    sound = leap(after=62)
    story = [replace_soc(each, 5) if 100 <= (each.t or 0) < 103 else each for each in sound]
    assert told(story) == []


def replace_soc(each: Snapshot, soc_pct: int) -> Snapshot:
    return replace(each, values={**each.values, "soc_pct": soc_pct})


@pytest.mark.parametrize(
    "more",
    [
        {"cell_voltages_mv": (4120,) * 10},
        {"cell_voltages_mv": None},
        {"status": 0x0201},
        {"status": 0x0041},
        {"status": 0x0081},
        {"current_a": -1.7},
    ],
    ids=["cells are high", "no cells", "flag full", "flag charging", "charger in", "charged"],
)
def test_a_board_may_set_hundred_when_a_charge_may_have_ended(more: dict[str, Any]) -> None:
    assert told(leap(80, 100, **more)) == []


def test_a_charge_just_before_explains_hundred_and_one_long_ago_does_not() -> None:
    def story(minutes: int) -> Iterator[Snapshot]:
        for t in range(3000):
            charges = t < 1000
            full = t >= 1000 + 60 * minutes
            yield poll(float(t), 100 if full else 80, current_a=-1.7 if charges else 0.0)

    assert told(story(5)) == []
    assert [event.kind for event in told(story(15))] == ["soc_miscalibration"]


def test_hundred_in_a_half_empty_pack_is_wrong() -> None:
    assert [event.value for event in told(leap(62, 100))] == [38.0]


@pytest.mark.parametrize(("before", "after"), [(14, 0), (0, 14)])
def test_the_bottom_may_be_set_to_zero_and_left_again(before: int, after: int) -> None:
    assert told(leap(before, after, cell_voltages_mv=(3150,) * 10)) == []
    assert told(leap(before, after, cell_voltages_mv=None)) == []
    assert [event.value for event in told(leap(before, after))] == [14.0]


@pytest.mark.parametrize("gap_s", [2.0, 30.0, 3600.0, -1e6])
def test_across_a_gap_the_board_may_have_started_anew(gap_s: float) -> None:
    story = list(leap())
    shifted = [moved(each, gap_s) if (each.t or 0) >= 100 else each for each in story]
    assert told(shifted) == []


def moved(each: Snapshot, seconds: float) -> Snapshot:
    times = {name: None if t is None else t + seconds for name, t in each.times.items()}
    return replace(each, t=None if each.t is None else each.t + seconds, times=times)


def test_a_lost_reply_is_no_gap() -> None:
    assert len(told(each for each in leap() if each.t != 99.5)) == 1


def test_without_times_or_percentage_nothing_is_said() -> None:
    untimed = [replace(each, t=None, times=dict.fromkeys(each.times)) for each in leap()]
    assert told(untimed) == []
    assert told(poll(float(t), None) for t in range(300)) == []


def test_another_pack_is_judged_by_checks_of_its_own() -> None:
    story = list(leap())
    first, second = SocJumpCheck(), SocJumpCheck()
    before = [each for each in story if (each.t or 0) < 100]
    assert judge(first.update, before) == []
    assert judge(second.update, story[len(before) :]) == []


def test_on_a_plain_tap_an_hour_without_a_leap_ends_it() -> None:
    def story() -> Iterator[Snapshot]:
        for t in range(5000):
            yield poll(float(t), 62 if t < 100 else 35, cell_voltages_mv=None)

    raised, cleared = told(story())
    assert (raised.t, cleared.state, cleared.t) == (110.0, EventState.CLEARED, 110.0 + 3600)
    again = SocJumpCheck()
    again.reopen(raised)
    assert [f.present for each in list(story())[200:] for f in again.update(each)] == [False]


def test_where_cells_are_read_their_rest_ends_it() -> None:
    checks = PackChecks(PackConfig(), Occasion(), lambda: 0)

    def story() -> Iterator[Snapshot]:
        for t in range(9000):
            soc_pct = 62 if t < 100 else 35 if t < 6000 else 54
            rests = t >= 5000
            cells = tuple(3760 + (t + cell) % 2 for cell in range(10))
            yield poll(
                float(t), soc_pct, current_a=0.0 if rests else 5 + t % 3, cell_voltages_mv=cells
            )

    states = [
        (event.state.value, event.t)
        for event in judge(checks.update, story())
        if event.kind == "soc_miscalibration"
    ]
    assert states[0] == ("raised", 110.0)
    assert states[-1][0] == "cleared"
    assert (states[-1][1] or 0.0) > 6000
    assert len(states) == 2
