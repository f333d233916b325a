"""Guarantee 1: no byte can raise, no intact frame is lost, no input costs more than its length."""

import random
import re
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_strategies import cut, cuts, frames, garbage, hostile_garbage
from ninebot_bms import framer as framer_module
from ninebot_bms._encoding import encode
from ninebot_bms.errors import FrameError, Reason
from ninebot_bms.framer import Framer, Reject
from ninebot_bms.frames import HEADERS, LAYOUTS, Dialect, Frame, checksum, parse_frame
from recorded import RECORDED_FRAMES, Vector, frame_vectors, recording

VECTORS = frame_vectors()
GOOD = [vector for vector in VECTORS if vector.checksum_ok]
BAD = [vector for vector in VECTORS if not vector.checksum_ok]
POLL = bytes.fromhex("55aa032201300c9dff")  # ESC to BMS, M365
HEARTBEAT = bytes.fromhex("5aa50020225a0063ff")  # ESC to BMS, ES2
REPLY = bytes.fromhex("55aa0e2501300100000000000000e100282869fe")
LONGEST = 137  # bytes of the longest frame: Ninebot with a payload of 128

#: What makes a naive framer slow: headers wherever one can begin, each claiming the most.
HOSTILE = {
    "xiaomi headers": b"\x55\xaa\x80",
    "ninebot headers": b"\x5a\xa5\x80",
    "xiaomi longest claims": b"\x55\xaa\x82",
    "shortest claims": b"\x55\xaa\x02",
    "empty claims": b"\x5a\xa5\x00",
    "lengths out of range": b"\x55\xaa\xff",
    "headers alone": b"\x55\xaa",
    "both headers nested": b"\x5a\xa5\x55\xaa\x7f",
    "all 55": b"\x55",
    "all 5a": b"\x5a",
    "all zero": b"\x00",
    "first bytes": b"\x55\x5a",
}

Found = list[Frame | Reject]
Feed = Callable[[bytes], list[bytes]]


def run(chunks: Iterable[bytes], framer: Framer | None = None) -> Found:
    """Feed a whole stream and end it."""
    framer = framer or Framer()
    found = [each for chunk in chunks for each in framer.receive_data(chunk)]
    found += framer.close()
    assert framer.pending == 0
    return found


def frames_of(found: Found) -> list[Frame]:
    return [each for each in found if isinstance(each, Frame)]


def rejects_of(found: Found) -> list[Reject]:
    return [each for each in found if isinstance(each, Reject)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def frames_by_trying_everywhere(data: bytes) -> list[bytes]:
    """Find frames the slow and obvious way: the oracle of the search."""
    found = []
    start = 0
    while start < len(data):
        step = 1
        for dialect, header in HEADERS.items():
            if data[start : start + 2] == header and start + 2 < len(data):
                candidate = data[start : start + data[start + 2] + LAYOUTS[dialect].overhead]
                try:
                    parse_frame(candidate)
                except FrameError:
                    continue
                found.append(candidate)
                step = len(candidate)
        start += step
    return found


def assert_every_byte_is_accounted_for(data: bytes, found: Found) -> None:
    position = 0
    for each in found:
        size = len(each.raw) if isinstance(each, Frame) else each.size
        assert size > 0
        assert each.raw == data[position : position + min(size, len(each.raw))]
        assert len(each.raw) == (size if isinstance(each, Frame) else min(size, 256))
        position += size
    assert position == len(data)


# Vectors and recordings


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector.raw.hex())
@pytest.mark.parametrize("feed", [lambda data: [data], bytewise], ids=["whole", "byte by byte"])
def test_a_genuine_frame_is_framed(vector: Vector, feed: Feed) -> None:
    framer = Framer()
    found = [each for chunk in feed(vector.raw) for each in framer.receive_data(chunk)]

    assert found == [parse_frame(vector.raw)]
    assert found[0].raw == vector.raw
    assert framer.frames == 1
    assert framer.pending == 0


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector.raw.hex())
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\x00", b"\x00\x00"),
        (b"\xff\x55", b"\x5a"),
        (b"\x55\xaa", b"\x55\xaa"),
        (b"\x5a\xa5\x80", b"\x5a\xa5\x80\x22"),
        (b"\x55\xaa\xff\x55\xaa\x82", b"\x55\xaa\xff"),
        (POLL[:-1], REPLY[:7]),
    ],
    ids=["zeros", "half headers", "headers", "long claims", "out of range", "cut frames"],
)
@pytest.mark.parametrize("feed", [lambda data: [data], bytewise], ids=["whole", "byte by byte"])
def test_a_genuine_frame_in_noise_is_framed(
    vector: Vector, before: bytes, after: bytes, feed: Feed
) -> None:
    data = before + vector.raw + after
    found = run(feed(data))

    assert frames_of(found) == [parse_frame(vector.raw)]
    assert_every_byte_is_accounted_for(data, found)


