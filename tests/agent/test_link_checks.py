"""Gaps, waking boards, noise, the recorder's clock, and what tells a bench from a scooter."""

import itertools
import random
from collections.abc import Iterable

import pytest

from ninebot_bms import (
    BMS,
    BusEvent,
    Chunk,
    Dialect,
    Frame,
    Observer,
    Reason,
    Reject,
    Rejected,
    Reply,
    Seen,
    read_request,
)
from ninebot_bms.registers import Block
from packtap.analysis.link_health import CommLossCheck, IntermittentCheck, NoiseCheck
from packtap.analysis.occasion import Occasion
from packtap.analysis.open_events import OpenEvents
from packtap.analysis.recorder_clock import RecorderClock
from packtap.replaying import replay
from packtap.tap import Tap, TapSettings
from stories import HEALTHY, snapshot


def request(t: float, index: int = 0x30, source: int | None = None) -> Seen:
    dialect = Dialect.XIAOMI if source is None else Dialect.NINEBOT
    return Seen(t, "bms", Frame(dialect, source, BMS, 0x01, index, b"\x0c"))


def reply(t: float, index: int = 0x30, size: int = 12) -> Reply:
    frame = Frame(Dialect.XIAOMI, BMS, None, 0x01, index, bytes(size))
    return Reply(t, "bms", frame, Block(BMS, index, bytes(size)))


def damaged(t: float) -> Rejected:
    return Rejected(t, "bms", Reject(Reason.CHECKSUM, b"\x55" * 20, 20))


def polls(
    start: float, stop: float, every: float = 0.5, silent: range = range(0)
) -> list[BusEvent]:
    """Return polls that are answered, but for those of the whole seconds in `silent`."""
    story: list[BusEvent] = []
    for step in range(round((stop - start) / every)):
        t = start + step * every
        story.append(request(t))
        if int(t) not in silent:
            story.append(reply(t + 0.01))
    return story


def told(
    check: CommLossCheck | IntermittentCheck | NoiseCheck, story: Iterable[BusEvent]
) -> list[tuple[str, str]]:
    open_events = OpenEvents("test")
    return [
        (event.kind, event.state.value)
        for happened in story
        for event in open_events.apply("pack", check.receive(happened))
    ]


# Gaps.


def gaps(*starts: int, length: int = 2) -> list[BusEvent]:
    story: list[BusEvent] = []
    for t in range(900):
        quiet = range(t, t + 1) if any(s <= t < s + length for s in starts) else range(0)
        story += polls(float(t), t + 1.0, silent=quiet)
    return story


def test_three_gaps_in_ten_minutes_are_intermittent_and_two_are_not() -> None:
    assert told(IntermittentCheck(), gaps(50, 200)) == []
    assert told(IntermittentCheck(), gaps(50, 200, 300))[:1] == [
        ("bms_comm_intermittent", "raised")
    ]


def test_it_is_over_ten_minutes_after_the_last_gap() -> None:
    assert told(IntermittentCheck(), gaps(20, 40, 60)) == [
        ("bms_comm_intermittent", "raised"),
        ("bms_comm_intermittent", "cleared"),
    ]


def test_single_lost_replies_are_no_gap_however_slow_the_polls() -> None:
    story: list[BusEvent] = []
    for t in range(0, 900, 2):
        story += polls(float(t), t + 2.0, every=2.0, silent=range(t, t + (t % 20 == 0)))
    assert told(IntermittentCheck(), story) == []
    assert told(CommLossCheck(), story) == []


def test_a_line_that_loses_many_replies_needs_a_longer_gap() -> None:
    lossy: list[BusEvent] = []
    chance = random.Random(1)
    for step in range(4000):
        lossy.append(request(step * 0.4))
        if chance.random() >= 0.1:
            lossy.append(reply(step * 0.4 + 0.01))
    assert told(IntermittentCheck(), lossy) == []


def test_knocks_that_wake_a_board_again_and_again_are_no_gap() -> None:
    story: list[BusEvent] = []
    for cycle in range(8):
        start = cycle * 60.0
        story += [request(start + knock * 0.015, index=0x10) for knock in range(200)]
        story += polls(start + 3.0, start + 40.0)
    assert told(IntermittentCheck(), story) == []
    assert told(CommLossCheck(), story) == []


def test_knocks_after_a_pause_do_not_count_from_the_last_poll_of_the_ride() -> None:
    story = [*polls(0.0, 10.0), request(10.0), request(10.2)]
    story += [request(20.0 + knock * 0.015, index=0x10) for knock in range(260)]
    assert told(CommLossCheck(), story) == []


def test_knocks_that_nobody_answers_for_five_seconds_are_a_loss_that_was_never_answered() -> None:
    check = CommLossCheck()
    story = [request(knock * 0.015, index=0x10) for knock in range(350)]
    assert told(check, story) == [("bms_comm_lost", "raised")]
    assert check.signs == {"never_answered"}


