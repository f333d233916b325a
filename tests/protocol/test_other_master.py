"""A bench beside another master: it listens first, finds out on either wire, and sends nothing."""

import pytest

from fake_wire import LISTEN_S, Bench, coalesced, of_type, tap
from ninebot_bms._encoding import encode
from ninebot_bms.commands import read_request
from ninebot_bms.emulated_esc import EmulatedEsc
from ninebot_bms.emulator import EmulatedPack, RegisterImage
from ninebot_bms.frames import BMS, ESC, Dialect, Frame, parse_frame
from ninebot_bms.observer import Reply
from ninebot_bms.other_master import OtherMaster
from ninebot_bms.session import Session, SessionState

DIALECTS = list(Dialect)
SERIAL = "3JAGJ17A8D3660"


def pack_of(dialect: Dialect = Dialect.XIAOMI, **behaviour: float) -> EmulatedPack:
    image = RegisterImage({"serial": SERIAL, "cell_voltages_mv": (3594,) * 10})
    return EmulatedPack(dialect, image, **behaviour)  # type: ignore[arg-type]


def reply(index: int, size: int) -> Frame:
    return Frame(Dialect.XIAOMI, BMS, None, 0x01, index, bytes(size))


def state_of(session: Session) -> SessionState:
    """Ask anew: it changes behind the back of a type checker."""
    return session.state


STATUS = encode(reply(0x30, 12))


def overhear(
    session: Session, reads: list[tuple[float, bytes]], until: float
) -> list[tuple[float, bytes]]:
    """Let a session hear these bytes, and a caller ask it every millisecond; return what it sent.

    Nothing that it sends is answered, since nothing may be sent.
    """
    sent = []
    waiting = list(reads)
    for tick in range(round(until * 1000)):
        now = tick / 1000
        while waiting and waiting[0][0] <= now:
            session.receive_data(waiting.pop(0)[1], now)
        if (request := session.next_send(now)) is not None:
            sent.append((now, request))
    assert not waiting
    return sent


# Listening first.


def test_before_the_first_byte_the_line_is_listened_to_for_more_than_four_polls_of_an_esc() -> None:
    session = Session()
    assert session.wake_at(99.0) == 99.0
    bench = Bench(session, None, listened=False)
    bench.run(0.9)
    assert (state_of(session), bench.sent) == (SessionState.LISTENING, [])
    bench.run(0.2)
    first, _ = bench.sent[0]
    assert first - 100.0 == pytest.approx(LISTEN_S, abs=0.002)
    assert first - 100.0 > 4 * 0.21
    assert state_of(session) is SessionState.KNOCKING


def test_listening_lasts_until_the_line_is_quiet_whatever_the_bytes_are() -> None:
    session = Session()
    noise = [(each / 2, b"\x00") for each in range(10)]
    sent = overhear(session, noise, 6.0)
    assert sent[0][0] == pytest.approx(4.5 + LISTEN_S, abs=0.002)
    assert state_of(session) is SessionState.KNOCKING


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_line_that_was_opened_anew_is_listened_to_again(dialect: Dialect) -> None:
    bench = Bench(Session(), pack_of(dialect))
    bench.run(2.0)
    assert state_of(bench.session) is SessionState.CONNECTED
    bench.session.receive_data(STATUS[:7], bench.now)  # the rest went with the old port
    bench.session.restart(bench.now)
    already = len(bench.sent)
    bench.run(LISTEN_S - 0.01)
    assert state_of(bench.session) is SessionState.LISTENING
    assert len(bench.sent) == already
    happened = bench.run(1.0)
    assert bench.session.dialect is dialect
    assert parse_frame(bench.sent[already][1]).dialect is dialect
    assert of_type(Reply, happened)


# Replies that nobody here asked for: all that the wire of the pack carries.


