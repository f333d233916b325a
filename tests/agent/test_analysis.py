"""The checks, each by its story: quiet, raised after a while, steady through flicker, cleared."""

from dataclasses import replace

import pytest

from ninebot_bms import BMS, Dialect, Frame, Reason, Reject, Rejected, Reply, Seen, Snapshot
from ninebot_bms.registers import Block
from packtap.analysis.finding import Held
from packtap.analysis.limits import CellLimits, CellVoltageCheck
from packtap.analysis.link_health import CommLossCheck, NoiseCheck
from packtap.analysis.open_events import OpenEvents
from packtap.analysis.status_flags import StatusFlagCheck
from packtap.model import EventState
from stories import HEALTHY, judge, raised, snapshot


def cells(t: float | None, number: int, millivolts: int) -> Snapshot:
    """Return a healthy pack in which one cell has this voltage."""
    values = list(HEALTHY)
    values[number - 1] = millivolts
    return snapshot(t, cell_voltages_mv=tuple(values))


# How long a condition has held.


def test_one_reading_is_not_enough_however_long_ago() -> None:
    held = Held(2.0)
    assert not held.update(True, 0.0)
    assert not held.update(True, 1.9)
    assert held.update(True, 2.0)


def test_an_interruption_starts_the_time_anew() -> None:
    held = Held(2.0)
    held.update(True, 0.0)
    held.update(False, 1.0)
    assert not held.update(True, 2.5)
    assert held.update(True, 4.5)


def test_a_clock_that_runs_backwards_starts_the_time_anew() -> None:
    held = Held(2.0)
    held.update(True, 100.0)
    assert not held.update(True, 50.0)
    assert held.update(True, 52.0)


def test_without_times_one_reading_decides() -> None:
    assert Held(2.0).update(True, None)


# Limits of a cell.


def test_a_cell_above_its_limit_is_raised_after_two_seconds_and_named() -> None:
    story = [cells(t, 7, 4260) for t in (0.0, 1.0, 1.9)]
    assert judge(CellVoltageCheck().update, story) == []
    events = judge(CellVoltageCheck().update, [*story, cells(2.0, 7, 4262)])
    assert [(e.kind, e.cell, e.t, e.value, e.limit) for e in events] == [
        ("cell_overvoltage", 7, 2.0, 4262, 4250)
    ]
    assert "Cell 7 is at 4262 mV, above 4250 mV" in events[0].text


def test_a_cell_that_flickers_around_its_limit_is_raised_once() -> None:
    story = [cells(float(t), 3, 4260 if t % 2 or t < 4 else 4240) for t in range(60)]
    assert list(raised(judge(CellVoltageCheck().update, story))) == [("cell_overvoltage", 3)]


def test_a_cell_below_its_limit_is_raised_and_cleared_with_hysteresis() -> None:
    story = [cells(float(t), 1, 2790) for t in range(4)]
    story += [cells(float(t), 1, 2900) for t in range(4, 20)]  # above the limit, not yet fine
    story += [cells(float(t), 1, 3100) for t in range(20, 30)]
    events = judge(CellVoltageCheck().update, story)
    assert [(e.kind, e.cell, e.state, e.t) for e in events] == [
        ("cell_undervoltage", 1, EventState.RAISED, 2.0),
        ("cell_undervoltage", 1, EventState.CLEARED, 25.0),
    ]
    assert events[0].id == events[1].id


def test_a_single_damaged_reading_raises_nothing() -> None:
    story = [cells(float(t), 5, 6000 if t == 10 else 3800) for t in range(20)]
    assert judge(CellVoltageCheck().update, story) == []


def test_a_snapshot_that_did_not_read_the_cells_is_no_further_reading() -> None:
    low = cells(0.0, 2, 2700)
    again = Snapshot(
        t=9.0,
        address=BMS,
        values=low.values,
        times=low.times,
        fresh=frozenset(),
        cell_count=None,
        doubts=(),
        temperatures_raw={},
    )
    assert judge(CellVoltageCheck().update, [low, again]) == []


