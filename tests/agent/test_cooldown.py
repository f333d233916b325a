"""An event whose condition comes and goes is told once; its end waits, and nothing is hidden."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rides
from fake_wire import Read
from ninebot_bms import BMS, Dialect, Frame, Reply, read_request
from ninebot_bms._encoding import encode
from ninebot_bms.emulator import RegisterImage
from ninebot_bms.observer import Seen
from ninebot_bms.registers import Block
from packtap import kinds
from packtap.analysis.finding import Finding
from packtap.analysis.open_events import OpenEvents
from packtap.analysis.saved_state import restore, save
from packtap.config import PackConfig
from packtap.model import Event, EventState, Severity, Value
from packtap.tap import Tap, TapSettings
from restarts import Restarted

COOLDOWN_S = PackConfig().cooldown_s
SOUND, FAULT = 0x0001, 0x0000
SERIAL = "3JDEA24M1D0815"


def state(word: int) -> dict[str, Value]:
    return {"status": word, "voltage_v": 36.0, "temperature_1_c": 25, "temperature_2_c": 25}


def registers(t: float, index: int, size: int, **values: Value) -> Reply:
    data = RegisterImage(values).read(index, size)
    return Reply(
        t, "bms", Frame(Dialect.XIAOMI, BMS, None, 1, index, data), Block(BMS, index, data)
    )


def status(t: float, word: int) -> Reply:
    return registers(t, 0x30, 12, **state(word))


def states(start: float, stop: float, word: int) -> list[Reply]:
    """Return the status twice a second."""
    return [status(start + step / 2, word) for step in range(int(2 * (stop - start)))]


def told(events: list[Event]) -> list[tuple[str, EventState, float | None]]:
    return [(event.kind, event.state, event.t) for event in events]


RAISED, CLEARED = EventState.RAISED, EventState.CLEARED


def test_a_fault_that_flaps_for_an_hour_is_raised_once_and_cleared_once() -> None:
    tap = rides.fresh_tap()
    events = []
    for minute in range(60):
        start = 60.0 * minute
        events += tap.digest(states(start, start + 10, FAULT)).events
        events += tap.digest(states(start + 10, start + 60, SOUND)).events
        [standing] = tap.open_events.all()
        assert standing.severity is Severity.CRITICAL  # at no time is it hidden
    events += tap.digest(states(3600.0, 3700.0, SOUND)).events
    # The last fault ended at 3550 s; five seconds without a flag say so.
    assert told(events) == [
        ("bms_fault_flag", RAISED, 0.5),
        ("bms_fault_flag", CLEARED, 3555.0 + COOLDOWN_S),
    ]
    assert events[0].id == events[1].id
    assert events[1].text.startswith("Over for 60 s: ")
    assert tap.open_events.all() == ()


def test_a_fault_that_comes_back_after_the_cooldown_is_another_event() -> None:
    tap = rides.fresh_tap()
    story = [*states(0, 10, FAULT), *states(10, 80, SOUND), *states(80, 90, FAULT)]
    events = tap.digest(story).events
    assert [event.state for event in events] == [RAISED, CLEARED, RAISED]
    assert events[0].id == events[1].id != events[2].id


def test_without_a_cooldown_each_end_is_told_at_once() -> None:
    tap = rides.fresh_tap(TapSettings(pack=PackConfig(cooldown_s=0.0)))
    story = [*states(0, 10, FAULT), *states(10, 30, SOUND), *states(30, 40, FAULT)]
    events = tap.digest(story).events
    assert told(events)[:2] == [("bms_fault_flag", RAISED, 0.5), ("bms_fault_flag", CLEARED, 15.0)]
    assert len(events) == 3
    assert events[1].text.startswith("Over: ")


def test_an_end_that_waits_is_told_when_time_passes_without_data() -> None:
    tap = rides.fresh_tap()
    tap.digest([*states(0, 10, FAULT), *states(10, 20, SOUND)])
    assert tap.idle(15.0 + COOLDOWN_S).events == []
    [ended] = tap.idle(15.0 + COOLDOWN_S + 1.0).events
    assert (ended.state, ended.t) == (CLEARED, 15.0 + COOLDOWN_S)
    assert tap.idle(1000.0).events == []


def test_at_the_end_of_the_data_what_waits_stays_open() -> None:
    tap = rides.fresh_tap()
    tap.digest([*states(0, 10, FAULT), *states(10, 30, SOUND)])
    assert tap.idle(None).events == []
    assert [event.kind for event in tap.open_events.all()] == ["bms_fault_flag"]


def test_an_end_that_waited_when_the_agent_stopped_is_decided_anew() -> None:
    before = Tap(TapSettings(), OpenEvents("store"))
    [raised] = before.digest([*states(0, 10, FAULT), *states(10, 30, SOUND)]).events
    again = Tap(TapSettings(), OpenEvents("store", [raised], counter=1))
    events = again.digest([*states(1000, 1010, FAULT), *states(1010, 1100, SOUND)]).events
    assert told(events) == [("bms_fault_flag", CLEARED, 1015.0 + COOLDOWN_S)]
    assert events[0].id == raised.id


def test_restarts_within_one_boot_change_no_end() -> None:
    story = [*states(0, 10, FAULT), *states(10, 40, SOUND), *states(40, 50, FAULT)]
    story += states(50, 130, SOUND)
    expected = rides.fresh_tap().digest(story).events
    assert told(expected)[1:] == [("bms_fault_flag", CLEARED, 55.0 + COOLDOWN_S)]
    stand_in = Restarted(rides.fresh_tap(), random.Random(5), 0.2)
    assert stand_in.digest(story).events == expected


def test_a_saved_end_does_not_end_the_event_that_came_after_it() -> None:
    before = OpenEvents("store")
    [first] = before.apply("pack", [Finding("bms_fault_flag", True, 0.0)], COOLDOWN_S)
    assert before.apply("pack", [Finding("bms_fault_flag", False, 9.0)], COOLDOWN_S) == []
    later = replace(first, id=f"{first.id}0")
    again = OpenEvents("store", [later], counter=10)
    restore(again, save(before))
    assert again.expire(500.0) == []
    assert again.all() == (later,)
    assert again.apply("pack", [Finding("bms_fault_flag", False, 510.0)], COOLDOWN_S) == []
    [ended] = again.expire(600.0)
    assert (ended.id, ended.t) == (later.id, 510.0 + COOLDOWN_S)


def test_an_end_that_waits_moves_to_the_name_of_the_pack() -> None:
    tap = rides.fresh_tap()
    [raised] = tap.digest([*states(0, 10, FAULT), *states(10, 20, SOUND)]).events
    digest = tap.digest([registers(20.0, 0x10, 16, serial=SERIAL), *states(21, 90, SOUND)])
    assert digest.renamed == [replace(raised, pack=SERIAL)]
    assert told(digest.events) == [("bms_fault_flag", CLEARED, 15.0 + COOLDOWN_S)]
    assert digest.events[0].pack == SERIAL


def test_an_end_that_waits_for_a_pack_that_was_swapped_is_told_under_its_name() -> None:
    tap = rides.fresh_tap()
    [raised] = tap.digest(
        [registers(0.0, 0x10, 16, serial=SERIAL), *states(1, 10, FAULT), *states(10, 20, SOUND)]
    ).events
    other = registers(20.0, 0x10, 16, serial=SERIAL.replace("5", "6"))
    [ended] = tap.digest([other, *states(21, 90, SOUND)]).events
    assert (ended.pack, ended.id, ended.state) == (SERIAL, raised.id, CLEARED)


def test_replies_that_come_back_are_evidence_long_before_the_end_is_told() -> None:
    tap = rides.fresh_tap()
    ask = Frame(Dialect.XIAOMI, None, BMS, 0x01, 0x30, b"\x0c")
    asked = [Seen(step / 2, "bms", ask) for step in range(20)]
    answered = [
        each for step in range(20) for each in (
            Seen(10 + step / 2, "bms", ask), status(10.01 + step / 2, SOUND)
        )
    ]  # fmt: skip
    assert told(tap.digest([*states(-60, 0, SOUND), *asked]).events)[0][0] == "bms_comm_lost"
    assert "came_back" not in tap.evidence.signs
    assert tap.digest(answered).events == []
    assert "came_back" in tap.evidence.signs


def test_a_clock_that_runs_back_makes_the_end_wait_anew_and_not_for_ever() -> None:
    tap = rides.fresh_tap()
    tap.digest([*states(1e6, 1e6 + 10, FAULT), *states(1e6 + 10, 1e6 + 20, SOUND)])
    assert tap.digest(states(0, 50, SOUND)).events == []
    [ended] = tap.digest(states(50, 70, SOUND)).events
    assert (ended.state, ended.t) == (CLEARED, COOLDOWN_S)


def test_without_times_nothing_is_raised_over_and_over() -> None:
    events = OpenEvents("test")
    story = [Finding("bms_fault_flag", present, None) for present in (True, False) * 9]
    assert [event.state for event in events.apply("pack", story, COOLDOWN_S)] == [RAISED]


def test_a_kind_with_a_cooldown_of_its_own_keeps_it() -> None:
    assert {kind.name for kind in kinds.KINDS if kind.cooldown_s is not None} == {
        "timestamp_anomaly"
    }
    events = OpenEvents("test")
    stepped = Finding("timestamp_anomaly", True, 5.0), Finding("timestamp_anomaly", False, 70.0)
    assert [e.t for e in events.apply("pack", stepped, COOLDOWN_S)] == [5.0, 70.0]


# Live and replayed.


def flapping() -> list[Read]:
    """Return frames of a fault flag that comes and goes, silence, and at last nothing more."""
    taken: list[Read] = []
    words = {0: FAULT, 8: SOUND, 30: FAULT, 36: SOUND, 120: FAULT, 126: SOUND}
    word = SOUND
    for second in range(140):
        word = words.get(second, word)
        if 50 <= second < 70:
            continue
        data = RegisterImage(state(word)).read(0x30, 12)
        reply = encode(Frame(Dialect.XIAOMI, BMS, None, 0x01, 0x30, data))
        taken.append((second + 0.0, "esc", read_request(Dialect.XIAOMI, 0x30, 12)))
        taken.append((second + 0.007, "bms", reply))
    return taken


FLAPPING = flapping()


@settings(deadline=None, max_examples=40)
@given(ticks=st.lists(st.floats(0, 260), max_size=200), settling=st.sampled_from([0.0, 5.0, 60.0]))
def test_live_with_ticks_at_any_times_tells_the_ends_that_replay_tells(
    ticks: list[float], settling: float
) -> None:
    def tap() -> Tap:
        return rides.fresh_tap(TapSettings(pack=PackConfig(cooldown_s=settling)))

    last = FLAPPING[-1][0]
    assert last is not None
    live = rides.live(FLAPPING, [tick for tick in ticks if tick <= last], tap())
    replayed = rides.replayed(FLAPPING, tap())
    assert (live.snapshots, live.events) == (replayed.snapshots, replayed.events)
    assert [event.state for event in replayed.events][:2] == [RAISED, CLEARED]
    late = rides.live(FLAPPING, ticks, tap()).events
    assert late[: len(replayed.events)] == replayed.events


@pytest.mark.parametrize("every_s", [0.05, 0.0031])
def test_live_with_a_steady_tick_tells_them_in_the_same_order(every_s: float) -> None:
    ticks = [number * every_s for number in range(int(139 / every_s))]
    live, replayed = rides.live(FLAPPING, ticks), rides.replayed(FLAPPING)
    assert live.events == replayed.events
    times = [event.t or 0.0 for event in live.events]
    assert times == sorted(times)
