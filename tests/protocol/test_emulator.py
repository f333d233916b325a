"""The emulated pack and ESC behave as the real ones on recordings."""

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_wire import Read, of_type, tap
from frame_strategies import frames
from ninebot_bms._encoding import encode
from ninebot_bms.commands import read_request
from ninebot_bms.emulated_esc import APP_READS, PHONE_READS, AppRead, EmulatedEsc
from ninebot_bms.emulator import EmulatedPack, RegisterImage
from ninebot_bms.frames import Dialect, Frame, parse_frame
from ninebot_bms.pairing import BYTE_S
from ninebot_bms.registers import Value, decode_block
from recorded import recording

DIALECTS = list(Dialect)
VALUES: dict[str, Value] = {
    "serial": "3JAGJ17A8D3660",
    "firmware": "1.1.5",
    "design_capacity_mah": 7800,
    "remaining_capacity_mah": 3697,
    "soc_pct": 47,
    "current_a": -0.03,
    "voltage_v": 35.94,
    "temperature_1_c": 23,
    "temperature_2_c": 24,
    "cell_voltages_mv": (3594,) * 10,
}


def pack_of(dialect: Dialect, **behaviour: float | bool | None) -> EmulatedPack:
    return EmulatedPack(dialect, RegisterImage(VALUES), **behaviour)  # type: ignore[arg-type]


def ask(pack: EmulatedPack, request: bytes, now: float = 1.0) -> Frame | None:
    """Hand over a request and wait for the reply long enough."""
    pack.receive_data(request, now)
    reply = pack.next_send(now + 0.05)
    return None if reply is None else parse_frame(reply)


# The image.


def test_an_image_set_by_row_names_reads_back_as_the_same_values() -> None:
    image = RegisterImage()
    image.update(VALUES)
    values = decode_block(0x00, image.read(0x00, 0xA0))
    assert {name: values[name] for name in VALUES} == VALUES
    assert (values["magic"], values["status"]) == (0x5A5A, 0x0001)


def test_a_value_that_does_not_fit_its_row_is_refused_and_changes_nothing() -> None:
    image = RegisterImage(VALUES)
    before = image.read(0, 512)
    with pytest.raises(ValueError, match="soc_pct"):
        image.set("soc_pct", 70000)
    with pytest.raises(KeyError):
        image.set("no_such_row", 1)
    assert image.read(0, 512) == before


def test_raw_words_can_be_set_up_to_the_end_of_the_image() -> None:
    image = RegisterImage()
    image.set_words(0x40, 0x1234, 0xFFFF)
    assert image.read(0x40, 4) == bytes.fromhex("3412ffff")
    image.set_words(0xFF, 1)
    assert image.read(0xFF, 4) == b"\x01\x00"


@pytest.mark.parametrize(
    ("index", "words"), [(0xFF, (1, 2)), (-1, (1,)), (0, (0x10000,)), (0, (-1,))]
)
def test_raw_words_outside_the_image_are_refused(index: int, words: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="words"):
        RegisterImage().set_words(index, *words)


# The pack.


def test_an_m365_pack_answers_a_poll_with_the_bytes_of_the_recording() -> None:
    polled = next(
        data
        for _, line, data in recording("m365_esc_bms")
        if data[5:6] == b"\x30" and line == "bms"
    )
    image = RegisterImage(decode_block(0x30, polled[6:-2]))
    pack = EmulatedPack(Dialect.XIAOMI, image)
    pack.receive_data(bytes.fromhex("55aa032201300c9dff"), 1.0)
    assert pack.next_send(1.01) == polled


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reply_is_a_slice_of_the_image_0_3_ms_after_the_request(dialect: Dialect) -> None:
    pack = pack_of(dialect)
    assert pack.wake_at(1.0) == inf
    pack.receive_data(read_request(dialect, 0x10, 18), 1.0)
    due = pack.wake_at(1.0)
    assert pack.next_send(due - 1e-6) is None
    reply = pack.next_send(due)
    assert reply is not None
    assert due - len(reply) * BYTE_S == pytest.approx(1.0003)
    assert parse_frame(reply).payload == pack.image.read(0x10, 18)
    assert parse_frame(reply).is_read_reply
    assert pack.next_send(due + 1) is None


