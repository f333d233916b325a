"""A guest on the dashboard's wire reads cells and disturbs nobody; in doubt it is silent."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ninebot_bms import (
    SHARED_POLLS,
    Dialect,
    Poll,
    Rejected,
    Reply,
    Seen,
    Sharing,
    SharingState,
    is_read_request,
    read_request,
)
from ninebot_bms._encoding import encode
from ninebot_bms.emulated_esc import PHONE_READS
from ninebot_bms.emulator.dashboard import RIDE_PAGE, DashTiming
from ninebot_bms.frames import Frame
from shared_wire import CELLS, SharedWire

#: A minute each behind half a minute of learning. Hours, and any number of scooters by chance:
#: `python tests/bench/bench_sharing.py`.
RIDES: dict[str, dict[str, Any]] = {
    "one frame in a hundred is damaged": {"noise": 0.01},
    "an unsteady dashboard": {"timing": DashTiming(late_share=0.2, shift_every_s=2.0)},
    "in Ninebot framing": {"dialect": Dialect.NINEBOT},
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("ride", RIDES)
def test_cells_come_every_other_second_and_no_foreign_frame_is_disturbed(ride: str) -> None:
    wire = SharedWire(seed=3, **RIDES[ride])
    wire.learn()
    before = wire.replies[0x40]
    wire.run(60.0)
    assert wire.bus.frames > 4_000
    assert wire.bus.disturbed == 0
    assert 0.5 <= (wire.replies[0x40] - before) / 60.0 <= 1.05
    assert len(wire.sent) <= 2 * 90


@pytest.mark.timeout(400)
def test_cells_come_while_the_phone_shows_its_battery_page() -> None:
    wire = SharedWire(seed=2)
    wire.run(90.0)
    assert wire.bus.disturbed == 0
    assert wire.replies[0x40] > 30


@pytest.mark.timeout(400)
@settings(deadline=None, max_examples=3, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    period_s=st.floats(0.0175, 0.045),
    late_share=st.floats(0.0, 0.15),
    lag_s=st.floats(0.0, 0.002),
    drift=st.floats(-0.004, 0.004),
)
def test_whenever_it_starts_and_whatever_the_clocks_no_foreign_frame_is_disturbed(
    seed: int, period_s: float, late_share: float, lag_s: float, drift: float
) -> None:
    timing = DashTiming(period_s=period_s, late_share=late_share)
    wire = SharedWire(seed=seed, timing=timing, lag_s=(0.0, lag_s), drift=drift)
    wire.learn()
    learned = len(wire.sent)
    wire.run(10.0)
    assert wire.bus.disturbed == 0
    assert wire.sharing.collisions == 0
    assert len(wire.sent) > learned > 0


def test_before_anybody_has_asked_the_pack_nothing_is_asked_and_it_says_what_to_do() -> None:
    wire = SharedWire(seed=2, app=())
    wire.run(20.0)
    assert wire.sent == []
    assert wire.sharing.state(wire.now) is SharingState.WAITING
    assert "show the battery page" in (wire.sharing.trouble(wire.now) or "")


def test_a_phone_on_another_page_tells_nothing_of_the_pack() -> None:
    wire = SharedWire(seed=2, app=RIDE_PAGE)
    wire.run(20.0)
    assert wire.sent == []
    assert wire.sharing.state(wire.now) is SharingState.WAITING


def test_when_too_little_is_known_any_more_it_waits_for_the_phone_again() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    # As if it had had to be silent for a quarter of an hour.
    wire.sharing._rhythm._aged_at = wire.now - 1000.0
    wire.run(0.5)
    assert wire.sharing.state(wire.now) is SharingState.WAITING
    asked = len(wire.sent)
    wire.run(5.0)
    assert len(wire.sent) == asked
    wire.bus.app = PHONE_READS
    wire.run(20.0)
    assert len(wire.sent) > asked
    assert wire.bus.disturbed == 0


def test_a_second_master_that_talks_at_any_time_is_counted_and_backed_off_from() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    asked = len(wire.sent)
    rng = random.Random(3)
    question = read_request(Dialect.XIAOMI, 0x30, 12)

    def talk(wire: SharedWire) -> None:
        if rng.random() < 0.02:
            wire.bus.shout(question, wire.now)

    wire.run(120.0, talk)
    assert wire.sharing.collisions + wire.sharing.backoffs > 0
    assert SharingState.BACKING_OFF in wire.states
    assert len(wire.sent) - asked < 120  # half of what is asked otherwise


def test_a_dashboard_that_keeps_to_no_grid_is_never_asked_beside() -> None:
    timing = DashTiming(late_share=0.9, late_s=(0.0, 0.015), shift_every_s=0.0)
    wire = SharedWire(seed=2, timing=timing)
    wire.run(40.0)
    assert wire.bus.disturbed == 0
    assert wire.sent == []


def test_what_is_read_is_what_the_pack_holds_and_identity_once() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    wire.run(30.0)
    blocks = [each.block for each in wire.events if isinstance(each, Reply)]
    words = b"".join(cell.to_bytes(2, "little") for cell in CELLS)
    assert {block.data for block in blocks if block.index == 0x40} == {words}
    for index in (0x10, 0x19, 0x1B, 0x20):
        assert sum(each[5] == index for each in wire.asked) == 1


def test_own_questions_are_told_once_and_are_reads_two_a_second_at_most() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    wire.events.clear()  # the phone's are told too
    before = len(wire.asked)
    wire.run(20.0)
    asked = wire.asked[before:]
    told = [
        each.frame.raw
        for each in wire.events
        if isinstance(each, Seen) and each.frame.is_read_request
    ]
    assert told == asked
    assert len(asked) > 20
    assert all(is_read_request(each) for each in asked)
    assert all(b - a >= 0.49 for a, b in zip(wire.sent, wire.sent[1:], strict=False))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.binary(max_size=60), st.floats(0, 0.1)), max_size=60))
def test_no_bytes_at_any_time_make_it_raise_or_send_before_it_understands(
    reads: list[tuple[bytes, float]],
) -> None:
    sharing = Sharing(seed=1)
    now = 5.0
    for data, wait in reads:
        now += wait
        sharing.receive_data(data, now)
        assert sharing.next_send(now) is None
        assert sharing.wake_at(now) >= now
        assert sharing.state(now) in (SharingState.LISTENING, SharingState.SILENT_BUS)


def test_nothing_is_sent_in_the_first_second() -> None:
    wire = SharedWire(seed=5)
    wire.run(0.9)
    assert wire.sent == []
    assert wire.states == {SharingState.LISTENING}


def test_on_a_silent_wire_nothing_is_sent_and_it_says_so() -> None:
    wire = SharedWire(seed=5)
    wire.bus.is_on = False
    wire.run(30.0)
    assert wire.sent == []
    assert wire.sharing.state(wire.now) is SharingState.SILENT_BUS
    assert wire.sharing.trouble(wire.now) == "no dashboard is heard on this wire: nothing is asked"


def test_when_the_dashboard_is_switched_off_asking_ends_within_a_frame_and_begins_anew() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    wire.bus.is_on = False
    asked = len(wire.sent)
    wire.run(10.0)
    assert len(wire.sent) <= asked + 1
    wire.bus.is_on = True
    wire.run(5.0)
    assert len(wire.sent) <= asked + 1
    assert wire.sharing.state(wire.now) is SharingState.WAITING
    wire.bus.app = PHONE_READS
    wire.run(30.0)
    # Another pack may have been put in.
    assert sum(each[5] == 0x10 for each in wire.asked) == 2


def test_without_an_esc_that_answers_nobody_would_relay_and_nothing_is_sent() -> None:
    sharing = Sharing(seed=1)
    throttle = encode(Frame(Dialect.XIAOMI, None, 0x20, 0x65, 0, b"\x04\x26\x27\x00\x00"))
    for number in range(500):
        now = number * 0.02
        sharing.receive_data(throttle, now)
        assert sharing.next_send(now + 0.003) is None
    assert sharing.state(500 * 0.02) is SharingState.LISTENING


@pytest.mark.parametrize("hostile", ["random bytes", "no pause", "another rate"])
def test_a_hostile_wire_is_never_sent_on(hostile: str) -> None:
    rng = random.Random(7)
    sharing = Sharing(seed=1)
    frame = encode(Frame(Dialect.XIAOMI, None, 0x20, 0x64, 0, bytes(7)))
    now = 0.0
    for _ in range(6000):
        if hostile == "random bytes":
            now += rng.uniform(0.001, 0.03)
            data = rng.randbytes(rng.randrange(1, 20))
        elif hostile == "no pause":
            now += len(frame) * 10 / 115200
            data = frame
        else:
            now += 0.02
            data = bytes(byte & rng.randrange(256) for byte in frame)
        sharing.receive_data(data, now)
        assert sharing.next_send(now + 0.0006) is None


def test_random_bytes_after_it_has_understood_end_the_asking() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    rng = random.Random(1)

    def shout(wire: SharedWire) -> None:
        if rng.random() < 0.5:
            wire.bus.shout(rng.randbytes(8), wire.now)

    wire.run(3.0, shout)
    asked = len(wire.sent)
    wire.run(20.0, shout)
    assert len(wire.sent) <= asked + 3
    assert wire.sharing.state(wire.now) is not SharingState.ASKING


def test_a_forced_collision_is_counted_backed_off_from_and_forgiven() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    asked = len(wire.sent)

    def shout(wire: SharedWire) -> None:
        if len(wire.sent) > asked and wire.sharing.collisions == 0:
            wire.bus.shout(b"\x00\x00", wire.sent[-1] + 0.0002)

    wire.run(2.0, shout)
    assert wire.sharing.collisions == 1
    assert wire.sharing.backoffs == 1
    assert SharingState.BACKING_OFF in wire.states
    assert any(isinstance(each, Rejected) for each in wire.events)
    before = wire.replies[0x40]
    wire.run(60.0)
    assert wire.replies[0x40] > before + 20
    assert wire.sharing.state(wire.now) is SharingState.ASKING


def test_collisions_again_and_again_make_it_ask_less_and_less() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    asked = len(wire.sent)

    def shout(wire: SharedWire) -> None:
        if wire.sent and wire.now - wire.sent[-1] < 0.0003:
            wire.bus.shout(b"\x00\x00", wire.now)

    wire.run(150.0, shout)
    assert wire.sharing.collisions >= 5
    assert len(wire.sent) - asked < 20


def test_a_transmitter_that_is_not_on_the_wire_is_noticed_and_rests() -> None:
    wire = SharedWire(seed=2, echoes=False)
    wire.learn()
    wire.run(20.0)
    assert len(wire.sent) == wire.sharing.collisions == 3
    assert wire.sharing.state(wire.now) is SharingState.RESTING
    assert "nothing that is sent comes back" in (wire.sharing.trouble(wire.now) or "")


def test_a_pack_that_is_late_by_chance_is_never_asked() -> None:
    wire = SharedWire(seed=3, busy=False, late=0.3)
    wire.run(60.0)
    assert wire.sent == []
    assert wire.sharing.state(wire.now) is SharingState.WAITING


def test_a_pack_that_changes_its_ways_is_left_alone_at_once() -> None:
    wire = SharedWire(seed=3)
    wire.learn()
    wire.bus._pack.busy = None
    wire.bus._pack.late = 1.0
    asked = len(wire.sent)
    wire.run(60.0)
    assert len(wire.sent) <= asked + 1
    assert wire.sharing.backoffs == 1
    assert wire.sharing.state(wire.now) is SharingState.WAITING


def test_a_pack_that_does_not_answer_is_asked_five_times() -> None:
    wire = SharedWire(seed=3)
    wire.learn()
    wire.bus._pack.loss = 1.0
    asked = len(wire.sent)
    wire.run(60.0)
    assert len(wire.sent) == asked + 5
    assert "does not relay" in (wire.sharing.trouble(wire.now) or "")


def test_a_program_that_is_too_slow_sends_nothing() -> None:
    wire = SharedWire(seed=3, lag_s=(0.004, 0.02))
    wire.learn()
    assert wire.sent == []
    assert wire.not_sent >= 2
    assert wire.bus.disturbed == 0


def test_an_adapter_that_is_slow_to_send_leaves_more_room() -> None:
    wire = SharedWire(seed=3, busy=False)

    send = wire.bus.send
    wire.bus.send = lambda data, now: send(data, now + 0.001)  # type: ignore[method-assign]
    wire.run(60.0)
    assert wire.bus.disturbed == 0
    assert wire.replies[0x40] > 20


def test_a_read_that_does_not_fit_is_split() -> None:
    wire = SharedWire(seed=3, busy=False)
    wire.sharing = Sharing((Poll(0x40, 60, 1.0),), seed=1)
    wire.run(30.0)
    assert wire.bus.disturbed == 0
    sizes = {
        (each.block.index, len(each.block.data)) for each in wire.events if isinstance(each, Reply)
    }
    covered = {index + word for index, size in sizes for word in range(size // 2)}
    assert set(range(0x40, 0x40 + 30)) <= covered
    assert max(size for _, size in sizes) < 40


def test_a_grid_too_dense_for_any_reply_is_not_asked_in() -> None:
    timing = DashTiming(period_s=0.0085, late_share=0.0, shift_every_s=0.0)
    wire = SharedWire(seed=3, timing=timing, busy=False)
    wire.run(20.0)
    assert wire.sent == []


def test_a_reply_that_is_lost_with_the_frame_behind_it_ends_what_was_believed() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    asked = len(wire.sent)
    shouted: list[float] = []

    def shout(wire: SharedWire) -> None:
        # From the middle of the reply until behind the dashboard's next frame.
        if len(wire.sent) == asked + 1 and not shouted and wire.now > quiet_until():
            shouted.append(wire.now)
            wire.bus.shout(bytes(300), wire.now)

    def quiet_until() -> float:
        return wire.sent[-1] + 0.003

    wire.run(3.0, shout)
    assert wire.sharing.backoffs >= 1
    assert wire.sharing.state(wire.now) in (SharingState.BACKING_OFF, SharingState.WAITING)
    wire.run(20.0)
    assert len(wire.sent) == asked + 1
    assert wire.sharing.state(wire.now) is SharingState.WAITING


def test_on_a_wire_that_damages_too_much_nothing_is_asked_and_it_says_so() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    wire.bus._noise = 0.3
    wire.run(30.0)
    asked = len(wire.sent)
    wire.run(10.0)
    assert len(wire.sent) == asked
    assert "arrives damaged" in (wire.sharing.trouble(wire.now) or "")


def test_answers_that_nobody_asked_for_teach_nothing() -> None:
    sharing = Sharing(seed=1)
    answer = Frame(Dialect.XIAOMI, None, 0x21, 0x64, 0, bytes(4))
    question = Frame(Dialect.XIAOMI, None, 0x22, 0x01, 0x30, b"\x0c")
    other = Frame(Dialect.XIAOMI, 0x22, None, 0x01, 0x40, bytes(20))
    for number, frame in enumerate((answer, answer, question, other) * 50):
        now = number * 0.02
        sharing.receive_data(encode(frame), now)
        assert sharing.next_send(now + 0.003) is None


def test_an_echo_that_comes_behind_a_frame_of_somebody_is_still_an_echo() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    assert wire.sharing.collisions == 0
    assert wire.sharing.asked == len(wire.sent)


def test_another_dialect_is_another_scooter() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    assert wire.sent
    asked = len(wire.sent)
    other = SharedWire(seed=2, dialect=Dialect.NINEBOT)
    other.sharing = wire.sharing
    other.now = wire.now
    other.run(0.5)
    assert other.sent == []
    assert len(wire.sent) == asked
    other.run(60.0)
    assert other.replies[0x40] > 5


def test_a_line_that_is_opened_anew_is_listened_to_first() -> None:
    wire = SharedWire(seed=2)
    wire.learn()
    wire.sharing.restart(wire.now)
    asked = len(wire.sent)
    wire.run(0.9)
    assert len(wire.sent) == asked
    wire.sharing.take_back(wire.now)  # nothing is outstanding: nothing happens


def test_the_phones_question_is_waited_for() -> None:
    wire = SharedWire(seed=2)
    wire.run(30.0)
    asked_at = None
    for each in wire.events:
        if isinstance(each, Seen) and each.frame.is_read_request:
            # Of two questions the first was answered, or given up long ago.
            assert asked_at is None or (each.t or 0) - asked_at > 0.055
            asked_at = each.t
        elif isinstance(each, Reply):
            asked_at = None


def test_the_polls_are_reads_that_any_pack_knows() -> None:
    for poll in SHARED_POLLS:
        assert read_request(Dialect.XIAOMI, poll.index, poll.size)
