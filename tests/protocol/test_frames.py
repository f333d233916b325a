"""One whole frame: the schema, its codecs, and what a frame says about itself."""

from typing import Any

import pytest
from construct import ConstructError, GreedyBytes
from hypothesis import given
from hypothesis import strategies as st

from frame_strategies import byte, frames
from ninebot_bms import frames as frames_module
from ninebot_bms._encoding import encode
from ninebot_bms.errors import FrameError, Reason
from ninebot_bms.frames import (
    BMS,
    BMS2,
    DASHBOARD,
    ESC,
    HEADERS,
    LAYOUTS,
    Dialect,
    Frame,
    checksum,
    parse_frame,
)
from recorded import Vector, frame_vectors

VECTORS = frame_vectors()
GOOD = [vector for vector in VECTORS if vector.checksum_ok]
XIAOMI, NINEBOT = Dialect.XIAOMI, Dialect.NINEBOT
POLL = bytes.fromhex("55aa032201300c9dff")  # ESC to BMS, M365
HEARTBEAT = bytes.fromhex("5aa50020225a0063ff")  # ESC to BMS, ES2


def by_construct(raw: bytes) -> Frame:
    """Parse with construct itself: the oracle of the derived codecs."""
    dialect = XIAOMI if raw[:2] == HEADERS[XIAOMI] else NINEBOT
    body: Any = frames_module._SCHEMAS[dialect].parse(raw).body.value
    if dialect is NINEBOT:
        source, target = body.source, body.target
    else:
        source = {0x23: ESC, 0x24: DASHBOARD, 0x25: BMS}.get(body.address)
        target = None if body.address in (0x23, 0x24, 0x25) else body.address
    return Frame(dialect, source, target, body.command, body.index, body.payload)


def built_by_construct(frame: Frame) -> bytes:
    fields: dict[str, Any] = {
        "command": frame.command,
        "index": frame.index,
        "payload": frame.payload,
        "source": frame.source,
        "target": frame.target,
        "address": frame.target if frame.source is None else frame.source + 3,
    }
    built = frames_module._SCHEMAS[frame.dialect].build({"body": {"value": fields}})
    assert isinstance(built, bytes)
    return built


def test_the_vectors_are_all_there() -> None:
    assert len(VECTORS) == 145
    assert len(GOOD) == 142


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector.raw.hex())
def test_a_genuine_frame_has_the_derived_address_command_and_index(vector: Vector) -> None:
    frame = parse_frame(vector.raw)

    assert frame.dialect == vector.dialect
    assert frame.command == vector.number("cmd")
    assert frame.index == vector.number("arg")
    if frame.dialect is NINEBOT:
        assert (frame.source, frame.target) == (vector.number("src"), vector.number("dst"))
    elif "from" in vector.derived:
        sender = {"ESC": ESC, "BMS": BMS}[vector.derived["from"]]
        assert (frame.source, frame.target) == (sender, None)
        assert sender + 3 == vector.number("addr")
    else:
        assert (frame.source, frame.target) == (None, vector.number("addr"))
    assert frame.raw == vector.raw


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector.raw.hex())
def test_a_genuine_frame_knows_what_it_is(vector: Vector) -> None:
    frame = parse_frame(vector.raw)
    kind = vector.derived["kind"]

    assert frame.is_read_request == (kind == "read_request")
    assert frame.is_read_reply == (kind in ("read_reply", "read_reply_nonstandard_cmd01"))
    assert frame.is_heartbeat_request == (kind == "heartbeat_request")
    assert frame.is_heartbeat_reply == (kind == "heartbeat_reply")
    assert frame.requested_size == vector.derived.get("read_bytes")


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector.raw.hex())
def test_a_genuine_frame_is_built_again_byte_for_byte(vector: Vector) -> None:
    frame = parse_frame(vector.raw)

    assert encode(frame) == vector.raw
    assert built_by_construct(frame) == vector.raw


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if not v.checksum_ok], ids=lambda vector: vector.raw.hex()
)
def test_genuine_garbage_is_refused(vector: Vector) -> None:
    with pytest.raises(FrameError):
        parse_frame(vector.raw)
    with pytest.raises(ConstructError):
        by_construct(vector.raw)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"", Reason.HEADER, id="nothing"),
        pytest.param(b"\x55", Reason.HEADER, id="half a header"),
        pytest.param(b"\xaa\x55" + POLL[2:], Reason.HEADER, id="swapped header"),
        pytest.param(POLL[:1] + HEARTBEAT[1:], Reason.HEADER, id="header of both dialects"),
        pytest.param(b"\0" + POLL, Reason.HEADER, id="stray zero before"),
        pytest.param(POLL[:2], Reason.LENGTH, id="header alone"),
        pytest.param(POLL[:3], Reason.LENGTH, id="length alone"),
        pytest.param(POLL[:-1], Reason.LENGTH, id="last byte missing"),
        pytest.param(POLL + b"\0", Reason.LENGTH, id="a byte too many"),
        pytest.param(b"\x55\xaa\x01\x22\x01\xdb\xff", Reason.LENGTH, id="Xiaomi length below 2"),
        pytest.param(b"\x55\xaa\x83" + bytes(134), Reason.LENGTH, id="Xiaomi length above 130"),
        pytest.param(b"\x5a\xa5\x81" + bytes(135), Reason.LENGTH, id="Ninebot length above 128"),
        pytest.param(POLL[:-1] + b"\xfe", Reason.CHECKSUM, id="high byte of the sum"),
        pytest.param(POLL[:-2] + b"\x9e\xff", Reason.CHECKSUM, id="low byte of the sum"),
        pytest.param(POLL[:3] + b"\x20" + POLL[4:], Reason.CHECKSUM, id="wrong address"),
        pytest.param(HEARTBEAT[:-2] + b"\x65\xff", Reason.CHECKSUM, id="sum of another frame"),
    ],
)
def test_bad_bytes_are_refused_with_their_reason(raw: bytes, reason: Reason) -> None:
    with pytest.raises(FrameError) as caught:
        parse_frame(raw)

    assert caught.value.reason is reason
    assert caught.value.raw == raw