@pytest.mark.parametrize("vector", BAD, ids=lambda vector: vector.raw.hex())
@pytest.mark.parametrize("feed", [lambda data: [data], bytewise], ids=["whole", "byte by byte"])
@pytest.mark.parametrize(("before", "after"), [(b"", b""), (b"\x00\x55", b"\x00"), (POLL, REPLY)])
def test_genuine_garbage_is_no_frame_and_hides_none(
    vector: Vector, feed: Feed, before: bytes, after: bytes
) -> None:
    data = before + vector.raw + after
    found = run(feed(data))

    intact = [parse_frame(each) for each in (before, after) if len(each) > 2]
    assert frames_of(found) == intact
    assert Reason.CHECKSUM in {reject.reason for reject in rejects_of(found)}
    assert_every_byte_is_accounted_for(data, found)


@pytest.mark.parametrize(("name", "count"), RECORDED_FRAMES.items())
@pytest.mark.parametrize("feed", [lambda data: [data], bytewise], ids=["as read", "byte by byte"])
def test_a_recording_holds_exactly_its_known_frames(name: str, count: int, feed: Feed) -> None:
    framers: dict[str, Framer] = {}
    streams: dict[str, bytes] = {}
    found: dict[str, Found] = {}
    for _, line, data in recording(name):
        framer = framers.setdefault(line, Framer())
        streams[line] = streams.get(line, b"") + data
        for chunk in feed(data):
            found.setdefault(line, []).extend(framer.receive_data(chunk))
    for line, framer in framers.items():
        found[line] += framer.close()
        assert_every_byte_is_accounted_for(streams[line], found[line])

    assert sum(framer.frames for framer in framers.values()) == count
    assert sum(len(frames_of(each)) for each in found.values()) == count


def test_a_recording_read_slowly_with_silences_holds_the_same_frames() -> None:
    framers: dict[str, Framer] = {}
    found: Counter[str] = Counter()
    for _, line, data in recording("m365_dash_app"):
        framer = framers.setdefault(line, Framer())
        for at in range(0, len(data), 7):
            found[line] += len(frames_of(framer.receive_data(data[at : at + 7])))
            found[line] += len(frames_of(framer.idle()))

    assert found.total() == RECORDED_FRAMES["m365_dash_app"]


# What is refused, and how it is told


def test_a_header_with_a_length_out_of_range_is_refused_at_once() -> None:
    framer = Framer()

    assert framer.receive_data(b"\x55\xaa\x83" + POLL) == [
        Reject(Reason.LENGTH, b"\x55\xaa\x83", 3),
        parse_frame(POLL),
    ]
    assert framer.counts[Reason.LENGTH] == 1


def test_a_corrupted_frame_is_one_reject_as_soon_as_it_is_whole() -> None:
    damaged = REPLY[:10] + b"\x7f" + REPLY[11:]

    assert Framer().receive_data(damaged) == [Reject(Reason.CHECKSUM, damaged, len(damaged))]