def test_limits_belong_to_the_pack() -> None:
    check = CellVoltageCheck(CellLimits(undervoltage_mv=3000, undervoltage_clear_mv=3100))
    story = [cells(float(t), 4, 2950) for t in range(5)]
    assert list(raised(judge(check.update, story))) == [("cell_undervoltage", 4)]


def test_cells_without_times_are_judged_at_once() -> None:
    events = judge(CellVoltageCheck().update, [cells(None, 10, 2000)])
    assert [(e.kind, e.cell, e.t) for e in events] == [("cell_undervoltage", 10, None)]


# The status word.


@pytest.mark.parametrize("status", [0x0001, 0x0041, 0x00C1, 0x0201, 0x0241, 0x0003, 0x002B])
def test_a_status_that_real_healthy_packs_show_raises_nothing(status: int) -> None:
    story = [snapshot(t * 0.2, status=status) for t in range(20)]
    assert judge(StatusFlagCheck().update, story) == []


@pytest.mark.parametrize("status", [0x0000, 0x0040, 0x0101, 0x0401, 0x2001, 0x4001])
def test_a_fault_bit_in_two_readings_is_raised_and_cleared(status: int) -> None:
    story = [snapshot(0.0, status=1), snapshot(0.2, status=status), snapshot(0.4, status=status)]
    story += [snapshot(0.6 + t, status=1) for t in range(8)]
    events = judge(StatusFlagCheck().update, story)
    assert [(e.kind, e.state, e.t) for e in events] == [
        ("bms_fault_flag", EventState.RAISED, 0.4),
        ("bms_fault_flag", EventState.CLEARED, 5.6),
    ]


def test_a_fault_bit_in_one_reading_is_a_damaged_frame() -> None:
    story = [snapshot(t * 0.2, status=0x4001 if t == 7 else 1) for t in range(40)]
    assert judge(StatusFlagCheck().update, story) == []


# The link.


def request(t: float) -> Seen:
    frame = Frame(Dialect.XIAOMI, None, BMS, 0x01, 0x30, b"\x0c")
    return Seen(t, "esc", frame)


def reply(t: float) -> Reply:
    frame = Frame(Dialect.XIAOMI, BMS, None, 0x01, 0x30, bytes(12))
    return Reply(t, "bms", frame, Block(BMS, 0x30, bytes(12)), None, None)


def link_events(check: CommLossCheck | NoiseCheck, story: list[object]) -> list[tuple[str, str]]:
    open_events = OpenEvents("test")
    return [
        (event.kind, event.state.value)
        for happened in story
        for event in open_events.apply("pack", check.receive(happened))  # type: ignore[arg-type]
    ]


def test_five_seconds_of_requests_without_a_reply_are_a_loss() -> None:
    story: list[object] = [request(t * 0.2) for t in range(25)]
    assert link_events(CommLossCheck(), story) == []
    assert link_events(CommLossCheck(), [*story, request(5.0)]) == [("bms_comm_lost", "raised")]


def test_a_loss_ends_when_replies_have_come_for_two_seconds() -> None:
    story: list[object] = [request(t * 0.2) for t in range(40)]
    for t in range(40, 60):
        story += [request(t * 0.2), reply(t * 0.2 + 0.01)]
    assert link_events(CommLossCheck(), story) == [
        ("bms_comm_lost", "raised"),
        ("bms_comm_lost", "cleared"),
    ]


def test_a_quarter_of_missing_replies_is_normal() -> None:
    story: list[object] = []
    for t in range(500):
        story.append(request(t * 0.2))
        if t % 4:
            story.append(reply(t * 0.2 + 0.01))
    assert link_events(CommLossCheck(), story) == []


def test_a_silent_line_is_a_parked_scooter() -> None:
    assert link_events(CommLossCheck(), [request(0.0), request(3600.0), request(7200.0)]) == []