def test_a_wrong_sum_is_told_with_both_values() -> None:
    with pytest.raises(FrameError, match="checksum: expected 9d ff, got 9d fe in 55 aa") as caught:
        parse_frame(POLL[:-1] + b"\xfe")

    assert caught.value.expected == b"\x9d\xff"
    assert caught.value.actual == b"\x9d\xfe"


def test_the_length_byte_is_part_of_the_ninebot_sum() -> None:
    assert checksum(HEARTBEAT[2:-2]) == 0xFF63
    assert checksum(HEARTBEAT[3:-2] + b"\x01") == 0xFF62


@pytest.mark.parametrize(
    ("dialect", "overhead", "shortest", "longest"), [(XIAOMI, 6, 2, 130), (NINEBOT, 9, 0, 128)]
)
def test_the_layout_derived_from_the_schema_is_the_documented_one(
    dialect: Dialect, overhead: int, shortest: int, longest: int
) -> None:
    layout = LAYOUTS[dialect]

    assert (layout.overhead, layout.min_length, layout.max_length) == (overhead, shortest, longest)
    assert layout.header == HEADERS[dialect]


def test_a_schema_with_an_unknown_part_has_no_codec() -> None:
    with pytest.raises(TypeError, match="no struct code"):
        list(frames_module._leaves(GreedyBytes))


@given(frames)
def test_what_is_encoded_is_decoded_to_the_same_frame(frame: Frame) -> None:
    raw = encode(frame)

    assert parse_frame(raw) == frame
    assert parse_frame(raw).raw == raw


@given(frames)
def test_the_derived_codecs_agree_with_construct_on_frames(frame: Frame) -> None:
    raw = encode(frame)

    assert built_by_construct(frame) == raw
    assert by_construct(raw) == frame


@given(frames, st.lists(st.tuples(st.integers(2, 200), byte), max_size=2), st.integers(-2, 2))
def test_the_derived_codecs_agree_with_construct_on_damaged_frames(
    frame: Frame, damage: list[tuple[int, int]], stretch: int
) -> None:
    damaged = bytearray(encode(frame))
    for position, value in damage:
        damaged[min(position, len(damaged) - 1)] = value
    raw = bytes(damaged[:stretch] if stretch < 0 else damaged + bytes(stretch))

    try:
        expected: Frame | None = by_construct(raw)
    except ConstructError:
        expected = None
    try:
        actual: Frame | None = parse_frame(raw)
    except FrameError:
        actual = None

    assert actual == expected