def test_false_headers_inside_a_corrupted_frame_are_part_of_its_reject() -> None:
    frame = encode(Frame(Dialect.XIAOMI, 0x22, None, 1, 0x40, b"\x00\x55\xaa\xff\x5a\xa5\x00\x00"))
    damaged = frame[:-1] + b"\x00"

    assert run([damaged + POLL]) == [
        Reject(Reason.CHECKSUM, damaged, len(damaged)),
        parse_frame(POLL),
    ]


def test_two_corrupted_frames_are_two_rejects() -> None:
    damaged = POLL[:-1] + b"\x00"

    assert run([damaged * 2]) == [Reject(Reason.CHECKSUM, damaged, len(damaged))] * 2


@pytest.mark.parametrize("position", range(len(REPLY)))
@pytest.mark.parametrize("value", [0x00, 0x01, 0x55, 0x80, 0xFF])
def test_one_wrong_byte_costs_no_neighbour(position: int, value: int) -> None:
    damaged = bytes(value if at == position else old for at, old in enumerate(REPLY))
    if damaged == REPLY:
        return
    found = run([POLL + damaged + HEARTBEAT])
    rejects = rejects_of(found)

    assert frames_of(found) == [parse_frame(POLL), parse_frame(HEARTBEAT)]
    assert sum(reject.size for reject in rejects) == len(damaged)
    is_length_too_small = position == 2 and value < REPLY[2]
    assert len(rejects) == 1 or is_length_too_small


def test_garbage_between_frames_is_one_reject() -> None:
    found = run([POLL, b"\x00" * 300, b"\xfe\x55\x55", HEARTBEAT])

    assert found == [
        parse_frame(POLL),
        Reject(Reason.HEADER, b"\x00" * 256, 303),
        parse_frame(HEARTBEAT),
    ]


def test_garbage_behind_a_failed_claim_is_told_apart_from_it() -> None:
    damaged = POLL[:-1] + b"\x00"

    assert run([damaged + b"\x01\x02\x03"]) == [
        Reject(Reason.CHECKSUM, damaged, len(damaged)),
        Reject(Reason.HEADER, b"\x01\x02\x03", 3),
    ]


def test_a_frame_that_never_becomes_whole_is_refused_at_the_end() -> None:
    framer = Framer()

    assert framer.receive_data(REPLY[:-1]) == []
    assert framer.pending == len(REPLY) - 1
    assert framer.close() == [Reject(Reason.LENGTH, REPLY[:-1], len(REPLY) - 1)]


def test_a_header_without_a_length_is_unfinished_and_half_a_header_is_garbage() -> None:
    assert run([b"\x55\xaa"]) == [Reject(Reason.LENGTH, b"\x55\xaa", 2)]
    assert run([b"\x5a"]) == [Reject(Reason.HEADER, b"\x5a", 1)]


def test_a_framer_that_was_closed_starts_afresh() -> None:
    framer = Framer()
    run([b"\x55\xaa\xff", REPLY[:5]], framer)

    assert run([POLL], framer) == [parse_frame(POLL)]
    assert framer.close() == []


def test_counts_are_a_read_only_view_of_what_was_returned() -> None:
    framer = Framer()
    counts = framer.counts
    found = run([b"\x00", POLL, POLL[:-1] + b"\x00", b"\x55\xaa\x00", HEARTBEAT, b"\x01"], framer)

    returned = Counter(reject.reason for reject in rejects_of(found))
    assert counts == {reason: returned[reason] for reason in Reason}
    assert returned == {Reason.HEADER: 2, Reason.CHECKSUM: 1, Reason.LENGTH: 1}
    with pytest.raises(TypeError):
        counts[Reason.HEADER] = 0  # type: ignore[index]


def test_a_checked_frame_of_odd_content_is_returned_for_the_reader_to_judge() -> None:
    odd = Frame(Dialect.XIAOMI, 0x22, None, 1, 0x30, b"\x01\x02\x03")

    assert run([encode(odd)]) == [odd]
    assert not odd.is_read_reply


# Silence