def test_beside_the_replies_of_a_polled_pack_not_one_byte_is_sent() -> None:
    session = Session()
    polls = [(0.1 + 0.21 * each, STATUS) for each in range(94)]
    assert overhear(session, polls, 20.0) == []
    assert state_of(session) is SessionState.ANOTHER_MASTER
    assert (session.foreign_requests, session.foreign_replies) == (0, len(polls))


@pytest.mark.parametrize("every_s", [None, 0.02], ids=["as read", "coalesced"])
@pytest.mark.parametrize("wires", [("bms",), ("esc",), ("bms", "esc")], ids="+".join)
@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_beside_a_live_esc_nothing_is_sent_whichever_wire_is_heard(
    dialect: Dialect, loss: float, wires: tuple[str, ...], every_s: float | None
) -> None:
    reads = tap(EmulatedEsc(dialect), pack_of(dialect, late=0.3, loss=loss), 20.0)
    if every_s is not None:
        reads = coalesced(reads, every_s)
    heard = [(t, data) for t, line, data in reads if line in wires and t is not None]
    session = Session()
    assert overhear(session, heard, 21.0) == []
    assert state_of(session) is SessionState.ANOTHER_MASTER


def test_the_knocks_of_an_esc_whose_pack_is_dead_are_not_taken_for_own_echoes() -> None:
    knocks = [(t, data) for t, _, data in tap(EmulatedEsc(Dialect.XIAOMI), None, 10.0) if t]
    assert knocks[0][1] == read_request(Dialect.XIAOMI, 0x10, 16)  # just like an own one
    session = Session()
    assert overhear(session, knocks, 10.0) == []
    later = Session()
    sent = overhear(later, [(t + 2.0, data) for t, data in knocks], 12.0)
    assert state_of(later) is SessionState.ANOTHER_MASTER
    assert sent[0][0] == pytest.approx(LISTEN_S, abs=0.002)
    assert sent[-1][0] < 3.0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_esc_that_is_switched_on_beside_a_working_bench_is_found_by_its_replies(
    dialect: Dialect,
) -> None:
    bench = Bench(Session(), pack_of(dialect))
    bench.run(3.0)
    assert state_of(bench.session) is SessionState.CONNECTED
    began = bench.now
    for t, line, data in tap(EmulatedEsc(dialect), pack_of(dialect), 20.0):
        if line == "bms" and t is not None:
            bench.run(max(0.0, began + t - bench.now))
            bench.session.receive_data(data, bench.now)
    assert state_of(bench.session) is SessionState.ANOTHER_MASTER
    assert bench.sent[-1][0] - began < 0.5
    assert bench.session.foreign_requests == 0


def test_replies_like_those_that_were_asked_for_are_found_by_their_number() -> None:
    bench = Bench(Session(), pack_of())
    bench.run(3.0)
    began = bench.now
    for _ in range(40):
        bench.run(0.21)
        bench.session.receive_data(STATUS, bench.now)  # the bench reads 0x30, 12 bytes, too
    assert state_of(bench.session) is SessionState.ANOTHER_MASTER
    assert bench.sent[-1][0] - began < 1.0


def test_a_frame_between_other_nodes_is_another_master_at_once() -> None:
    session = Session()
    dashboard = encode(Frame(Dialect.NINEBOT, 0x21, ESC, 0x65, 0x00, bytes(5)))
    session.receive_data(dashboard, 0.0)
    assert state_of(session) is SessionState.ANOTHER_MASTER


def test_a_single_stray_reply_is_no_master() -> None:
    bench = Bench(Session(), pack_of())
    bench.run(2.0)
    for _ in range(5):
        bench.session.receive_data(encode(reply(0x31, 10)), bench.now)
        assert state_of(bench.session) is SessionState.CONNECTED
        bench.run(2.5)
    assert bench.session.foreign_replies == 5


# A sound bench is not accused.