@given(st.sampled_from(Dialect), st.integers(0, 255))
def test_the_derived_codecs_agree_with_construct_on_every_length(
    dialect: Dialect, length: int
) -> None:
    layout = LAYOUTS[dialect]
    body = bytes((length,)) + bytes(max(0, length + layout.overhead - 5))
    raw = layout.header + body + layout.tail.pack(checksum(body))
    is_legal = layout.min_length <= length <= layout.max_length

    if is_legal:
        assert parse_frame(raw) == by_construct(raw)
    else:
        with pytest.raises(FrameError):
            parse_frame(raw)
        with pytest.raises(ConstructError):
            by_construct(raw)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(Frame(XIAOMI, None, None, 1, 0, b""), id="Xiaomi without an address"),
        pytest.param(Frame(XIAOMI, ESC, BMS, 1, 0, b""), id="Xiaomi with two addresses"),
        pytest.param(Frame(XIAOMI, None, 0x25, 1, 0, b""), id="Xiaomi request to a reply address"),
        pytest.param(Frame(XIAOMI, 0x3D, None, 1, 0, b""), id="Xiaomi reply from an application"),
        pytest.param(Frame(XIAOMI, None, 256, 1, 0, b""), id="Xiaomi address above a byte"),
        pytest.param(Frame(NINEBOT, None, BMS, 1, 0, b""), id="Ninebot without a source"),
        pytest.param(Frame(NINEBOT, ESC, None, 1, 0, b""), id="Ninebot without a target"),
        pytest.param(Frame(NINEBOT, ESC, BMS, -1, 0, b""), id="negative command"),
        pytest.param(Frame(NINEBOT, ESC, BMS, 1, 256, b""), id="index above a byte"),
        pytest.param(Frame(NINEBOT, ESC, BMS, 1, 0, bytes(129)), id="payload of 129 bytes"),
    ],
)
def test_a_frame_that_the_wire_cannot_carry_is_not_encoded(frame: Frame) -> None:
    with pytest.raises(ValueError):
        encode(frame)


def test_an_address_of_0x23_is_an_esc_reply_in_xiaomi_and_a_pack_in_ninebot() -> None:
    xiaomi = parse_frame(bytes.fromhex("55aa0423010102 00 d4ff"))
    ninebot = parse_frame(encode(Frame(NINEBOT, 0x3E, BMS2, 1, 0x30, b"\x0c")))

    assert (xiaomi.source, xiaomi.target, xiaomi.is_from_bms) == (ESC, None, False)
    assert (ninebot.source, ninebot.target) == (0x3E, BMS2)


@pytest.mark.parametrize(
    ("frame", "is_request", "is_reply"),
    [
        (Frame(XIAOMI, None, BMS, 1, 0x30, b"\x0c"), True, False),
        (Frame(XIAOMI, None, BMS, 1, 0x30, b"\x0c\x00"), False, False),
        (Frame(XIAOMI, None, BMS, 3, 0x30, b"\x0c"), False, False),
        (Frame(XIAOMI, BMS, None, 1, 0x30, b"\x01\x00"), False, True),
        (Frame(XIAOMI, BMS, None, 1, 0x30, b"\x01"), False, False),
        (Frame(XIAOMI, BMS, None, 1, 0x30, b""), False, False),
        (Frame(XIAOMI, BMS, None, 4, 0x30, b"\x01\x00"), False, False),
        (Frame(XIAOMI, ESC, None, 1, 0x10, b"\x01"), False, False),
        (Frame(XIAOMI, ESC, None, 1, 0x10, b"\x01\x00"), False, True),
        (Frame(NINEBOT, 0x3D, BMS, 1, 0x30, b"\x0c"), True, False),
        (Frame(NINEBOT, 0x3D, ESC, 1, 0x10, b"\x01"), True, False),
        (Frame(NINEBOT, BMS, 0x3D, 1, 0x30, b"\x0c"), False, False),
        (Frame(NINEBOT, BMS, 0x3D, 1, 0x30, b"\x0c\x00"), False, True),
        (Frame(NINEBOT, BMS, 0x3D, 4, 0x30, b"\x0c\x00"), False, True),
        (Frame(NINEBOT, BMS, 0x3D, 4, 0x30, b"\x0c\x00\x00"), False, False),
        (Frame(NINEBOT, BMS, 0x3D, 4, 0x30, b""), False, False),
        (Frame(NINEBOT, ESC, 0x3D, 4, 0x30, b"\x0c\x00"), False, True),
    ],
    ids=str,
)
def test_reads_and_their_replies_are_told_apart(
    frame: Frame, is_request: bool, is_reply: bool
) -> None:
    assert frame.is_read_request == is_request
    assert frame.is_read_reply == is_reply
    assert frame.requested_size == (frame.payload[0] if is_request else None)


def test_a_heartbeat_of_another_shape_is_none() -> None:
    request = Frame(NINEBOT, ESC, BMS, 0x5A, 0, b"")
    reply = Frame(NINEBOT, BMS, ESC, 0x5A, 0x30, bytes(12))

    assert request.is_heartbeat_request
    assert not request.is_heartbeat_reply
    assert reply.is_heartbeat_reply
    assert not reply.is_heartbeat_request
    assert not Frame(XIAOMI, None, BMS, 0x5A, 0, b"").is_heartbeat_request  # a reset in Xiaomi
    assert not Frame(NINEBOT, ESC, BMS, 0x5A, 0, b"NS").is_heartbeat_request
    assert not Frame(NINEBOT, BMS, ESC, 0x5A, 0x30, bytes(10)).is_heartbeat_reply