def test_a_frame_behind_an_unfinished_false_header_is_recovered_by_silence() -> None:
    framer = Framer()

    assert framer.receive_data(b"\x5a\xa5\x80" + POLL) == []
    assert framer.idle() == [Reject(Reason.LENGTH, b"\x5a\xa5\x80", 3), parse_frame(POLL)]
    assert framer.pending == 0


def test_silence_recovers_every_frame_behind_nested_false_headers() -> None:
    framer = Framer()
    data = b"\x55\xaa\x82\x5a\xa5\x7f" + POLL + b"\x5a\xa5\x70\x55\xaa" + HEARTBEAT + REPLY[:6]

    assert frames_of(framer.receive_data(data)) == []
    assert frames_of(framer.idle()) == [parse_frame(POLL), parse_frame(HEARTBEAT)]
    assert framer.pending == 6
    assert framer.receive_data(REPLY[6:]) == [parse_frame(REPLY)]


def test_silence_inside_a_frame_does_not_lose_it() -> None:
    for at in range(len(REPLY)):
        framer = Framer()
        assert framer.receive_data(REPLY[:at]) == []
        assert framer.idle() == []
        assert framer.receive_data(REPLY[at:]) == [parse_frame(REPLY)]


def test_silence_reports_garbage_that_was_still_growing() -> None:
    framer = Framer()

    assert framer.receive_data(b"\x00\x00") == []
    assert framer.idle() == [Reject(Reason.HEADER, b"\x00\x00", 2)]
    assert framer.idle() == []


# Properties


@given(garbage, frames, garbage, cuts)
def test_a_frame_in_any_garbage_is_found_whatever_the_cut(
    before: bytes, frame: Frame, after: bytes, at: list[int]
) -> None:
    data = before + encode(frame) + after
    found = run(cut(data, at))

    assert frame in found
    assert_every_byte_is_accounted_for(data, found)


@given(garbage, frames, garbage, cuts)
def test_a_frame_in_any_garbage_is_found_once_the_line_is_quiet(
    before: bytes, frame: Frame, after: bytes, at: list[int]
) -> None:
    framer = Framer()
    found = []
    for chunk in cut(before + encode(frame) + after, at):
        found += framer.receive_data(chunk)
        found += framer.idle()

    assert frame in found


@given(st.lists(garbage | frames.map(encode), max_size=8), cuts)
def test_the_cut_changes_nothing(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)

    assert run(cut(data, at)) == run([data]) == run(bytewise(data))


@given(st.lists(hostile_garbage | frames.map(encode), max_size=8))
def test_the_frames_are_those_that_trying_everywhere_finds(parts: list[bytes]) -> None:
    data = b"".join(parts)

    assert [frame.raw for frame in frames_of(run([data]))] == frames_by_trying_everywhere(data)


@given(st.lists(frames, max_size=8), cuts)
def test_frames_of_both_dialects_back_to_back_are_all_found(
    sent: list[Frame], at: list[int]
) -> None:
    framer = Framer()
    data = b"".join(encode(frame) for frame in sent)
    found = [each for chunk in cut(data, at) for each in framer.receive_data(chunk)]

    assert found == sent


@given(st.lists(garbage, max_size=8), st.lists(st.booleans(), max_size=8))
def test_no_bytes_make_the_framer_raise_or_hold_more_than_a_frame(
    chunks: list[bytes], silences: list[bool]
) -> None:
    framer = Framer()
    sizes = 0
    for chunk, is_silent in zip(chunks, [*silences, *[False] * 8], strict=False):
        found = framer.receive_data(chunk)
        if is_silent:
            found += framer.idle()
        assert framer.pending < LONGEST
        sizes += sum(len(e.raw) if isinstance(e, Frame) else e.size for e in found)
    assert sizes <= sum(map(len, chunks))


# A bad line