def test_slow_polls_are_lost_after_more_than_two_of_them() -> None:
    story: list[BusEvent] = [*polls(0.0, 60.0, every=6.0), request(60.0), request(66.0)]
    assert told(CommLossCheck(), story) == []
    story += [request(60.0 + 6.0 * late) for late in range(2, 6)]
    assert told(CommLossCheck(), story) == [("bms_comm_lost", "raised")]


def test_damaged_replies_are_noise_and_no_silence() -> None:
    story: list[BusEvent] = polls(0.0, 10.0)
    for step in range(20):
        story += [request(10.0 + step * 0.5), damaged(10.1 + step * 0.5)]
    assert told(CommLossCheck(), story) == []


def test_much_noise_is_a_sign_of_a_bad_line() -> None:
    check = NoiseCheck()
    story = [event for t in range(200) for event in (request(t * 0.5), damaged(t * 0.5 + 0.1))]
    assert told(check, story) == [("bus_noise", "raised")]
    assert check.signs == {"noise_heavy"}
    assert check.damaged == 200


# The recorder's clock.


def steady(times: Iterable[float]) -> tuple[list[float], list[bool]]:
    clock = RecorderClock()
    results = [clock.steady(t) for t in times]
    return [t for t, _ in results if t is not None], [
        f.present for _, f in results if f is not None
    ]


@pytest.mark.parametrize("step_s", [-5.0, -86400.0, -1.7e9, 1.7e9])
def test_a_clock_that_steps_is_told_and_made_steady(step_s: float) -> None:
    before = [2e9 + t for t in range(100)]
    times, found = steady([*before, *(t + 100 + step_s for t in before)])
    assert found == [True, False]
    assert all(0 < later - earlier <= 1.0 for earlier, later in itertools.pairwise(times))


def test_a_start_at_zero_a_swap_of_two_reads_and_a_parked_month_are_no_step() -> None:
    times, found = steady([0.0, 1.0, 0.95, 2.0, 30 * 86400.0])
    assert found == []
    assert times == [0.0, 1.0, 0.95, 2.0, 30 * 86400.0]


def test_input_without_times_has_no_clock() -> None:
    assert RecorderClock().steady(None) == (None, None)


def test_an_event_after_a_step_has_the_time_of_the_capture() -> None:
    def chunks() -> Iterable[Chunk]:
        for knock in range(800):
            t = 1e9 + knock * 0.02
            yield Chunk(
                t - (1e9 if knock > 100 else 0), "bms", read_request(Dialect.XIAOMI, 0x10, 16)
            )

    tap = Tap(TapSettings(), OpenEvents("test"))
    events = [e for digest in replay(chunks(), tap, Observer()) for e in digest.events]
    assert [event.kind for event in events] == ["timestamp_anomaly", "bms_comm_lost"]
    assert events[0].t == pytest.approx(2.02)
    assert events[1].t == pytest.approx(5.0, abs=0.3)


# Bench or scooter.


def rounds(occasion: Occasion, count: int, *, states: int = 1, maps: bool = True) -> Occasion:
    for step in range(count):
        for part in range(states):
            occasion.receive(reply(step + part * 0.1))
        if maps:
            occasion.receive(reply(step + 0.6, index=0x36))
        occasion.receive(reply(step + 0.7, index=0x40, size=20))
    return occasion


def test_one_round_of_everything_is_a_bench() -> None:
    occasion = rounds(Occasion(), 1)
    assert occasion.is_visit
    assert occasion.rested()


def test_an_esc_that_asks_for_the_state_alone_is_a_scooter() -> None:
    assert not rounds(Occasion(), 20, states=3).is_visit
    assert not rounds(Occasion(), 1, maps=False).is_visit
    assert not Occasion().is_visit


def test_the_address_of_an_esc_is_a_scooter() -> None:
    occasion = rounds(Occasion(), 9)
    occasion.receive(request(9.0, source=0x3D))
    assert occasion.is_visit
    occasion.receive(request(9.5, source=0x20))
    assert not occasion.is_visit


def test_a_charger_ends_the_rest_and_a_load_the_visit() -> None:
    occasion = rounds(Occasion(), 3)
    seen = []
    for t, current_a in enumerate((-0.08, -1.7, -1.7, 0.0, 6.0, 6.0)):
        occasion.update(snapshot(float(t), current_a=current_a, cell_voltages_mv=HEALTHY))
        seen.append((occasion.is_visit, occasion.is_rested))
    assert seen == [(True, True)] * 2 + [(True, False)] * 3 + [(False, False)]


def test_one_damaged_current_does_not_end_the_rest() -> None:
    occasion = rounds(Occasion(), 3)
    for t, current_a in enumerate((0.0, 40.0, 0.0, 0.0)):
        occasion.update(snapshot(float(t), current_a=current_a))
    assert occasion.is_rested


def test_a_known_bench_needs_no_pattern() -> None:
    assert Occasion(bench=True).is_rested