def test_a_ninebot_reply_goes_to_whoever_asked() -> None:
    reply = ask(pack_of(Dialect.NINEBOT), read_request(Dialect.NINEBOT, 0x30, 12, source=0x3E))
    assert reply is not None
    assert (reply.source, reply.target, reply.command) == (0x22, 0x3E, 0x04)


def test_an_external_pack_can_be_given_its_own_address() -> None:
    pack = EmulatedPack(Dialect.NINEBOT, RegisterImage(), address=0x23)
    assert ask(pack, read_request(Dialect.NINEBOT, 0x30, 12)) is None
    assert ask(pack, read_request(Dialect.NINEBOT, 0x30, 12, target=0x23)) is not None
    with pytest.raises(ValueError, match="0x23"):
        EmulatedPack(Dialect.XIAOMI, RegisterImage(), address=0x23)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("index", "size", "answered"),
    [
        (0x51, 2, True),
        (0x51, 4, False),
        (0x40, 36, True),
        (0x40, 38, False),
        (0xFF, 2, False),
        (0x30, 0, False),
        (0x30, 3, False),
        (0x00, 64, True),
        (0x00, 66, False),
    ],
)
def test_a_read_outside_the_map_or_too_long_gets_no_answer(
    dialect: Dialect, index: int, size: int, answered: bool
) -> None:
    pack = pack_of(dialect, map_end=0x52, max_read=64)
    source = None if dialect is Dialect.XIAOMI else 0x3D
    request = encode(Frame(dialect, source, 0x22, 0x01, index, bytes((size,))))
    assert (ask(pack, request) is not None) is answered
    assert pack.refused == (not answered)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_other_dialect_and_other_nodes_frames_get_no_answer(dialect: Dialect) -> None:
    pack = pack_of(dialect)
    other = next(each for each in Dialect if each is not dialect)
    assert ask(pack, read_request(other, 0x30, 12)) is None
    assert (
        ask(
            pack,
            bytes.fromhex(
                "55aa032001b0202bff" if dialect is Dialect.XIAOMI else "5aa5013d3f011c0164ff"
            ),
        )
        is None
    )
    assert pack.refused == 1