def random_frame(rng: random.Random) -> Frame:
    payload = rng.randbytes(rng.choice((0, 1, 2, 12, 14, 30, 72, rng.randint(0, 128))))
    command, index = rng.choice((0x01, 0x04, 0x5A, rng.randrange(256))), rng.randrange(256)
    if rng.random() < 0.5:
        source, target = rng.randrange(256), rng.randrange(256)
        return Frame(Dialect.NINEBOT, source, target, command, index, payload)
    node = rng.randint(0x20, 0x22)
    if rng.random() < 0.5:
        return Frame(Dialect.XIAOMI, node, None, command, index, payload)
    return Frame(Dialect.XIAOMI, None, node, command, index, payload)


@pytest.mark.parametrize("seed", range(6))
def test_every_intact_frame_of_a_bad_line_is_recovered(seed: int) -> None:
    rng = random.Random(seed)
    intact = []
    stream = bytearray()
    for _ in range(1500):
        frame = random_frame(rng)
        raw = bytearray(encode(frame))
        if rng.random() < 0.1:  # cut off anywhere, as by a node that loses power
            raw = raw[: rng.randrange(len(raw))]
        damaged = [at for at in range(len(raw)) if rng.random() < 0.01]
        for at in damaged:
            raw[at] ^= rng.randint(1, 255)
        if rng.random() < 0.05:
            stream += rng.choice((b"\x00", b"\x55\xaa", b"\x5a\xa5\x80", rng.randbytes(5)))
        stream += raw
        if not damaged and len(raw) == len(encode(frame)):
            intact.append(frame)

    framer = Framer()
    found: Found = []
    position = 0
    while position < len(stream):
        size = rng.randint(1, 64)
        found += framer.receive_data(bytes(stream[position : position + size]))
        position += size
    found += framer.close()

    assert 700 < len(intact) < 1400
    assert frames_of(found) == intact
    assert_every_byte_is_accounted_for(bytes(stream), found)


# Cost


class Work:
    """Counts what the framer pays for: bytes summed and header searches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.units = 0
        self._pattern: re.Pattern[bytes] = framer_module._HEADER
        monkeypatch.setattr(framer_module, "checksum", self.checksum)
        monkeypatch.setattr(framer_module, "_HEADER", self)

    def checksum(self, body: bytes) -> int:
        self.units += len(body)
        return checksum(body)

    def search(self, data: bytearray, start: int) -> re.Match[bytes] | None:
        match = self._pattern.search(data, start)
        self.units += (len(data) if match is None else match.end()) - start
        return match


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("chunk", [1, 20, 4096, 1 << 20])
def test_hostile_input_costs_in_proportion_to_its_length(
    unit: bytes, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(monkeypatch)
    costs = []
    for size in (10_000, 40_000):
        data = (unit * size)[:size]
        work.units = 0
        framer = Framer()
        for at in range(0, size, chunk):
            framer.receive_data(data[at : at + chunk])
        costs.append(work.units)

    assert costs[1] <= 4.1 * costs[0]
    # A header takes two bytes at least, and costs at most the sum of the longest frame; what
    # waits (less than a frame) is looked at once more with the next chunk.
    assert costs[1] <= 40_000 * (LONGEST / 2 + 3)


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
def test_endless_garbage_is_one_reject_in_constant_memory(unit: bytes) -> None:
    chunk = unit * (16_384 // len(unit))
    framer = Framer()
    framer.receive_data(chunk)
    tracemalloc.start()
    try:
        for _ in range(6):
            assert framer.receive_data(chunk) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    rejects = framer.close()

    assert peak < 4 * len(chunk)
    assert len(rejects) == 1
    assert isinstance(rejects[0], Reject)
    assert rejects[0].size == 7 * len(chunk)
    assert rejects[0].raw == chunk[:256]


def test_one_huge_read_is_taken_in_slices() -> None:
    data = b"\x55" * 8_000_000 + POLL
    framer = Framer()
    tracemalloc.start()
    try:
        found = framer.receive_data(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found == [Reject(Reason.HEADER, b"\x55" * 256, 8_000_000), parse_frame(POLL)]
    assert peak < 500_000
