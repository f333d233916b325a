"""Listening: real recordings, emulated scooters, and wires that misbehave."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_wire import Read, bytewise, coalesced, listen, of_type, skewed, tap, untimed
from ninebot_bms._encoding import encode
from ninebot_bms.emulated_esc import PHONE_READS, EmulatedEsc
from ninebot_bms.emulator import EmulatedPack, RegisterImage
from ninebot_bms.errors import Reason
from ninebot_bms.frames import Dialect, Frame, parse_frame
from ninebot_bms.observer import BusEvent, LineCounts, Observer, Rejected, Reply, Seen, Unanswered
from recorded import RECORDED_FRAMES, recording

KNOCK = bytes.fromhex("55aa0322011010b9ff")
POLL = bytes.fromhex("55aa032201300c9dff")
POLLED = bytes.fromhex("55aa0e2501300100710e2f0003000a0e2b2b7bfe")
HEALTH_ASKED = bytes.fromhex("55aa0322013b029cff")
HEALTH = bytes.fromhex("55aa0425013b620038ff")
BEAT = bytes.fromhex("5aa50020225a0063ff")
BEAT_REPLY = bytes.fromhex("5aa50c22205a30010019104f0002005e0f2f30e0fd")
ES2_POLL = bytes.fromhex("5aa501202201300c7fff")
ES2_POLLED = bytes.fromhex("5aa50c22200430010019104f0003005e0f2f3035fe")
EMPTY = LineCounts(0, 0, 0, 0, 0, 0, dict.fromkeys(Reason, 0))


def ninebot(source: int, target: int, command: int, index: int, payload: bytes) -> bytes:
    return encode(Frame(Dialect.NINEBOT, source, target, command, index, payload))


def xiaomi_reply(index: int, payload: bytes) -> bytes:
    return encode(Frame(Dialect.XIAOMI, 0x22, None, 0x01, index, payload))


def listen_to_recording(name: str) -> tuple[Observer, list[BusEvent]]:
    observer = Observer()
    return observer, listen(observer, list[Read](recording(name)))


# Genuine recordings.


@pytest.mark.parametrize("name", RECORDED_FRAMES)
def test_every_frame_of_a_recording_is_seen(name: str) -> None:
    observer, happened = listen_to_recording(name)
    assert len(of_type(Seen, happened)) == RECORDED_FRAMES[name]
    assert sum(line.frames for line in observer.counts.values()) == RECORDED_FRAMES[name]


def test_the_m365_knocks_41_times_until_its_pack_answers() -> None:
    _, happened = listen_to_recording("m365_esc_bms")
    unanswered = of_type(Unanswered, happened)
    assert [event.request.raw for event in unanswered] == [KNOCK] * 40
    assert not any(event.excused for event in unanswered)
    first = of_type(Reply, happened)[0]
    assert first.request is not None
    assert first.request.raw == KNOCK
    assert (first.block.address, first.block.index, len(first.block.data)) == (0x22, 0x10, 16)


def test_all_49_replies_of_the_m365_are_matched_with_their_delays() -> None:
    observer, happened = listen_to_recording("m365_esc_bms")
    replies = of_type(Reply, happened)
    assert len(replies) == 49
    assert all(reply.request is not None for reply in replies)
    delays = sorted(reply.delay_s for reply in replies if reply.delay_s is not None)
    assert len(delays) == 49
    assert delays[:34] == pytest.approx([0.0003] * 34, abs=0.0002)
    # 15 late ones, 5..35 ms; the recording's times are those of reads, 0.1 ms apart from the wire.
    assert delays[34] == pytest.approx(0.005, abs=0.0001)
    assert delays[48] == pytest.approx(0.0353, abs=0.0001)
    assert observer.counts["bms"].matched == 49
    assert observer.counts["esc"].requests == 89
    assert observer.counts["esc"].unanswered == 40


def test_an_app_s_reads_of_the_pack_are_matched_on_the_one_wire_of_the_dashboard() -> None:
    observer, happened = listen_to_recording("m365_dash_app")
    replies = of_type(Reply, happened)
    asked = Counter(
        (reply.request.index, reply.request.requested_size)
        for reply in replies
        if reply.request is not None
    )
    assert set(asked) == {(0x3B, 2), (0x31, 10), (0x20, 6), (0x1B, 4), (0x10, 18)}
    assert asked.total() == len(replies) == 28
    assert all(reply.delay_s is not None and reply.delay_s < 0.04 for reply in replies)
    counts = observer.counts["dash"]
    assert (counts.requests, counts.matched, counts.unanswered) == (30, 28, 2)


def test_500_knocks_without_a_pack_are_500_unanswered_requests() -> None:
    observer, happened = listen_to_recording("m365_esc_no_bms")
    unanswered = of_type(Unanswered, happened)
    assert len(unanswered) == 500
    assert [event.t for event in unanswered] == [
        event.t for event in of_type(Seen, happened) if event.line == "esc"
    ]
    assert not of_type(Reply, happened)
    assert observer.counts["esc"].unanswered == 500


def test_replies_whose_requests_are_not_on_the_wire_are_still_replies() -> None:
    _, happened = listen_to_recording("m365_commercial_emulator")
    replies = of_type(Reply, happened)
    assert len(replies) == 7
    assert all(reply.request is None and reply.delay_s is None for reply in replies)


@pytest.mark.parametrize("name", RECORDED_FRAMES)
def test_a_recording_read_byte_by_byte_gives_the_same_events(name: str) -> None:
    def key(event: BusEvent) -> tuple[str, str | None, bytes]:
        if isinstance(event, Rejected):
            return "reject", event.line, event.reject.raw
        if isinstance(event, Unanswered):
            return "unanswered", event.line, event.request.raw
        return type(event).__name__, event.line, event.frame.raw

    whole = listen(Observer(), list[Read](recording(name)))
    single: list[Read] = [
        (t, line, data[at : at + 1]) for t, line, data in recording(name) for at in range(len(data))
    ]
    assert [key(e) for e in listen(Observer(), single)] == [key(e) for e in whole]


# Emulated scooters.


def m365(seconds: float = 30.0, late: float = 0.3) -> list[Read]:
    image = RegisterImage({"serial": "3JAGJ17A8D3660", "cell_voltages_mv": (3650,) * 10})
    esc = EmulatedEsc(Dialect.XIAOMI, app=True, seed=4)
    return tap(esc, EmulatedPack(Dialect.XIAOMI, image, late=late, seed=4), seconds)


def es2(polls: int = 85) -> tuple[EmulatedPack, list[Read]]:
    pack = EmulatedPack(Dialect.NINEBOT, RegisterImage(), late=23 / 85, seed=85)
    return pack, tap(EmulatedEsc(Dialect.NINEBOT), pack, 0.2 + 0.21 * polls)


def arrived_whole(reads: list[Read]) -> list[Read]:
    return reads


READERS: dict[str, Callable[[list[Read]], list[Read]]] = {
    "frame by frame": arrived_whole,
    "byte by byte": bytewise,
    "joined every 20 ms": lambda reads: coalesced(reads, 0.02),
    "requests handed over 60 ms late": lambda reads: skewed(reads, "esc", 0.06),
    "replies handed over 60 ms late": lambda reads: skewed(reads, "bms", 0.06),
    "bytes of requests handed over 40 ms late": lambda reads: skewed(bytewise(reads), "esc", 0.04),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reply_on_two_wires_is_matched_however_they_are_read(reader: str) -> None:
    reads = m365()
    happened = listen(Observer(lines=("esc", "bms")), READERS[reader](reads))
    replies = of_type(Reply, happened)
    assert len(replies) == sum(line == "bms" for _, line, _ in reads)
    for reply in replies:
        assert reply.request is not None
        assert reply.request.index == reply.block.index
        assert reply.request.requested_size == len(reply.block.data)
    answered = len(of_type(Unanswered, happened)) + len(replies)
    assert answered == sum(line == "esc" for _, line, _ in reads)


def test_both_directions_on_one_line_are_matched() -> None:
    reads: list[Read] = [(t, "bms", data) for t, _, data in m365()]
    replies = of_type(Reply, listen(Observer(), reads))
    assert replies
    assert all(reply.request is not None for reply in replies)


def test_requests_and_replies_without_times_are_matched_by_their_order() -> None:
    reads = untimed(m365(late=0.0))
    happened = listen(Observer(), reads)
    replies = of_type(Reply, happened)
    assert all(reply.request is not None and reply.delay_s is None for reply in replies)
    assert all(event.t is None for event in happened)
    assert not of_type(Unanswered, happened)


def test_replies_alone_on_one_line_are_told_at_once() -> None:
    observer = Observer()
    happened = observer.receive_data(POLLED, "bms", 1.0)
    assert happened == [
        Seen(1.0, "bms", parse_frame(POLLED)),
        Reply(1.0, "bms", parse_frame(POLLED), of_type(Reply, happened)[0].block),
    ]


@pytest.mark.parametrize("reader", READERS)
def test_an_es2_answers_every_heartbeat_and_its_missing_read_replies_are_excused(
    reader: str,
) -> None:
    pack, reads = es2()
    observer = Observer(lines=("esc", "bms"))
    happened = listen(observer, READERS[reader](reads))
    matched = Counter(
        reply.request.command for reply in of_type(Reply, happened) if reply.request is not None
    )
    unanswered = of_type(Unanswered, happened)
    assert matched[0x5A] == 85
    assert pack.dropped > 10
    assert len(unanswered) == pack.dropped
    assert matched[0x01] == 85 + 1 - pack.dropped  # one read of 0x10 at power-up
    assert all(event.excused and event.request.command == 0x01 for event in unanswered)
    assert observer.counts["esc"].excused == pack.dropped


def test_a_reply_that_overlaps_the_next_request_on_the_other_wire_is_whole() -> None:
    _, reads = es2(3)
    lines = [line for _, line, _ in bytewise(reads)]
    turns = sum(a != b for a, b in pairwise(lines))
    assert turns > 2 * len(reads)  # the two wires do carry bytes at the same time
    observer = Observer()
    listen(observer, bytewise(reads))
    assert not any(sum(line.rejects.values()) for line in observer.counts.values())


def test_reads_of_a_phone_between_the_esc_s_own_are_matched_with_the_phone_s_replies() -> None:
    esc = EmulatedEsc(Dialect.NINEBOT, app=PHONE_READS)
    reads = tap(esc, EmulatedPack(Dialect.NINEBOT, RegisterImage()), 10.0)
    replies = of_type(Reply, listen(Observer(), reads))
    askers = Counter(reply.request.source for reply in replies if reply.request is not None)
    assert all(r.request is not None and r.frame.target == r.request.source for r in replies)
    assert askers[0x3E] > 80
    assert askers[0x20] > 80


# Pairing, case by case.


def test_a_lost_reply_leaves_its_request_unanswered_after_the_time_out() -> None:
    observer = Observer(reply_timeout_s=0.1)
    observer.receive_data(POLL, "esc", 5.0)
    assert observer.idle(5.09) == []
    assert observer.idle(5.11) == [Unanswered(5.0, "esc", parse_frame(POLL))]
    assert observer.idle(9.0) == []


def test_a_reply_after_the_time_out_answers_nothing() -> None:
    observer = Observer(reply_timeout_s=0.1)
    observer.receive_data(POLL, "bms", 5.0)
    happened = observer.receive_data(POLLED, "bms", 5.2)
    assert [type(event) for event in happened] == [Unanswered, Seen, Reply]
    assert of_type(Reply, happened)[0].request is None


def test_a_repeated_request_is_answered_by_its_newest_and_a_second_reply_by_the_older() -> None:
    observer = Observer()
    observer.receive_data(POLL, "bms", 1.000)
    observer.receive_data(POLL, "bms", 1.015)
    first, second = (
        of_type(Reply, observer.receive_data(POLLED, "bms", t))[0] for t in (1.020, 1.030)
    )
    assert first.delay_s == pytest.approx(0.005 - len(POLLED) * 10 / 115200)
    assert second.delay_s == pytest.approx(0.030 - len(POLLED) * 10 / 115200)
    assert observer.close() == []


def test_of_two_requests_for_one_register_the_one_of_that_size_is_answered() -> None:
    observer = Observer()
    short = encode(Frame(Dialect.XIAOMI, None, 0x22, 0x01, 0x10, b"\x10"))
    long = encode(Frame(Dialect.XIAOMI, None, 0x22, 0x01, 0x10, b"\x12"))
    observer.receive_data(short + long, "bms", 1.0)
    reply = of_type(Reply, observer.receive_data(xiaomi_reply(0x10, bytes(16)), "bms", 1.01))[0]
    assert reply.request == parse_frame(short)


def test_a_reply_shorter_than_asked_still_answers() -> None:
    observer = Observer()
    observer.receive_data(POLL, "bms", 1.0)
    reply = of_type(Reply, observer.receive_data(xiaomi_reply(0x30, bytes(10)), "bms", 1.01))[0]
    assert reply.request == parse_frame(POLL)


def test_request_and_reply_in_one_read_have_no_measurable_delay() -> None:
    reply = of_type(Reply, Observer().receive_data(POLL + POLLED, "bms", 1.0))[0]
    assert reply.request == parse_frame(POLL)
    assert reply.delay_s == 0.0


@pytest.mark.parametrize(
    ("request_t", "delay_known"), [(0.98, True), (1.05, False)], ids=["stamped before", "after"]
)
def test_a_request_read_after_its_reply_is_matched(request_t: float, delay_known: bool) -> None:
    observer = Observer(lines=("esc", "bms"))
    assert of_type(Reply, observer.receive_data(HEALTH, "bms", 1.0)) == []
    happened = observer.receive_data(HEALTH_ASKED, "esc", request_t)
    assert [type(event) for event in happened] == [Seen, Reply]
    reply = of_type(Reply, happened)[0]
    assert reply.t == 1.0
    assert reply.request == parse_frame(HEALTH_ASKED)
    assert (reply.delay_s is not None) is delay_known
    assert observer.close() == []


def test_a_request_stamped_after_its_reply_but_read_before_it_is_matched() -> None:
    observer = Observer()
    observer.receive_data(POLL, "esc", 1.02)
    reply = of_type(Reply, observer.receive_data(POLLED, "bms", 1.0))[0]
    assert reply.request == parse_frame(POLL)
    assert reply.delay_s is None


def test_a_request_stamped_long_after_a_reply_is_not_what_that_reply_answers() -> None:
    observer = Observer()
    observer.receive_data(POLL, "esc", 1.5)
    observer.receive_data(POLLED, "bms", 1.0)
    assert observer.counts["bms"].matched == 0


def test_of_two_held_replies_the_one_of_the_size_asked_for_is_taken() -> None:
    observer = Observer(lines=("esc", "bms"))
    observer.receive_data(xiaomi_reply(0x30, bytes(10)) + POLLED, "bms", 1.0)
    reply = of_type(Reply, observer.receive_data(POLL, "esc", 1.0))[0]
    assert reply.frame.raw == POLLED
    rest = of_type(Reply, observer.idle(1.1))
    assert [len(reply.block.data) for reply in rest] == [10]


def test_a_held_reply_without_a_request_is_told_when_the_skew_has_passed() -> None:
    observer = Observer(skew_s=0.06, lines=("esc", "bms"))
    assert of_type(Reply, observer.receive_data(POLLED, "bms", 1.0)) == []
    assert observer.idle(1.05) == []
    told = observer.idle(1.07)
    assert [(type(event), event.t) for event in told] == [(Reply, 1.0)]
    # Another request does not take it back.
    assert of_type(Reply, observer.receive_data(POLL, "esc", 1.08)) == []


def test_another_register_s_request_does_not_take_a_held_reply() -> None:
    observer = Observer(lines=("esc", "bms"))
    observer.receive_data(HEALTH, "bms", 1.0)
    assert of_type(Reply, observer.receive_data(POLL, "esc", 1.0)) == []
    assert of_type(Reply, observer.receive_data(POLL, "esc", None)) == []


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("5aa5013e220130204dff", ES2_POLLED),  # a phone asks, the ESC is answered
        ("5aa501202301300c7eff", ES2_POLLED),  # the external pack is asked
        (POLL.hex(), ES2_POLLED),
        (ES2_POLL.hex(), POLLED),
        (BEAT.hex(), ES2_POLLED),
        (ES2_POLL.hex(), BEAT_REPLY),
        (HEALTH_ASKED.hex(), POLLED),
    ],
    ids=["asker", "pack", "xiaomi first", "ninebot first", "5A to 04", "01 to 5A", "register"],
)
def test_a_reply_to_something_else_answers_nothing(asked: str, answered: bytes) -> None:
    observer = Observer()
    observer.receive_data(bytes.fromhex(asked), "bms", 1.0)
    observer.receive_data(answered, "bms", 1.01)
    counts = observer.counts["bms"]
    assert (counts.requests, counts.replies, counts.matched) == (1, 1, 0)


def test_the_heartbeat_of_a_z10_is_a_request_and_its_reply_is_matched() -> None:
    asked = bytes.fromhex("5aa501141255300c47ff")
    answered = ninebot(0x12, 0x14, 0x55, 0x30, bytes(12))
    replies = of_type(Reply, listen(Observer(), [(1.0, "bms", asked), (1.01, "bms", answered)]))
    assert [reply.request for reply in replies] == [parse_frame(asked)]
    assert replies[0].block.address == 0x12


@pytest.mark.parametrize(
    "raw",
    [
        "55aa072065000426270000" + "22ff",  # dashboard to ESC
        "5aa5013d3f011c0164ff",  # a read of another node
        "5aa501203d05750027ff",  # an acknowledged write
        "55aa0422022001" + "00b6ff",  # a write to a pack
    ],
)
def test_other_nodes_frames_are_seen_and_ask_no_pack(raw: str) -> None:
    observer = Observer()
    happened = listen(observer, [(1.0, "dash", bytes.fromhex(raw))])
    assert [type(event) for event in happened] == [Seen]
    assert observer.counts["dash"].requests == 0


@pytest.mark.parametrize(
    ("reads", "excused"),
    [
        ([(1.0, BEAT), (1.001, ES2_POLL), (1.02, BEAT_REPLY)], [True]),
        ([(1.0, BEAT), (1.001, ES2_POLL)], [False, False]),
        ([(1.0, BEAT), (1.002, BEAT_REPLY), (1.1, ES2_POLL)], [False]),
        ([(1.0, BEAT), (1.002, BEAT_REPLY), (1.003, ES2_POLL), (1.02, ES2_POLL)], [True, False]),
        ([(1.0, BEAT), (1.002, BEAT_REPLY), (1.003, HEALTH_ASKED)], [False]),
        ([(None, BEAT), (None, ES2_POLL), (None, BEAT_REPLY)], [True]),
    ],
    ids=["late beat", "no beat", "too far apart", "one read a beat", "another asker", "untimed"],
)
def test_only_the_second_request_of_an_answered_pair_is_excused(
    reads: list[tuple[float | None, bytes]], excused: list[bool]
) -> None:
    happened = listen(Observer(), [(t, "bms", data) for t, data in reads])
    assert [event.excused for event in of_type(Unanswered, happened)] == excused


def test_without_times_a_repeated_request_tells_that_the_first_was_given_up() -> None:
    observer = Observer()
    observer.receive_data(POLL + HEALTH_ASKED, "bms", None)
    happened = observer.receive_data(POLL, "bms", None)
    assert of_type(Unanswered, happened) == [Unanswered(None, "bms", parse_frame(POLL))]


# Time and lines.


def test_a_clock_set_back_by_an_hour_does_not_stop_time_outs() -> None:
    observer = Observer()
    observer.receive_data(POLL, "bms", 7200.0)
    assert len(of_type(Unanswered, observer.idle(3600.0))) == 1
    observer.receive_data(POLL, "bms", 3601.0)
    assert len(of_type(Unanswered, observer.idle(3602.0))) == 1


def test_a_frame_behind_a_false_header_is_found_when_its_line_falls_quiet() -> None:
    false_header = bytes.fromhex("55aa40")
    observer = Observer()
    assert of_type(Seen, observer.receive_data(false_header + POLLED, "bms", 1.0)) == []
    observer.receive_data(b"\x00", "esc", 1.04)
    assert observer.idle(1.04) == []
    found = of_type(Seen, observer.idle(1.06))
    assert [(event.t, event.line, event.frame.raw) for event in found] == [(1.0, "bms", POLLED)]


def test_a_pause_before_the_next_bytes_ends_a_false_header_too() -> None:
    observer = Observer()
    observer.receive_data(bytes.fromhex("55aa40") + POLLED, "bms", 1.0)
    happened = observer.receive_data(HEALTH, "bms", 2.0)
    assert [(event.t, event.frame.raw) for event in of_type(Seen, happened)] == [
        (1.0, POLLED),
        (2.0, HEALTH),
    ]


def test_without_times_nothing_is_known_of_quiet_lines() -> None:
    observer = Observer()
    observer.receive_data(bytes.fromhex("55aa40") + POLLED + POLL, "bms", None)
    assert observer.idle(None) == []
    closed = observer.close()
    assert [event.frame.raw for event in of_type(Seen, closed)] == [POLLED, POLL]
    assert [type(event) for event in closed] == [Rejected, Seen, Reply, Seen, Unanswered]


def test_each_line_has_its_own_framer_and_counts() -> None:
    observer = Observer()
    for at in range(len(POLLED)):
        observer.receive_data(POLLED[at : at + 1], "bms", 1.0)
        observer.receive_data(b"\xaa", "esc", 1.0)
    observer.close()
    counts = observer.counts
    assert (counts["bms"].frames, sum(counts["bms"].rejects.values())) == (1, 0)
    assert (counts["esc"].frames, counts["esc"].rejects[Reason.HEADER]) == (0, 1)


def test_an_observer_that_has_heard_nothing_has_nothing_to_tell() -> None:
    observer = Observer()
    assert observer.idle(1.0) == observer.close() == []
    assert observer.counts == {}
    observer.receive_data(b"", None, None)
    assert observer.counts == {None: EMPTY}


def test_a_hundred_line_names_share_sixteen_framers() -> None:
    observer = Observer()
    for number in range(100):
        happened = observer.receive_data(POLL, f"line{number}", 1.0)
        assert [event.line for event in of_type(Seen, happened)] == [f"line{number}"]
    assert len(observer.counts) == 16
    assert sum(line.frames for line in observer.counts.values()) == 100


def test_a_flood_of_requests_is_told_unanswered_instead_of_being_kept() -> None:
    happened = Observer().receive_data(POLL * 1000, "bms", 1.0)
    assert len(of_type(Unanswered, happened)) == 1000 - 64


def test_a_flood_of_replies_without_requests_is_told_instead_of_being_kept() -> None:
    observer = Observer(lines=("esc", "bms"))
    assert len(of_type(Reply, observer.receive_data(POLLED * 1000, "bms", 1.0))) == 1000 - 64
    assert len(of_type(Reply, observer.close())) == 64


_pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([KNOCK, POLL, POLLED, HEALTH, BEAT, BEAT_REPLY, ES2_POLL, ES2_POLLED]),
)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-10, 10), st.sampled_from([0.0, 0.01, 0.02, 1e9])),
            st.sampled_from(["esc", "bms", None]),
            _pieces,
        ),
        max_size=40,
    )
)
def test_any_bytes_at_any_times_never_raise_and_every_request_has_one_fate(
    reads: list[Read],
) -> None:
    observer = Observer()
    happened: list[BusEvent] = []
    for t, line, data in reads:
        happened += observer.receive_data(data, line, t)
        happened += observer.idle(t)
    happened += observer.close()
    requests = sum(line.requests for line in observer.counts.values())
    matched = [reply for reply in of_type(Reply, happened) if reply.request is not None]
    assert requests == len(matched) + len(of_type(Unanswered, happened))
    assert len(of_type(Reply, happened)) == sum(c.replies for c in observer.counts.values())
    assert all(reply.delay_s is None or reply.delay_s >= 0 for reply in matched)
