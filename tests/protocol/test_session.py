"""The bench: a session asks emulated packs over wires that misbehave."""

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_wire import LISTEN_S, Bench, lossy, of_type
from ninebot_bms._encoding import encode
from ninebot_bms.commands import is_read_request, read_request
from ninebot_bms.emulator import EmulatedPack, RegisterImage
from ninebot_bms.framer import Reject
from ninebot_bms.frames import Dialect, Frame, parse_frame
from ninebot_bms.observer import BusEvent, Rejected, Reply, Seen, Unanswered
from ninebot_bms.registers import decode_block
from ninebot_bms.session import DEFAULT_POLLS, Poll, Session, SessionState

DIALECTS = list(Dialect)
CELLS = (3594, 3595, 3593, 3594, 3596, 3594, 3594, 3595, 3593, 3594)
IDENTITY = Poll(0x10, 18)
STATE = Poll(0x30, 12, 0.5)


def pack_of(dialect: Dialect = Dialect.XIAOMI, **behaviour: float | bool | None) -> EmulatedPack:
    image = RegisterImage({"serial": "3JAGJ17A8D3660", "cell_voltages_mv": CELLS, "soc_pct": 47})
    return EmulatedPack(dialect, image, **behaviour)  # type: ignore[arg-type]


def asked(bench: Bench, index: int) -> list[tuple[float, int]]:
    """When a register was asked for, and how many bytes."""
    frames = [(at, parse_frame(raw)) for at, raw in bench.sent]
    return [(at, frame.payload[0]) for at, frame in frames if frame.index == index]


def values(happened: list[BusEvent]) -> dict[str, object]:
    read: dict[str, object] = {}
    for reply in of_type(Reply, happened):
        read.update(decode_block(reply.block.index, reply.block.data))
    return read


def assert_polite(bench: Bench) -> None:
    """Reads only; one outstanding; the next 20 ms after a reply or 100 ms after the request."""
    replies = [reply.t for reply in of_type(Reply, bench.events) if reply.t is not None]
    assert all(is_read_request(raw) for _, raw in bench.sent)
    for (first, raw), (second, _) in pairwise(bench.sent):
        assert second - first >= 0.0199
        if parse_frame(raw).index != 0x10:
            done = [at for at in replies if first <= at <= second]
            assert second - first >= 0.0999 or (done and second - done[-1] >= 0.0199)


# Connecting.


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_pack_of_either_dialect_is_found_and_read(dialect: Dialect) -> None:
    session = Session()
    bench = Bench(session, pack_of(dialect))
    assert (session.state, session.dialect) == (SessionState.LISTENING, None)
    bench.run(2.0)
    assert (session.state, session.dialect) == (SessionState.CONNECTED, dialect)
    read = values(bench.events)
    assert read["serial"] == "3JAGJ17A8D3660"
    assert read["cell_voltages_mv"] == CELLS
    assert read["soc_pct"] == 47
    assert_polite(bench)


def test_knocks_alternate_between_the_dialects_every_20_ms() -> None:
    bench = Bench(Session(), None)
    bench.run(0.39)
    assert [parse_frame(raw).dialect for _, raw in bench.sent] == DIALECTS * 10
    assert {raw for _, raw in bench.sent} == {read_request(each, 0x10, 16) for each in Dialect}
    gaps = [b - a for (a, _), (b, _) in pairwise(bench.sent)]
    assert gaps == pytest.approx([0.02] * 19)


def test_a_known_dialect_is_the_only_one_tried() -> None:
    bench = Bench(Session(dialect=Dialect.NINEBOT), None)
    bench.run(1.0)
    assert {parse_frame(raw).dialect for _, raw in bench.sent} == {Dialect.NINEBOT}


def test_an_external_pack_is_asked_in_ninebot_framing_only() -> None:
    bench = Bench(Session(address=0x23), pack_of(Dialect.NINEBOT, address=0x23))
    bench.run(1.0)
    assert bench.session.state is SessionState.CONNECTED
    assert {parse_frame(raw).target for _, raw in bench.sent} == {0x23}


@pytest.mark.parametrize(
    ("address", "dialect"), [(0x23, Dialect.XIAOMI), (0x20, None), (0x11, Dialect.NINEBOT)]
)
def test_an_address_that_may_not_be_asked_is_the_caller_s_mistake(
    address: int, dialect: Dialect | None
) -> None:
    with pytest.raises(ValueError, match="no pack"):
        Session(dialect=dialect, address=address)