WRITES = [
    (command, index) for command in range(2, 256) for index in (0x10, 0x18, 0x30) if command != 0x5A
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x34\x12", bytes(range(16))], ids=len)
def test_no_write_of_any_kind_changes_a_register_or_gets_an_answer(
    dialect: Dialect, payload: bytes
) -> None:
    pack = pack_of(dialect)
    before = pack.image.read(0, 512)
    source = None if dialect is Dialect.XIAOMI else 0x20
    for command, index in WRITES:
        pack.receive_data(encode(Frame(dialect, source, 0x22, command, index, payload)), 1.0)
    assert pack.refused == len(WRITES)
    assert pack.image.read(0, 512) == before
    assert pack.wake_at(1.0) == inf


@given(st.lists(frames, max_size=20), st.sampled_from(DIALECTS), st.binary(max_size=30))
def test_no_frames_or_garbage_change_the_image(
    sent: list[Frame], dialect: Dialect, garbage: bytes
) -> None:
    pack = pack_of(dialect)
    before = pack.image.read(0, 512)
    for number, frame in enumerate(sent):
        pack.receive_data(garbage + encode(frame), float(number))
        while (reply := pack.next_send(number + 0.9)) is not None:
            assert parse_frame(reply).source == 0x22
    assert pack.image.read(0, 512) == before


def test_only_a_ninebot_pack_answers_the_empty_heartbeat() -> None:
    beat = bytes.fromhex("5aa50020225a0063ff")
    reply = ask(pack_of(Dialect.NINEBOT), beat)
    assert reply is not None
    assert reply.is_heartbeat_reply
    assert decode_block(reply.index, reply.payload)["soc_pct"] == 47
    assert ask(pack_of(Dialect.NINEBOT, answers_heartbeat=False), beat) is None
    assert ask(pack_of(Dialect.XIAOMI), beat) is None


def test_bytes_of_one_read_are_taken_at_their_own_times() -> None:
    pack = pack_of(Dialect.NINEBOT)
    pair = bytes.fromhex("5aa50020225a0063ff") + bytes.fromhex("5aa501202201300c7fff")
    pack.receive_data(pair, 1.0)
    replies = [parse_frame(raw).command for raw in iter(lambda: pack.next_send(1.01), None)]
    assert replies == [0x5A, 0x04]
    assert pack.dropped == 0


def test_a_request_that_comes_while_a_late_reply_waits_is_dropped() -> None:
    pack = pack_of(Dialect.NINEBOT, late=1.0)
    pack.receive_data(bytes.fromhex("5aa50020225a0063ff"), 1.0)
    pack.receive_data(bytes.fromhex("5aa501202201300c7fff"), 1.001)
    replies = [parse_frame(raw).command for raw in iter(lambda: pack.next_send(1.1), None)]
    assert replies == [0x5A]
    assert pack.dropped == 1


def test_late_replies_come_5_to_35_ms_late() -> None:
    pack = pack_of(Dialect.XIAOMI, late=0.5)
    delays = []
    for number in range(200):
        pack.receive_data(read_request(Dialect.XIAOMI, 0x30, 12), float(number))
        due = pack.wake_at(number)
        reply = pack.next_send(due)
        assert reply is not None
        delays.append(due - number - len(reply) * BYTE_S)
    late = [delay for delay in delays if delay > 0.001]
    assert 70 < len(late) < 130
    assert min(late) >= 0.005
    assert max(late) <= 0.035
    assert {round(delay, 6) for delay in delays if delay not in late} == {0.0003}


def test_lost_replies_are_counted_and_a_dead_pack_loses_all() -> None:
    pack = pack_of(Dialect.XIAOMI, loss=0.5)
    request = read_request(Dialect.XIAOMI, 0x30, 12)
    answered = sum(ask(pack, request, float(number)) is not None for number in range(200))
    assert 70 < answered < 130
    assert pack.lost == 200 - answered
    pack.loss = 1.0
    assert not any(ask(pack, request, 300.0 + number) for number in range(50))


def test_the_same_seed_gives_the_same_behaviour() -> None:
    def run(seed: int) -> list[Read]:
        pack = EmulatedPack(Dialect.XIAOMI, RegisterImage(), late=0.3, loss=0.1, seed=seed)
        return tap(EmulatedEsc(Dialect.XIAOMI, app=True, seed=seed), pack, 10.0)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_replies_that_nobody_fetches_do_not_pile_up() -> None:
    pack = pack_of(Dialect.XIAOMI)
    for number in range(1000):
        pack.receive_data(read_request(Dialect.XIAOMI, 0x30, 12), float(number))
    assert len(list(iter(lambda: pack.next_send(2000.0), None))) == 16
    assert pack.dropped == 984


def test_a_partial_request_is_forgotten_after_a_pause() -> None:
    pack = pack_of(Dialect.XIAOMI)
    request = read_request(Dialect.XIAOMI, 0x30, 12)
    pack.receive_data(bytes.fromhex("55aa40"), 1.0)
    assert ask(pack, request, 1.05) is None
    assert ask(pack, request, 2.0) is not None


# Sleep.


def test_a_sleeping_pack_ignores_what_comes_until_it_is_awake() -> None:
    pack = pack_of(Dialect.XIAOMI, asleep=True, wakes_after_s=0.65)
    knock = read_request(Dialect.XIAOMI, 0x10, 16)
    assert pack.is_asleep
    answers = [(now / 1000, ask(pack, knock, now / 1000)) for now in range(0, 1000, 100)]
    assert [at for at, reply in answers if reply is not None] == [0.7, 0.8, 0.9]
    assert not pack.is_asleep


def test_a_pack_that_wakes_in_the_middle_of_a_knock_answers_the_next_one() -> None:
    pack = pack_of(Dialect.XIAOMI, asleep=True, wakes_after_s=0.0)
    knock = read_request(Dialect.XIAOMI, 0x10, 16)
    assert ask(pack, knock, 1.0) is None
    assert not pack.is_asleep
    assert ask(pack, knock, 1.02) is not None


def test_a_pack_falls_asleep_without_traffic_and_can_be_woken_again() -> None:
    pack = pack_of(Dialect.XIAOMI, sleeps_after_s=5.0, wakes_after_s=0.01)
    knock = read_request(Dialect.XIAOMI, 0x10, 16)
    assert ask(pack, knock, 1.0) is not None
    assert ask(pack, knock, 5.9) is not None
    assert ask(pack, knock, 11.0) is None
    assert ask(pack, knock, 11.02) is not None


# The ESC.


def sent(reads: list[Read]) -> list[tuple[float, Frame]]:
    return [(t, parse_frame(data)) for t, line, data in reads if line == "esc" and t is not None]


def test_without_a_pack_an_esc_knocks_every_15_ms_for_ever() -> None:
    esc = EmulatedEsc(Dialect.XIAOMI)
    requests = sent(tap(esc, None, 7.49))
    assert {frame.raw.hex() for _, frame in requests} == {"55aa0322011010b9ff"}
    assert len(requests) == esc.knocks == 500
    assert [t for t, _ in requests] == pytest.approx([0.015 * n for n in range(500)], abs=1e-5)
    assert not esc.is_answered


def test_an_m365_esc_wakes_its_pack_and_polls_as_recorded() -> None:
    pack = pack_of(Dialect.XIAOMI, asleep=True, wakes_after_s=0.592)
    esc = EmulatedEsc(Dialect.XIAOMI)
    requests = sent(tap(esc, pack, 5.0))
    assert esc.is_answered
    assert esc.knocks == 41  # as in the recording, where waking took that long
    polls = [t for t, frame in requests if frame.index == 0x30]
    assert {frame.raw.hex() for _, frame in requests[41:]} == {"55aa032201300c9dff"}
    assert polls[0] == pytest.approx(requests[40][0] + 0.015, abs=1e-5)
    assert polls[1] - polls[0] == pytest.approx(0.105, abs=1e-5)
    gaps = [b - a for a, b in pairwise(polls[1:])]
    assert gaps == pytest.approx([0.2095] * len(gaps), abs=1e-5)
    assert esc.replies == 1 + len(polls)


def test_an_es2_esc_reads_the_identity_once_and_then_asks_in_pairs_every_210_ms() -> None:
    requests = sent(tap(EmulatedEsc(Dialect.NINEBOT), pack_of(Dialect.NINEBOT), 5.0))
    assert requests[0][1].raw.hex() == "5aa501202201101299ff"
    beats, reads = requests[1::2], requests[2::2]
    assert {frame.raw.hex() for _, frame in beats} == {"5aa50020225a0063ff"}
    assert {frame.raw.hex() for _, frame in reads} == {"5aa501202201300c7fff"}
    assert len(beats) == 23
    for (beat_t, _), (read_t, _) in zip(beats, reads, strict=True):
        assert read_t - beat_t == pytest.approx(0.00009 + 10 * BYTE_S, abs=1e-5)
    gaps = [b - a for (a, _), (b, _) in pairwise(beats)]
    assert gaps == pytest.approx([0.21] * len(gaps), abs=1e-5)


def test_a_stock_esc_never_asks_for_cells_and_a_second_master_does() -> None:
    stock = sent(tap(EmulatedEsc(Dialect.XIAOMI), pack_of(Dialect.XIAOMI), 20.0))
    assert {frame.index for _, frame in stock} == {0x10, 0x30}
    shared = sent(tap(EmulatedEsc(Dialect.XIAOMI, app=True), pack_of(Dialect.XIAOMI), 20.0))
    assert sum(frame.index == 0x40 for _, frame in shared) in range(16, 22)
    once = [read for read in APP_READS if read.every_s is None]
    counts = [
        sum((frame.index, frame.requested_size) == (read.index, read.size) for _, frame in shared)
        for read in once
    ]
    assert counts == [1] * len(once)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_app_s_reads_keep_clear_of_the_esc_s_own_and_delay_none(dialect: Dialect) -> None:
    esc = EmulatedEsc(dialect, app=PHONE_READS)
    requests = sent(tap(esc, pack_of(dialect), 20.0))
    own = [t for t, frame in requests if frame.index == 0x30 and frame.source != 0x3E]
    app = [t for t, frame in requests if frame.index in {0x3B, 0x31, 0x20, 0x1B}]
    assert len(app) > 100
    assert min(abs(a - b) for a in app for b in own) > 0.018
    period = 0.2095 if dialect is Dialect.XIAOMI else 0.21
    gaps = [b - a for a, b in pairwise(own[1:])]
    assert gaps == pytest.approx([period] * len(gaps), abs=1e-5)


def test_polling_can_be_slower_and_a_lost_reply_changes_nothing() -> None:
    pack = pack_of(Dialect.XIAOMI)
    esc = EmulatedEsc(Dialect.XIAOMI, app=[AppRead(0x40, 20, 2.0)], poll_s=1.0)
    tap(esc, pack, 1.0)
    pack.loss = 1.0
    answered = esc.replies
    requests = sent(tap_on(esc, pack, 1.0, 10.0))
    assert sum(frame.index == 0x30 for _, frame in requests) in (9, 10)
    assert sum(frame.index == 0x40 for _, frame in requests) in (4, 5, 6)
    assert esc.replies == answered


def tap_on(esc: EmulatedEsc, pack: EmulatedPack, start: float, seconds: float) -> list[Read]:
    """Go on with a scooter that has run until `start`."""
    reads: list[Read] = []
    now = start
    while now < start + seconds:
        if (request := esc.next_send(now)) is not None:
            reads.append((now, "esc", request))
            pack.receive_data(request, now)
        now = max(esc.wake_at(now), now + 1e-6)
    return reads


def test_after_a_long_absence_one_poll_waits_not_a_hundred() -> None:
    esc = EmulatedEsc(Dialect.XIAOMI)
    assert esc.next_send(0.0) is not None
    assert esc.next_send(100.0) is not None
    assert esc.next_send(100.0) is None
    assert esc.wake_at(100.0) == pytest.approx(100.015)


def test_the_second_request_of_a_pair_waits_for_the_first_to_end() -> None:
    esc = EmulatedEsc(Dialect.NINEBOT)
    pack = pack_of(Dialect.NINEBOT)
    tap(esc, pack, 0.2)
    beat_at = esc.wake_at(0.2)
    assert esc.next_send(beat_at) is not None
    assert esc.next_send(beat_at + 0.0005) is None
    assert esc.next_send(esc.wake_at(beat_at)) is not None


def test_an_esc_takes_frames_of_other_nodes_and_garbage_for_no_answer() -> None:
    esc = EmulatedEsc(Dialect.XIAOMI)
    esc.next_send(0.0)
    esc.receive_data(b"\x00" + bytes.fromhex("55aa07206500042627000022ff"), 0.01)
    esc.receive_data(bytes.fromhex("55aa0e2501300100710e2f0003000a0e2b2b7bfe"), 0.01)
    assert (esc.is_answered, esc.replies) == (False, 1)
    assert of_type(bytes, [esc.next_send(0.015)]) == [bytes.fromhex("55aa0322011010b9ff")]
