"""The emulated dashboard bus behaves like the recorded one, byte for byte in time."""

import itertools
from collections import Counter
from statistics import median

import pytest

from ninebot_bms import BMS, Dialect, Frame, Framer, Reject, read_request
from ninebot_bms.emulated_esc import PHONE_READS
from ninebot_bms.emulator import Busy
from ninebot_bms.emulator.dashboard import RIDE_PAGE, DashTiming, EmulatedDashboard
from ninebot_bms.emulator.wire import OneWire, Transmission
from ninebot_bms.frame_times import FrameTimes, Timed
from ninebot_bms.pairing import BYTE_S
from recorded import recording
from shared_wire import pack_of

REGULAR = DashTiming(late_share=0.0, shift_every_s=0.0)


def heard(bus: EmulatedDashboard, seconds: float, step_s: float = 0.0005) -> list[Timed]:
    """Listen for so long."""
    times = FrameTimes()
    found = []
    for number in range(1, int(seconds / step_s)):
        found += times.receive_data(bus.read(number * step_s), number * step_s)
    return found


def recorded() -> list[Timed]:
    """Return what was recorded on a real dashboard's wire."""
    times = FrameTimes()
    found = []
    for t, _, data in recording("m365_dash_app"):
        found += times.receive_data(data, t)
    return found


def dashboard_starts(found: list[Timed]) -> list[float]:
    """Return when frames without an answer of the ESC in the same read began."""
    return [
        each.start for each in found if isinstance(each.item, Frame) and each.item.command == 0x65
    ]


def prompt_s(found: list[Timed]) -> dict[int, float]:
    """Return the shortest time from the phone's question to the end of the reply, by size."""
    shortest: dict[int, float] = {}
    asked: Timed | None = None
    for each in found:
        if not isinstance(each.item, Frame):
            asked = None
        elif each.item.target == BMS:
            asked = each
        elif each.item.is_from_bms and asked is not None:
            size = len(each.item.payload)
            shortest[size] = min(shortest.get(size, 1.0), each.end - asked.end)
            asked = None
    return shortest


def phone_bus(seed: int = 0) -> EmulatedDashboard:
    return EmulatedDashboard(pack_of(Dialect.XIAOMI, phase_s=0.05), app=PHONE_READS, seed=seed)


def test_the_dashboard_keeps_the_recorded_beat() -> None:
    for found in (recorded(), heard(phone_bus(), 20.0, step_s=0.0001)):
        starts = dashboard_starts(found)
        steps = [b - a for a, b in itertools.pairwise(starts) if b - a < 0.03]
        assert len(steps) > 150
        assert median(steps) == pytest.approx(0.01986, abs=0.0001)
        assert min(steps) > 0.015


def test_a_reply_to_the_phone_takes_the_recorded_time_for_every_size() -> None:
    genuine = prompt_s(recorded())
    emulated = prompt_s(heard(phone_bus(), 20.0))
    assert genuine.keys() == emulated.keys() == {2, 4, 6, 10, 18}
    for size, seconds in genuine.items():
        assert emulated[size] == pytest.approx(seconds, abs=0.0006)


def test_as_many_replies_are_late_or_lost_as_recorded() -> None:
    def outcome(found: list[Timed]) -> tuple[float, float]:
        asked: Timed | None = None
        results = Counter[str]()
        for each in found:
            if isinstance(each.item, Reject):
                results["lost"] += asked is not None
                asked = None
            elif each.item.target == BMS:
                asked = each
            elif each.item.is_from_bms and asked is not None:
                size = len(each.item.raw)
                is_late = each.end - asked.end > 0.0025 + 0.000287 * size
                results["late" if is_late else "prompt"] += 1
                asked = None
        total = results.total()
        return results["late"] / total, results["lost"] / total

    late, lost = outcome(recorded())
    assert 0.3 < late < 0.5
    assert 0.03 < lost < 0.1
    late, lost = outcome(heard(phone_bus(), 60.0))
    assert 0.2 < late < 0.5
    assert 0.02 < lost < 0.12


def test_the_esc_answers_a_byte_every_fifth_of_a_millisecond() -> None:
    bus = EmulatedDashboard(pack_of(Dialect.XIAOMI), timing=REGULAR)
    found = heard(bus, 1.0, step_s=0.0001)
    answers = [
        each.end - before.end
        for before, each in itertools.pairwise(found)
        if isinstance(each.item, Frame) and each.item.target == 0x21
    ]
    assert len(answers) >= 9
    for seconds in answers:
        # On the recording: 12 bytes, complete 2.4 ms after the question.
        assert seconds == pytest.approx(0.0024, abs=0.0003)


@pytest.mark.parametrize("dialect", Dialect)
def test_the_ride_page_of_the_phone_is_answered_by_the_esc(dialect: Dialect) -> None:
    bus = EmulatedDashboard(pack_of(dialect), dialect, app=RIDE_PAGE, app_reads_esc=True)
    found = heard(bus, 3.0)
    assert all(isinstance(each.item, Frame) for each in found)
    assert bus.app_answers > 20
    assert bus.clashes == 0