@pytest.mark.parametrize(
    ("size", "every_s", "shorter"),
    [(3, None, ()), (66, None, ()), (0, None, ()), (32, None, (31,)), (12, 0.0, ()), (12, -1, ())],
)
def test_a_poll_that_cannot_be_asked_is_the_caller_s_mistake(
    size: int, every_s: float | None, shorter: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        Poll(0x40, size, every_s, shorter)


@pytest.mark.parametrize("wakes_after_s", [0.0, 0.6, 3.5])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_sleeping_pack_is_woken_by_knocking(dialect: Dialect, wakes_after_s: float) -> None:
    bench = Bench(Session(), pack_of(dialect, asleep=True, wakes_after_s=wakes_after_s))
    bench.run(wakes_after_s + 0.1)
    assert bench.session.dialect is dialect


def test_nobody_there_is_knocked_at_for_four_seconds_and_then_in_bursts_with_pauses() -> None:
    bench = Bench(Session(), None)
    bench.run(60.0)
    bursts: list[list[float]] = [[]]
    for at, _ in bench.sent:
        if bursts[-1] and at - bursts[-1][-1] > 0.05:
            bursts.append([])
        bursts[-1].append(at)
    assert bursts[0][-1] - bursts[0][0] == pytest.approx(4.0, abs=0.05)
    assert all(b[-1] - b[0] == pytest.approx(2.0, abs=0.05) for b in bursts[1:-1])
    pauses = [b[0] - a[-1] for a, b in pairwise(bursts)]
    assert pauses[:2] == pytest.approx([1.0, 2.0])
    assert pauses[2:] == pytest.approx([4.0] * len(pauses[2:]))
    assert len(pauses) > 5
    assert not of_type(Reply, bench.events)


def test_the_state_tells_a_pause_from_knocking() -> None:
    bench = Bench(Session(), None)
    states = []
    for seconds in (2.0, 2.5, 1.0):
        bench.run(seconds)
        states.append(bench.session.state)
    assert states == [SessionState.KNOCKING, SessionState.ASLEEP, SessionState.KNOCKING]


def test_every_knock_without_an_answer_is_told_and_none_is_excused() -> None:
    bench = Bench(Session(), None)
    bench.run(2.0)
    knocks = [at for at, _ in bench.sent]
    bench.run(0.6)
    unanswered = of_type(Unanswered, bench.events)
    assert [event.t for event in unanswered][: len(knocks)] == knocks
    assert not any(event.excused for event in unanswered)


def test_knocks_in_the_dialect_the_pack_does_not_speak_are_excused() -> None:
    bench = Bench(Session(), pack_of(Dialect.NINEBOT))
    bench.run(3.0)
    unanswered = of_type(Unanswered, bench.events)
    assert [event.request.dialect for event in unanswered] == [Dialect.XIAOMI]
    assert all(event.excused for event in unanswered)


# Asking.


def test_blocks_are_read_at_their_own_pace_and_identity_once() -> None:
    bench = Bench(Session(), pack_of())
    bench.run(10.2)
    for index in (0x30, 0x36, 0x40):
        times = [at for at, _ in asked(bench, index)]
        assert len(times) in (20, 21)
        assert all(b - a == pytest.approx(0.5, abs=0.1) for a, b in pairwise(times))
    for poll in DEFAULT_POLLS:
        if poll.every_s is None and poll.index != 0x10:
            (at, size), *again = asked(bench, poll.index)
            assert (at < 101.0, size, again) == (True, poll.size, [])
    assert [size for _, size in asked(bench, 0x10)] == [16, 18]
    assert not of_type(Unanswered, bench.events)
    assert_polite(bench)


def test_own_requests_and_the_pack_s_replies_are_seen_in_order_on_the_line_bms() -> None:
    bench = Bench(Session([STATE], dialect=Dialect.XIAOMI), pack_of())
    bench.run(1.2)
    seen = of_type(Seen, bench.events)
    assert {event.line for event in bench.events} == {"bms"}
    assert [event.frame.is_read_request for event in seen] == [True, False] * 4
    assert [event.frame.raw for event in seen[::2]] == [raw for _, raw in bench.sent]
    replies = of_type(Reply, bench.events)
    assert [reply.frame for reply in replies] == [event.frame for event in seen[1::2]]
    assert all(reply.delay_s == pytest.approx(0.0003, abs=0.0006) for reply in replies)


def test_without_polls_a_session_only_finds_the_pack() -> None:
    bench = Bench(Session([], dialect=Dialect.XIAOMI), pack_of())
    bench.run(60.0)
    assert len(bench.sent) == 1
    assert bench.session.state is SessionState.CONNECTED
    assert bench.session.wake_at(bench.now) == inf


def test_a_caller_that_sleeps_until_wake_at_is_not_called_in_vain() -> None:
    bench = Bench(Session(), pack_of())
    bench.run(60.0)
    assert bench.calls < 4 * len(bench.sent)


def test_polls_rarer_than_the_silence_do_not_lose_the_pack() -> None:
    bench = Bench(Session([Poll(0x30, 12, 10.0)]), pack_of())
    bench.run(35.0)
    assert len(asked(bench, 0x30)) == 4
    assert len(asked(bench, 0x10)) == 1


def test_a_caller_that_stayed_away_does_not_catch_up_on_missed_polls() -> None:
    session = Session([STATE], dialect=Dialect.XIAOMI)
    bench = Bench(session, pack_of())
    bench.run(1.0)
    bench.now += 60.0
    before = len(bench.sent)
    bench.run(1.2)
    assert len(bench.sent) - before == 3


# Echo, late replies, losses.


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_own_echo_is_taken_out(dialect: Dialect, bytewise: bool) -> None:
    bench = Bench(Session(), pack_of(dialect), echo=True, bytewise=bytewise)
    bench.run(3.0)
    assert bench.session.echoes == len(bench.sent)
    assert bench.session.foreign_requests == 0
    requests = [e for e in of_type(Seen, bench.events) if e.frame.is_read_request]
    assert len(requests) == len(bench.sent)
    assert values(bench.events)["cell_voltages_mv"] == CELLS
    assert_polite(bench)


def test_an_echo_alone_is_no_pack() -> None:
    bench = Bench(Session(), None, echo=True)
    bench.run(10.0)
    assert bench.session.echoes == len(bench.sent)
    assert bench.session.state is not SessionState.CONNECTED
    assert not of_type(Reply, bench.events)


def test_late_replies_lose_nothing() -> None:
    bench = Bench(Session(), pack_of(late=1.0))
    bench.run(10.0)
    assert len(of_type(Reply, bench.events)) > 40
    assert not [e for e in of_type(Unanswered, bench.events) if e.request.dialect is Dialect.XIAOMI]
    delays = [reply.delay_s for reply in of_type(Reply, bench.events)]
    assert all(delay is not None and delay < 0.036 for delay in delays)
    assert_polite(bench)


def test_a_reply_after_the_time_out_counts_for_its_own_register() -> None:
    session = Session([STATE, Poll(0x36, 12, 0.5)], dialect=Dialect.XIAOMI)
    session.idle(-LISTEN_S)
    knock = session.next_send(0.0)
    assert knock == read_request(Dialect.XIAOMI, 0x10, 16)
    session.receive_data(encode(Frame(Dialect.XIAOMI, 0x22, None, 1, 0x10, bytes(16))), 0.01)
    first = session.next_send(0.04)
    assert session.next_send(0.13) is None
    second = session.next_send(0.15)
    assert [first, second] == [
        read_request(Dialect.XIAOMI, 0x30, 12),
        read_request(Dialect.XIAOMI, 0x36, 12),
    ]
    late = session.receive_data(encode(Frame(Dialect.XIAOMI, 0x22, None, 1, 0x30, bytes(12))), 0.16)
    reply = of_type(Reply, late)[0]
    assert reply.request == parse_frame(first or b"")
    assert reply.delay_s == pytest.approx(0.12, abs=0.002)
    # The other request still waits, and nothing is sent meanwhile.
    assert session.next_send(0.2) is None
    session.receive_data(encode(Frame(Dialect.XIAOMI, 0x22, None, 1, 0x36, bytes(12))), 0.21)
    assert not of_type(Unanswered, session.idle(0.9))


def test_a_reply_that_never_comes_is_told_half_a_second_later() -> None:
    bench = Bench(Session([STATE]), pack_of())
    bench.run(1.0)
    assert bench.pack is not None
    bench.pack.loss = 1.0
    bench.run(0.6)
    lost_at = bench.sent[-1][0]
    happened = bench.run(0.6)
    told = [event for event in of_type(Unanswered, happened) if event.t == lost_at]
    assert [event.excused for event in told] == [False]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_lossy_noisy_line_is_read_all_the_same(dialect: Dialect) -> None:
    bench = Bench(
        Session(),
        pack_of(dialect, late=0.3, loss=0.2, seed=7),
        bytewise=True,
        mangle=lossy(0.1, seed=7),
    )
    bench.run(20.0)
    read = values(bench.events)
    assert read["serial"] == "3JAGJ17A8D3660"
    assert read["cell_voltages_mv"] == CELLS
    assert {"manufacture_date", "cycle_count", "health_pct"} <= set(read)
    assert of_type(Rejected, bench.events)
    assert of_type(Unanswered, bench.events)
    assert_polite(bench)


# Reads that a pack refuses.


@pytest.mark.parametrize(
    ("map_end", "size"), [(0x80, 32), (0x50, 32), (0x4F, 30), (0x4A, 20)], ids=hex
)
def test_an_oversize_read_of_cells_is_made_shorter_until_it_is_answered(
    map_end: int, size: int
) -> None:
    bench = Bench(Session(), pack_of(map_end=map_end))
    bench.run(10.0)
    assert values(bench.events)["cell_voltages_mv"] == CELLS
    assert {size for _, size in asked(bench, 0x40)[-5:]} == {size}
    wrong = [each for each in (32, 30) if each > size]
    tried = [each for _, each in asked(bench, 0x40) if each != size]
    assert tried == [each for each in wrong for _ in range(3)]
    assert all(event.excused for event in of_type(Unanswered, bench.events))


def test_a_block_that_the_pack_does_not_have_is_asked_for_rarely() -> None:
    bench = Bench(Session([STATE, Poll(0x60, 8, 0.5)]), pack_of(map_end=0x60))
    bench.run(60.0)
    times = [at for at, _ in asked(bench, 0x60)]
    assert len(times) in range(7, 10)
    assert all(b - a > 9.9 for a, b in pairwise(times[2:]))
    assert len(asked(bench, 0x30)) > 110


def test_identity_that_the_pack_does_not_have_is_given_up() -> None:
    bench = Bench(Session([STATE, Poll(0x60, 8, None, (4,))]), pack_of(map_end=0x60))
    bench.run(60.0)
    sizes = [size for _, size in asked(bench, 0x60)]
    assert sizes.count(4) >= 3
    assert sizes == sorted(sizes, reverse=True)
    assert asked(bench, 0x60)[-1][0] < 110.0
    assert len(asked(bench, 0x30)) > 110


def test_a_block_that_was_answered_before_is_never_made_shorter_for_losses() -> None:
    bench = Bench(Session(), pack_of())
    bench.run(2.0)
    assert bench.pack is not None
    bench.pack.loss = 0.7
    bench.run(20.0)
    assert {size for _, size in asked(bench, 0x40)} == {32}


def test_a_pack_that_falls_silent_at_once_is_not_taken_for_one_that_refuses() -> None:
    bench = Bench(Session(), pack_of())
    bench.run(0.06)
    assert bench.session.state is SessionState.CONNECTED
    assert bench.pack is not None
    bench.pack.loss = 1.0
    bench.run(2.5)
    bench.pack.loss = 0.0
    bench.run(2.0)
    for index in (0x40, 0x36, 0x19, 0x20, 0x50):
        assert len({size for _, size in asked(bench, index)}) == 1


# Losing the pack, and another master.


def test_after_three_seconds_without_a_reply_it_knocks_again_and_reads_everything_afresh() -> None:
    bench = Bench(Session(), pack_of(Dialect.NINEBOT))
    bench.run(5.0)
    pack, bench.pack = bench.pack, None
    bench.run(2.9)
    assert bench.session.state is SessionState.CONNECTED
    bench.run(0.2)
    assert (bench.session.state, bench.session.dialect) == (SessionState.LISTENING, None)
    bench.run(LISTEN_S + 0.2)
    assert (bench.session.state, bench.session.dialect) == (SessionState.KNOCKING, None)
    knocks = [parse_frame(raw) for at, raw in bench.sent if at > bench.now - 0.2]
    assert {(frame.index, frame.requested_size) for frame in knocks} == {(0x10, 16)}
    assert {frame.dialect for frame in knocks} == set(Dialect)
    bench.pack = pack
    happened = bench.run(2.0)
    assert bench.session.state is SessionState.CONNECTED
    assert {"serial", "cycle_count", "manufacture_date"} <= set(values(happened))
    assert_polite(bench)


def test_after_a_silence_the_dialect_known_before_is_tried_first() -> None:
    bench = Bench(Session(), pack_of(Dialect.NINEBOT))
    bench.run(1.0)
    bench.pack = None
    already = len(bench.sent)
    bench.run(3.6 + LISTEN_S)
    first_knock = next(
        frame
        for frame in (parse_frame(raw) for _, raw in bench.sent[already:])
        if (frame.index, frame.requested_size) == (0x10, 16)
    )
    assert first_knock.dialect is Dialect.NINEBOT


def test_a_swapped_pack_of_the_other_dialect_is_found() -> None:
    bench = Bench(Session(), pack_of(Dialect.XIAOMI))
    bench.run(2.0)
    bench.pack = pack_of(Dialect.NINEBOT)
    bench.run(5.0 + LISTEN_S)
    assert bench.session.dialect is Dialect.NINEBOT


def test_another_master_on_the_line_silences_the_session() -> None:
    bench = Bench(Session(), pack_of())
    bench.run(2.0)
    already = len(bench.sent)
    foreign = read_request(Dialect.XIAOMI, 0x31, 10)
    happened = bench.session.receive_data(foreign, bench.now)
    assert [type(event) for event in happened][-1] is Seen
    assert bench.session.foreign_requests == 1
    states = [bench.session.state]
    bench.run(4.9)
    assert len(bench.sent) == already
    bench.run(1.0)
    assert len(bench.sent) > already
    states.append(bench.session.state)
    assert states == [SessionState.ANOTHER_MASTER, SessionState.CONNECTED]


def test_another_master_s_dialogue_is_seen_and_no_pack_is_connected_by_it() -> None:
    session = Session()
    session.idle(-LISTEN_S)
    assert session.next_send(0.0)
    session.receive_data(read_request(Dialect.NINEBOT, 0x30, 12, source=0x3E), 0.001)
    reply = encode(Frame(Dialect.NINEBOT, 0x22, 0x3E, 0x04, 0x30, bytes(12)))
    happened = session.receive_data(reply, 0.002)
    assert [type(event) for event in happened] == [Seen, Reply]
    assert of_type(Reply, happened)[0].request is None
    assert session.state is SessionState.ANOTHER_MASTER
    assert session.dialect is None


def test_a_reply_behind_a_false_header_is_found_when_the_line_is_quiet() -> None:
    session = Session(dialect=Dialect.XIAOMI)
    session.idle(-LISTEN_S)
    assert session.next_send(0.0)
    reply = encode(Frame(Dialect.XIAOMI, 0x22, None, 1, 0x10, bytes(16)))
    assert of_type(Reply, session.receive_data(bytes.fromhex("55aa60") + reply, 0.01)) == []
    happened = session.idle(0.07)
    assert of_type(Rejected, happened) == [
        Rejected(
            0.01, "bms", Reject(of_type(Rejected, happened)[0].reject.reason, b"\x55\xaa\x60", 3)
        )
    ]
    assert len(of_type(Reply, happened)) == 1
    assert session.state is SessionState.CONNECTED


def test_events_that_nobody_fetches_do_not_pile_up() -> None:
    session = Session()
    for tick in range(5000):
        session.next_send(tick / 100)
    assert len(session.idle(50.0)) == 256


_bytes_in = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            read_request(each, index, size)
            for each in Dialect
            for index, size in [(0x10, 16), (0x30, 12)]
        ]
        + [
            encode(Frame(Dialect.XIAOMI, 0x22, None, 1, 0x10, bytes(16))),
            encode(Frame(Dialect.NINEBOT, 0x22, 0x3D, 4, 0x10, bytes(16))),
            encode(Frame(Dialect.XIAOMI, 0x22, None, 1, 0x30, bytes(12))),
            encode(Frame(Dialect.XIAOMI, 0x22, None, 1, 0x40, bytes(6))),
            encode(Frame(Dialect.NINEBOT, 0x22, 0x3D, 0x5A, 0x30, bytes(12))),
            encode(Frame(Dialect.XIAOMI, None, 0x22, 0x03, 0x10, b"\x01\x02")),
        ]
    ),
)


@given(st.lists(st.tuples(st.floats(0, 5), _bytes_in), max_size=40))
def test_whatever_comes_in_nothing_raises_and_only_polite_reads_go_out(
    steps: list[tuple[float, bytes]],
) -> None:
    session = Session()
    now = 0.0
    sent_at = -inf
    for pause, data in steps:
        now += pause
        request = session.next_send(now)
        if request is not None:
            assert is_read_request(request)
            assert now - sent_at >= 0.0199
            sent_at = now
        session.receive_data(data, now)
        assert session.next_send(now) is None or request is None
        assert session.wake_at(now) >= now
        assert session.state in SessionState