def test_requests_of_another_node_say_nothing_about_the_bms() -> None:
    frame = Frame(Dialect.XIAOMI, None, 0x20, 0x01, 0xB0, b"\x20")
    story: list[object] = [Seen(t * 0.2, "dash", frame) for t in range(100)]
    assert link_events(CommLossCheck(), story) == []


def damaged(t: float, reason: Reason = Reason.CHECKSUM, size: int = 20) -> Rejected:
    return Rejected(t, "dash", Reject(reason, b"\x55" * size, size))


def test_damaged_frames_above_one_percent_are_noise() -> None:
    story: list[object] = [request(t * 0.2) for t in range(200)]
    story += [damaged(40.0 + t) for t in range(3)]
    assert link_events(NoiseCheck(), story) == [("bus_noise", "raised")]


@pytest.mark.parametrize(("every", "told"), [(40, []), (10, [("bus_noise", "raised")])])
def test_a_phone_on_the_dashboards_wire_meets_some_frames_of_others(
    every: int, told: list[tuple[str, str]]
) -> None:
    question = replace(request(0.0), line="dash")
    story: list[object] = [
        damaged(t * 0.1) if t % every == every - 1 else replace(question, t=t * 0.1)
        for t in range(600)
    ]
    assert link_events(NoiseCheck(), story) == told
    # Once the phone has been gone for a minute, what is usual elsewhere is usual here.
    frame = Frame(Dialect.XIAOMI, None, 0x20, 0x65, 0x00, b"\x20")
    story = [replace(question, t=0.0)]
    story += [Seen(80 + t * 0.1, "dash", frame) for t in range(200)]
    story += [damaged(100.0 + t) for t in range(5)]
    assert link_events(NoiseCheck(), story) == [("bus_noise", "raised")]


def test_noise_is_over_after_a_clean_minute() -> None:
    story: list[object] = [request(t * 0.2) for t in range(200)]
    story += [damaged(40.0 + t) for t in range(3)]
    story += [request(43.0 + t * 0.2) for t in range(400)]
    assert link_events(NoiseCheck(), story) == [("bus_noise", "raised"), ("bus_noise", "cleared")]


def test_the_break_of_a_node_that_powers_up_is_no_noise() -> None:
    story: list[object] = [damaged(t * 0.1, Reason.HEADER, 1) for t in range(50)]
    assert link_events(NoiseCheck(), story) == []


def test_one_damaged_frame_in_a_thousand_is_the_background() -> None:
    story: list[object] = [
        damaged(t * 0.2) if t % 1000 == 999 else request(t * 0.2) for t in range(5000)
    ]
    assert link_events(NoiseCheck(), story) == []


# Identity of events.


def test_an_open_event_is_not_raised_again_after_a_restart() -> None:
    check = CellVoltageCheck()
    before = OpenEvents("store")
    story = [cells(float(t), 7, 4300) for t in range(4)]
    first = [event for each in story for event in before.apply("pack", check.update(each))]
    after = OpenEvents("store", reopened=first, counter=1)
    fresh_check = CellVoltageCheck()
    more = [cells(float(t), 7, 4300) for t in range(10, 14)]
    more += [cells(float(t), 7, 4000) for t in range(14, 24)]
    later = [event for each in more for event in after.apply("pack", fresh_check.update(each))]
    assert [(event.state, event.id) for event in later] == [(EventState.CLEARED, first[0].id)]


def test_two_packs_have_events_of_their_own() -> None:
    open_events = OpenEvents("store")
    check = CellVoltageCheck()
    story = [cells(float(t), 7, 4300) for t in range(4)]
    findings = [list(check.update(each)) for each in story]
    for pack in ("A", "B"):
        assert [e.pack for each in findings for e in open_events.apply(pack, each)] == [pack]
    assert len({event.id for pack in ("A", "B") for event in open_events.of(pack)}) == 2