@pytest.mark.parametrize("dialect", Dialect)
def test_a_read_of_packtap_is_relayed_and_counted(dialect: Dialect) -> None:
    bus = EmulatedDashboard(pack_of(dialect, busy=False), dialect, timing=REGULAR)
    start, _ = quiet_after_a_frame(bus, 1.0)
    bus.send(read_request(dialect, 0x40, 20), start)
    framer = Framer()
    found = [
        each
        for each in framer.receive_data(bus.read(start + 0.013))
        if isinstance(each, Frame) and each.is_from_bms
    ]
    assert [len(each.payload) for each in found] == [20]
    assert (bus.relayed, bus.disturbed) == (1, 0)


def test_talking_over_a_frame_disturbs_it_and_it_is_not_answered() -> None:
    bus = EmulatedDashboard(pack_of(Dialect.XIAOMI), timing=REGULAR)
    _, began = quiet_after_a_frame(bus, 1.0)
    at = began + REGULAR.period_s + 0.0004  # into the next frame
    bus.send(read_request(Dialect.XIAOMI, 0x40, 20), at)
    framer = Framer()
    found = framer.receive_data(bus.read(at + 0.015)) + framer.close()
    assert any(isinstance(each, Reject) for each in found)
    assert bus.disturbed == 1
    assert bus.relayed == 0


def test_a_dashboard_that_is_off_says_nothing_and_comes_back() -> None:
    bus = EmulatedDashboard(pack_of(Dialect.XIAOMI))
    bus.read(1.0)
    bus.is_on = False
    bus.read(1.1)
    assert bus.read(2.0) == b""
    bus.is_on = True
    assert bus.read(3.0)


def test_a_pack_that_does_not_answer_is_given_up_by_the_esc() -> None:
    pack = pack_of(Dialect.XIAOMI, busy=False)
    pack.loss = 1.0
    bus = EmulatedDashboard(pack, timing=REGULAR)
    bus.send(read_request(Dialect.XIAOMI, 0x40, 20), quiet_after_a_frame(bus, 1.0)[0])
    bus.read(1.5)
    pack.loss = 0.0
    bus.send(read_request(Dialect.XIAOMI, 0x40, 20), quiet_after_a_frame(bus, 1.5)[0])
    bus.read(2.0)
    assert bus.relayed == 1


def test_noise_damages_frames_now_and_then() -> None:
    bus = EmulatedDashboard(pack_of(Dialect.XIAOMI), noise=0.1, seed=4)
    found = heard(bus, 10.0)
    damaged = sum(isinstance(each.item, Reject) for each in found)
    assert 10 < damaged < 120


def quiet_after_a_frame(bus: EmulatedDashboard, now: float) -> tuple[float, float]:
    """Return a moment behind a frame that nobody answers, and when that frame began."""
    times = FrameTimes()
    bus.read(now)
    while True:
        now += 0.0001
        for each in times.receive_data(bus.read(now), now):
            if isinstance(each.item, Frame) and each.item.command == 0x65:
                return now + 0.0005, each.start


def test_what_one_node_says_alone_is_heard_as_it_was_said() -> None:
    wire = OneWire()
    wire.send(Transmission("a", b"\x55\xaa\x00", 1.0))
    assert wire.take(1.0) == []
    heard_bytes = wire.take(2.0)
    assert bytes(value for _, value in heard_bytes) == b"\x55\xaa\x00"
    assert [end for end, _ in heard_bytes] == pytest.approx(
        [1.0 + number * BYTE_S for number in (1, 2, 3)]
    )


def test_two_nodes_at_once_give_the_and_of_their_bits() -> None:
    wire = OneWire()
    one = Transmission("a", b"\xf0\x55", 1.0)
    other = Transmission("b", b"\x33\x66", 1.0)
    wire.send(one)
    wire.send(other)
    assert [value for _, value in wire.take(2.0)] == [0xF0 & 0x33, 0x55 & 0x66]
    assert one.met == [other]
    assert other.met == [one]


def test_what_ends_before_another_begins_has_not_met_it() -> None:
    wire = OneWire()
    later = Transmission("a", b"\xf0", 1.1)
    wire.send(later)
    earlier = Transmission("b", b"\x33", 1.0)
    wire.send(earlier)
    assert later.met == earlier.met == []
    assert [value for _, value in wire.take(2.0)] == [0x33, 0xF0]


def test_a_byte_that_begins_within_another_is_heard_as_one_damaged_run() -> None:
    wire = OneWire()
    wire.send(Transmission("a", b"\xff", 1.0))
    wire.send(Transmission("b", b"\xff", 1.0 + 3 * BYTE_S / 10))
    assert wire.take(1.0 + BYTE_S) == []  # what overlaps comes out when all of it has ended
    # The second start bit is heard as a zero in the first byte: bit 2.
    assert [value for _, value in wire.take(2.0)] == [0xFB]


def test_a_late_overlap_is_heard_as_a_second_byte_behind_the_first() -> None:
    wire = OneWire()
    wire.send(Transmission("a", b"\xff", 1.0))
    wire.send(Transmission("b", b"\x0f", 1.0 + 9.6 * BYTE_S / 10))
    assert [value for _, value in wire.take(2.0)] == [0xFF, 0x0F]


def test_a_pack_is_busy_twice_a_cycle_and_looks_at_requests_in_between() -> None:
    busy = Busy(longer_share=0.0)
    asked = [number / 1000 for number in range(1000, 1200)]
    waits = [busy.free_at(at) - at for at in asked]
    assert max(waits) == pytest.approx(0.0345, abs=0.001)
    assert 0.30 < sum(wait > 0 for wait in waits) / len(waits) < 0.38
    assert busy.free_at(1.0) == busy.free_at(1.0)
