"""The checks of board, sensors, current and charging, each by its story."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ninebot_bms import BMS, Snapshot, SnapshotAssembler
from ninebot_bms.registers import Block
from packtap.analysis.charge import ChargeCheck
from packtap.analysis.frozen import FrozenCheck
from packtap.analysis.overcurrent import OverCurrentCheck
from packtap.analysis.plausibility import Plausibility
from packtap.analysis.status_flags import StatusFlagCheck
from packtap.analysis.temperature import TemperatureCheck
from packtap.model import Value
from stories import HEALTHY, judge, raised, snapshot


def temperatures(t: float | None, first_c: int, second_c: int, **more: Value) -> Snapshot:
    """Return what a board says about its two sensors; -20 and 235 degC are the end stops."""
    values = [None if c in (-20, 235) else c for c in (first_c, second_c)]
    read = snapshot(t, temperature_1_c=values[0], temperature_2_c=values[1], **more)
    raws = {"temperature_1_c": first_c + 20, "temperature_2_c": second_c + 20}
    return replace(read, temperatures_raw=raws)


def heat(story: Iterable[Snapshot]) -> list[tuple[str, str]]:
    events = judge(TemperatureCheck().update, story)
    return [(event.kind, event.state.value) for event in events]


# Status.


def test_a_fault_flag_needs_two_readings_and_clears_after_five_seconds() -> None:
    check = StatusFlagCheck()
    story = [snapshot(float(t), status=1 if t in (0, *range(4, 12)) else 0x0101) for t in range(12)]
    events = judge(check.update, story)
    assert [(event.t, event.state.value) for event in events] == [(2.0, "raised"), (9.0, "cleared")]
    assert check.judged == {"bms_fault_flag"}


@pytest.mark.parametrize("status", [0x0001, 0x0003, 0x0201, 0x0241, 0x00C1, 0x0023])
def test_a_status_of_a_sound_pack_is_no_fault(status: int) -> None:
    assert (
        judge(StatusFlagCheck().update, [snapshot(float(t), status=status) for t in range(9)]) == []
    )


# Temperatures.


def test_heat_on_both_sensors_is_raised_and_cleared_with_hysteresis() -> None:
    warming = [temperatures(float(t), 50 + t // 2, 48 + t // 2) for t in range(24)]
    staying = [temperatures(24.0 + t, 57 + t % 2, 55) for t in range(30)]
    cooling = [temperatures(54.0 + 5 * t, 49, 48) for t in range(20)]
    assert heat([*warming, *staying]) == [("over_temperature", "raised")]
    assert heat([*warming, *staying, *cooling]) == [
        ("over_temperature", "raised"),
        ("over_temperature", "cleared"),
    ]


def test_charging_has_narrower_limits_than_discharging() -> None:
    def charged(celsius: int, current_a: float) -> list[tuple[str, str]]:
        readings = (temperatures(t, celsius, celsius, current_a=current_a) for t in range(0, 20, 2))
        return heat(replace(reading, t=float(reading.t or 0)) for reading in readings)

    assert charged(56, 8.0) == []
    assert charged(56, -1.7) == [("over_temperature", "raised")]
    assert charged(-2, 8.0) == []
    assert charged(-2, -1.7) == [("under_temperature", "raised")]
    assert charged(-10, 8.0) == [("under_temperature", "raised")]


@pytest.mark.parametrize("stop", [-20, 235])
@pytest.mark.parametrize("first", [True, False])
def test_an_end_stop_is_a_broken_sensor_and_no_temperature(stop: int, first: bool) -> None:
    pair = (stop, 22) if first else (22, stop)
    story = [temperatures(float(t), *(pair if t > 3 else (23, 22))) for t in range(30)]
    assert heat(story) == [("temp_sensor_fault", "raised")]


def test_a_pack_at_twenty_below_has_two_sound_sensors() -> None:
    story = [temperatures(float(t), -20, -19) for t in range(30)]
    assert heat(story) == [("under_temperature", "raised")]


def test_one_damaged_temperature_is_forgiven() -> None:
    story = [temperatures(float(t), 60 if t == 10 else 22, 22) for t in range(90)]
    assert heat(story) == []


def test_a_jump_that_stays_is_a_broken_sensor() -> None:
    story = [temperatures(float(t), 22 if t < 10 else 36, 22) for t in range(30)]
    assert heat(story) == [("temp_sensor_fault", "raised")]


def test_a_sensor_that_jumps_there_and_back_is_broken() -> None:
    story = [temperatures(float(t), 40 if t in (10, 40) else 22, 22) for t in range(60)]
    assert heat(story) == [("temp_sensor_fault", "raised")]


def test_a_sensor_that_stands_still_while_the_other_moves_away_is_broken() -> None:
    story = [temperatures(10.0 * t, 20, 20 + t // 8) for t in range(100)]
    assert heat(story) == [("temp_sensor_fault", "raised")]


def test_sensors_that_move_together_may_be_nine_kelvin_apart() -> None:
    story = [temperatures(10.0 * t, 20 + t // 4, 20 + t // 4 + min(9, t // 10)) for t in range(99)]
    assert heat(story) == []


def test_days_between_two_readings_are_no_jump() -> None:
    story = [temperatures(1800.0 * day + t, 5 + 15 * (day % 2), 5 + 15 * (day % 2))
             for day in range(9) for t in range(5)]  # fmt: skip
    assert heat(story) == []


# Current.


def flowing(current_a: float, seconds: int) -> list[Snapshot]:
    return [snapshot(float(t), current_a=current_a + 0.01 * (t % 3)) for t in range(seconds)]


def test_a_peak_is_no_over_current_and_five_seconds_are() -> None:
    assert judge(OverCurrentCheck().update, flowing(40.0, 5)) == []
    assert list(raised(judge(OverCurrentCheck().update, flowing(40.0, 8)))) == [
        ("over_current", None)
    ]
    assert list(raised(judge(OverCurrentCheck().update, flowing(-12.0, 8)))) == [
        ("over_current", None)
    ]
    assert judge(OverCurrentCheck().update, flowing(30.0, 60)) == []


def test_a_current_that_never_flickers_is_a_picture() -> None:
    story = [snapshot(float(t), current_a=60.0) for t in range(60)]
    assert judge(OverCurrentCheck().update, story) == []


# Charging.


def charger(t: int, current_a: float = 0.0, mv: int = 3700, **more: Value) -> Snapshot:
    values: dict[str, Value] = {
        "status": 0x0081,
        "current_a": current_a,
        "temperature_1_c": 20,
        "temperature_2_c": 21,
        "cell_voltages_mv": tuple(mv + (t + cell) % 2 for cell in range(10)),
    }
    return snapshot(float(t), **{**values, **more})


def blocked(story: Iterable[Snapshot]) -> list[tuple[str, int | None]]:
    return list(raised(judge(ChargeCheck().update, story)))


def test_a_charger_without_current_is_blocked_after_a_minute() -> None:
    assert blocked(charger(t) for t in range(60)) == []
    events = judge(ChargeCheck().update, (charger(t) for t in range(70)))
    assert [(event.kind, event.t) for event in events] == [("charge_blocked", 61.0)]
    assert ChargeCheck().judged == set()


@pytest.mark.parametrize(
    "more",
    [
        {"current_a": -1.7},
        {"mv": 4160},
        {"mv": 2600},
        {"status": 0x0001},
        {"temperature_1_c": -3},
        {"temperature_2_c": 50},
        {"temperature_1_c": None},
        {"cell_voltages_mv": None},
    ],
    ids=["charges", "full", "empty", "no-charger", "cold", "hot", "no-sensor", "no-cells"],
)
def test_a_charger_that_need_not_charge_is_not_blocked(more: dict[str, int]) -> None:
    assert blocked(charger(t, **more) for t in range(300)) == []


def test_a_charge_that_has_ended_is_not_blocked() -> None:
    story = [charger(t, -1.7 if t < 100 else 0.0, 4090) for t in range(400)]
    assert blocked(story) == []


def nearly_full(t: int, *, plugged: int = 100, charges: bool = False, **more: Value) -> Snapshot:
    """Return cells at 4.13 V; a charger comes at `plugged`."""
    is_in = t >= plugged
    values: dict[str, Value] = {"status": 0x0081 if is_in else 0x0001, "soc_pct": 91}
    return charger(t, -0.6 if is_in and charges else 0.0, 4130, **{**values, **more})


def test_a_charger_that_is_seen_to_come_must_charge_a_pack_just_below_full() -> None:
    [event] = judge(ChargeCheck().update, (nearly_full(t) for t in range(300)))
    assert (event.kind, event.t) == ("charge_blocked", 161.0)
    assert blocked(nearly_full(t, charges=True) for t in range(300)) == []


@pytest.mark.parametrize(
    "more",
    [
        {"plugged": 0},
        {"soc_pct": 95},
        {"soc_pct": None},
        {"status": 0x0281},
        {"cell_voltages_mv": (4151,) * 9},
    ],
    ids=["it was in before", "full by its count", "no count", "full by its flag", "full"],
)
def test_a_pack_just_below_full_may_be_full(more: dict[str, Any]) -> None:
    assert blocked(nearly_full(t, **more) for t in range(400)) == []


def test_a_charger_that_came_in_a_silence_may_have_ended_its_charge() -> None:
    story = [nearly_full(t, plugged=100) for t in [*range(90), *range(3000, 3300)]]
    assert blocked(story) == []


def test_one_damaged_status_is_no_charger_that_comes() -> None:
    story = [nearly_full(t, plugged=0, status=0x0001 if t == 50 else 0x0081) for t in range(400)]
    assert blocked(story) == []


def test_readings_that_stand_still_say_nothing_about_charging() -> None:
    assert blocked(charger(t, cell_voltages_mv=HEALTHY) for t in range(300)) == []


# Frozen readings.


def picture(t: float, current_a: float, moving: bool) -> Snapshot:
    step = int(t * 2) % 3 if moving else 0
    return snapshot(
        t,
        current_a=current_a + step / 100,
        voltage_v=38.0 + step / 100,
        remaining_capacity_mah=7000 - (int(t) if moving else 0),
        cell_voltages_mv=tuple(mv + step for mv in HEALTHY),
        status=int(t) % 2,
    )


def frozen(story: Iterable[Snapshot]) -> list[str]:
    return [event.state.value for event in judge(FrozenCheck().update, story)]


@pytest.mark.parametrize("current_a", [8.0, -1.7])
def test_the_same_picture_under_current_is_frozen_after_half_a_minute(current_a: float) -> None:
    still = [picture(float(t), current_a, moving=False) for t in range(40)]
    assert frozen(still[:31]) == []
    assert frozen(still) == ["raised"]
    assert frozen([*still, picture(41.0, current_a, moving=True)]) == ["raised", "cleared"]


def test_a_picture_that_moves_lives() -> None:
    check = FrozenCheck()
    story = [picture(t / 2, 8.0, moving=True) for t in range(400)]
    assert judge(check.update, story) == []
    assert check.judged == {"frozen_readings"}


def test_cells_at_rest_are_frozen_only_if_they_are_asked_often() -> None:
    often = [picture(t / 2, 0.0, moving=False) for t in range(80)]
    rarely = [picture(t * 6.0, 0.0, moving=False) for t in range(29)]
    assert frozen(often) == ["raised"]
    assert frozen(rarely) == []


def test_a_quiet_pack_without_cells_is_not_frozen() -> None:
    story = [snapshot(t / 2, current_a=0.0, voltage_v=38.0) for t in range(400)]
    assert frozen(story) == []


def test_bursts_of_a_parked_scooter_are_not_frozen() -> None:
    story = [
        picture(600.0 * burst + t / 2, 0.0, moving=False) for burst in range(9) for t in range(9)
    ]
    assert frozen(story) == []


def test_cells_that_stand_still_while_the_current_moves_are_frozen() -> None:
    story = [
        snapshot(
            float(t), current_a=8.0 * (t % 2), voltage_v=38.0 - t % 2, cell_voltages_mv=HEALTHY
        )
        for t in range(40)
    ]
    assert frozen(story) == ["raised"]


# What cannot be true.


def screened(story: Iterable[Snapshot]) -> tuple[list[str], list[Snapshot]]:
    """Return the details of what was raised, and what the other checks would see."""
    gate = Plausibility()
    details, seen = [], []
    for each in story:
        clean, findings = gate.screen(each)
        details += [finding.detail for finding in findings if finding.present]
        seen.append(clean)
    return details, seen


def good(t: float) -> Snapshot:
    return snapshot(
        t, status=1, current_a=0.1, voltage_v=38.01, soc_pct=60, cell_voltages_mv=HEALTHY
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"soc_pct": 180},
        {"current_a": 301.6},
        {"voltage_v": 2.2},
        {"voltage_v": 76.0},
        {"cell_voltages_mv": (*HEALTHY[:9], 9000)},
        {"cell_voltages_mv": (*HEALTHY[:9], None)},
    ],
)
def test_one_impossible_reading_is_withheld_and_a_second_one_is_raised(
    bad: dict[str, Value],
) -> None:
    wrong = {**good(0.0).values, **bad}
    story = [good(0.0), snapshot(1.0, **wrong), *(good(t) for t in (2.0, 3.0))]
    details, seen = screened(story)
    assert details == []
    assert seen[1].values == seen[0].values
    assert not seen[1].fresh & set(bad)
    assert seen[2].fresh == good(2.0).fresh
    details, _ = screened([*story, snapshot(60.0, **wrong)])
    assert len(details) == 1


def test_the_words_of_one_reply_share_their_fate() -> None:
    wrong = snapshot(1.0, status=0x4100, current_a=0.1, voltage_v=655.35, soc_pct=60)
    _, seen = screened([good(0.0), wrong, replace(wrong, t=2.0, fresh=frozenset())])
    assert [each.values["status"] for each in seen] == [1, 1, 1]


def test_three_impossible_words_at_once_are_no_damaged_frame() -> None:
    details, _ = screened(
        [good(0.0), snapshot(1.0, soc_pct=65535, voltage_v=655.35, current_a=327.0)]
    )
    assert len(details) == 1


def test_an_open_wire_beside_its_mirror_is_possible() -> None:
    cells = (0, 7602, *HEALTHY[2:])
    details, seen = screened([snapshot(float(t), cell_voltages_mv=cells) for t in range(9)])
    assert details == []
    assert all("cell_voltages_mv" in each.fresh for each in seen)


def test_an_emulator_is_known_at_first_sight_and_hidden_from_everything_else() -> None:
    assembler = SnapshotAssembler(BMS)
    assembler.receive_block(Block(BMS, 0x40, (225).to_bytes(2, "little") * 15), 1.0)
    seen = assembler.take(1.0)
    assert seen is not None
    details, clean = screened([seen, replace(good(2.0), doubts=())])
    assert len(details) == 2
    assert all(not each.fresh and not each.values for each in clean)


def test_ten_clean_minutes_clear_it() -> None:
    def story() -> Iterator[Snapshot]:
        for t in range(900):
            yield snapshot(float(t), soc_pct=180) if t in (5, 50) else good(float(t))

    gate = Plausibility()
    findings = [finding for each in story() for finding in gate.screen(each)[1]]
    assert [finding.t for finding in findings if finding.present] == [50.0]
    assert min(finding.t or 0.0 for finding in findings if not finding.present) >= 600.0