@pytest.mark.parametrize("echo", [False, True], ids=["two wires", "one wire"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_sound_bench_with_late_and_lost_replies_connects_within_seconds_and_stays(
    dialect: Dialect, echo: bool
) -> None:
    bench = Bench(Session(), pack_of(dialect, late=1.0, loss=0.2), echo=echo, listened=False)
    bench.run(2.0)
    assert bench.session.dialect is dialect
    bench.run(120.0)
    assert state_of(bench.session) is SessionState.CONNECTED
    assert (bench.session.foreign_requests, bench.session.foreign_replies) == (0, 0)
    assert len(of_type(Reply, bench.events)) > 500


def test_replies_that_come_seconds_late_all_at_once_are_still_own() -> None:
    session = Session(dialect=Dialect.XIAOMI)
    session.idle(-LISTEN_S)
    asked = [request for tick in range(3000) if (request := session.next_send(tick / 1000))]
    assert len(asked) > 140
    for _ in asked:
        session.receive_data(encode(reply(0x10, 16)), 3.5)
    assert session.foreign_replies == 0
    assert state_of(session) is not SessionState.ANOTHER_MASTER


def test_a_reply_that_was_asked_for_too_long_ago_is_nobody_s() -> None:
    other = OtherMaster()
    request = parse_frame(read_request(Dialect.XIAOMI, 0x30, 12))
    for at in (0.0, 1.0):
        other.note_sent(request, at)
    assert not other.receive_frame(reply(0x30, 12), 5.5)  # the first is forgotten, not this one
    assert other.replies == 0
    other.receive_frame(reply(0x30, 12), 5.5)
    assert other.replies == 1


def test_every_own_request_has_one_echo_and_soon() -> None:
    other = OtherMaster()
    request = parse_frame(read_request(Dialect.XIAOMI, 0x30, 12))
    other.note_sent(request, 0.0)
    assert other.is_echo(request, 0.5)
    assert not other.is_echo(request, 0.5)
    other.note_sent(request, 1.0)
    assert not other.is_echo(request, 2.5)


# Trying again.


def test_when_the_other_master_is_off_the_pack_is_asked_after_five_quiet_seconds() -> None:
    bench = Bench(Session(), pack_of())
    bench.run(2.0)
    for _ in range(10):
        bench.run(0.21)
        bench.session.receive_data(STATUS, bench.now)
    gone, already = bench.now, len(bench.sent)
    assert state_of(bench.session) is SessionState.ANOTHER_MASTER
    assert bench.session.wake_at(gone) == pytest.approx(gone + 5.0)
    bench.run(6.0)
    assert bench.sent[already][0] - gone == pytest.approx(5.0, abs=0.002)
    assert parse_frame(bench.sent[already][1]).index == 0x10  # it may be another pack
    assert state_of(bench.session) is SessionState.CONNECTED


def test_a_master_that_comes_back_again_and_again_is_given_longer_and_longer_silences() -> None:
    other = OtherMaster()
    foreign = parse_frame(read_request(Dialect.XIAOMI, 0x31, 10))
    now = 0.0
    silences = []
    for _ in range(6):
        assert other.receive_frame(foreign, now)
        silences.append(other.silent_until - now)
        assert other.receive_frame(foreign, now + 1.0)
        assert other.silent_until - now == silences[-1] + 1.0
        now = other.silent_until + 1.0
    assert silences == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    other.receive_frame(foreign, now + 60.0)
    assert other.silent_until - (now + 60.0) == 5.0


def test_while_another_master_asks_not_even_the_reply_to_an_own_request_connects() -> None:
    session = Session()
    session.idle(-LISTEN_S)
    assert session.next_send(0.0) == read_request(Dialect.XIAOMI, 0x10, 16)
    session.receive_data(read_request(Dialect.XIAOMI, 0x31, 10), 0.01)
    happened = session.receive_data(encode(reply(0x10, 16)), 0.02)
    assert of_type(Reply, happened)[0].request is not None
    assert session.dialect is None
    assert session.next_send(4.9) is None
    assert session.next_send(5.1) is not None
