"""A recording to share: no serial in it, all else as it was, and never a frame of its own."""

import gzip
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import frame_strategies as drawn
from ninebot_bms import BMS, DASHBOARD, ESC, Chunk, Dialect, Frame, Framer, Observer
from ninebot_bms._encoding import encode
from ninebot_bms.capture_lines import format_chunk
from ninebot_bms.identity import FACTORY_SERIAL, serial_date, serial_kind
from packtap.analysis.open_events import OpenEvents
from packtap.cli import main
from packtap.errors import CaptureError
from packtap.identity_rows import is_register_reply
from packtap.identity_survey import Survey
from packtap.inputs import open_capture
from packtap.pseudonyms import Pseudonyms
from packtap.redacting import Redactor, Tally, with_payload
from packtap.replaying import replay
from packtap.simulated.recording import Recorder
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.tap import Tap, TapSettings
from recorded import RECORDED_FRAMES, VECTORS, recording

SERIAL = b"3JAGJ17A8D3660"
OTHER = b"49YEQ18H1Q0423"
VEHICLE = b"13679/00078841"
#: What names somebody in the genuine recordings.
GENUINE = (SERIAL, VEHICLE, b"89992221488", b"IVAN100KWT")


def redacted(chunks: Iterable[Chunk], key: bytes | None = b"test") -> tuple[list[Chunk], Tally]:
    chunks = list(chunks)
    survey = Survey(key)
    for chunk in chunks:
        survey.take(chunk)
    survey.close()
    redactor = Redactor(survey)
    out = [ready for chunk in chunks for ready in redactor.take(chunk)]
    out += redactor.close()
    return out, redactor.tally


def of_line(chunks: Iterable[Chunk], line: str | None = "bms") -> bytes:
    return b"".join(chunk.data for chunk in chunks if chunk.line == line)


def chunks_of(pieces: Iterable[bytes], line: str | None = "bms") -> list[Chunk]:
    return [Chunk(0.01 * at, line, piece) for at, piece in enumerate(pieces)]


def frames_of(data: bytes) -> list[Frame]:
    framer = Framer()
    found = [*framer.receive_data(data), *framer.close()]
    return [each for each in found if isinstance(each, Frame)]


def shape(frame: Frame) -> tuple[object, ...]:
    return (frame.dialect, frame.source, frame.target, frame.command, frame.index)


def told(data: bytes, serials: Sequence[bytes], size: int = 6) -> set[bytes]:
    """Return the characters of a serial, so many in a row, that stand in the data."""
    runs = {each[at : at + size] for each in serials for at in range(len(each) - size + 1)}
    return {run for run in runs if run in data}


def reply(dialect: Dialect, index: int, payload: bytes, source: int = BMS) -> bytes:
    is_xiaomi = dialect is Dialect.XIAOMI
    target, command = (None, 0x01) if is_xiaomi else (0x3D, 0x04)
    return encode(Frame(dialect, source, target, command, index, payload))


def values(chunks: Iterable[Chunk]) -> list[tuple[object, ...]]:
    """Return what a replay tells, without the names of packs."""
    tap = Tap(TapSettings(), OpenEvents("test"))
    events = [event for digest in replay(chunks, tap, Observer()) for event in digest.events]
    plain = [replace(event, pack="", id="") for event in events]
    ranked = [(each.cause, each.probability) for each in tap.diagnose().causes]
    return [*((event,) for event in plain), *ranked]


@pytest.mark.parametrize("name", RECORDED_FRAMES)
def test_a_genuine_recording_differs_in_the_payload_of_replies_alone(name: str) -> None:
    chunks = [Chunk(*each) for each in recording(name)]
    out, tally = redacted(chunks)
    assert [(c.t, c.line, len(c.data)) for c in out] == [(c.t, c.line, len(c.data)) for c in chunks]
    assert tally.frames == RECORDED_FRAMES[name]
    assert tally.blanked_bytes == tally.voided_frames == 0
    for line in {chunk.line for chunk in chunks}:
        before, after = of_line(chunks, line), of_line(out, line)
        assert told(after, GENUINE) == set()
        for old, new in zip(frames_of(before), frames_of(after), strict=True):
            assert shape(old) == shape(new)
            if old.payload != new.payload:
                assert is_register_reply(old)
                assert old.index == (0x00 if old.source == DASHBOARD else 0x10)
    assert values(out) == values(chunks)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("adapter", ["pieces", "latency"])
def test_a_replay_of_a_redacted_ride_gives_the_same_events(dialect: Dialect, adapter: str) -> None:
    wires = Wires(Plan(), dialect, serial=SERIAL.decode())
    chunks = list(Recorder(adapter=adapter).record(wires, 40.0))
    lines = {chunk.line for chunk in chunks}
    assert any(SERIAL in of_line(chunks, line) for line in lines)
    out, tally = redacted(chunks)
    for line in lines:
        assert told(of_line(out, line), [SERIAL]) == set()
    assert values(out) == values(chunks)
    [pseudonym] = tally.pseudonyms
    assert serial_date(pseudonym) == serial_date(SERIAL.decode())


@pytest.mark.parametrize("dialect", Dialect)
@settings(max_examples=40)
@given(at=drawn.cuts, noise=drawn.garbage, lost=st.integers(1, 20))
@example(at=[], noise=b"", lost=8)
def test_a_serial_in_halves_and_over_chunks_gets_one_pseudonym(
    dialect: Dialect, at: list[int], noise: bytes, lost: int
) -> None:
    halves = [reply(dialect, 0x10, SERIAL[:8]), reply(dialect, 0x14, SERIAL[8:])]
    whole = reply(dialect, 0x10, SERIAL + b"\x15\x01")
    readings = reply(dialect, 0x30, bytes(12))
    stream = b"".join([*halves, readings, whole, noise, whole, halves[1], halves[0], whole[:-lost]])
    pieces = drawn.cut(stream, at)
    out, tally = redacted(chunks_of(pieces))
    assert [len(chunk.data) for chunk in out] == [len(piece) for piece in pieces]
    after = of_line(out)
    assert told(after, [SERIAL]) == set()
    assert [shape(each) for each in frames_of(after)] == [shape(f) for f in frames_of(stream)]
    [pseudonym] = (name for name in tally.pseudonyms if serial_kind(name) == "vendor")
    first, second, _, third = frames_of(after)[:4]
    assert (first.payload + second.payload).decode() == pseudonym
    assert third.payload == pseudonym.encode() + b"\x15\x01"
    assert len(tally.pseudonyms) == 1


@settings(max_examples=150)
@given(st.lists(st.one_of(drawn.frames.map(encode), drawn.garbage), max_size=8), drawn.cuts)
def test_no_frame_comes_out_that_did_not_come_in(parts: list[bytes], at: list[int]) -> None:
    stream = b"".join(parts)
    try:
        out, tally = redacted(chunks_of(drawn.cut(stream, at)))
    except CaptureError:
        return  # a sum that fits by chance is refused
    after = of_line(out)
    assert len(after) == len(stream)
    left = iter(frames_of(stream))
    for frame in frames_of(after):
        same = next(each for each in left if shape(each) == shape(frame))
        assert len(same.payload) == len(frame.payload)
        if not is_register_reply(frame):
            assert frame.raw == same.raw
    assert len(frames_of(after)) == len(frames_of(stream)) - tally.voided_frames


NO_REPLIES = {
    "a request": Frame(Dialect.XIAOMI, None, BMS, 0x01, 0x10, b"\x0e"),
    "a write": Frame(Dialect.XIAOMI, None, BMS, 0x03, 0x10, SERIAL),
    "a Ninebot write": Frame(Dialect.NINEBOT, 0x3D, BMS, 0x02, 0x10, SERIAL),
    "a Ninebot write by the ESC": Frame(Dialect.NINEBOT, ESC, BMS, 0x03, 0x10, SERIAL),
    "programming a serial": Frame(Dialect.NINEBOT, 0x3D, BMS, 0x18, 0x10, SERIAL),
    "a reply of nobody": Frame(Dialect.NINEBOT, 0x77, 0x3D, 0x04, 0x10, SERIAL),
    "an acknowledgement": Frame(Dialect.XIAOMI, BMS, None, 0x02, 0x10, b"\x01\x00"),
}


@pytest.mark.parametrize("what", NO_REPLIES)
def test_no_other_frame_can_be_built_anew(what: str) -> None:
    frame = NO_REPLIES[what]
    with pytest.raises(ValueError, match="only the payload of a register reply"):
        with_payload(replace(frame, raw=encode(frame)), frame.payload)


def test_a_reply_keeps_its_length() -> None:
    [frame] = frames_of(reply(Dialect.XIAOMI, 0x10, SERIAL))
    with pytest.raises(ValueError, match="by its own length"):
        with_payload(frame, SERIAL + b"\0\0")


@pytest.mark.parametrize(
    "what", [name for name in NO_REPLIES if NO_REPLIES[name].payload == SERIAL]
)
def test_a_frame_that_is_no_reply_and_holds_a_serial_is_none_any_more(what: str) -> None:
    frame, readings = encode(NO_REPLIES[what]), reply(Dialect.XIAOMI, 0x30, bytes(12))
    out, tally = redacted(chunks_of([frame, readings]))
    assert told(of_line(out), [SERIAL], size=4) == set()
    assert [each.raw for each in frames_of(of_line(out))] == [readings]
    assert (tally.voided_frames, tally.blanked_bytes) == (1, 14)


def _damaged(dialect: Dialect) -> dict[str, bytes]:
    whole = reply(dialect, 0x10, SERIAL + b"\x15\x01")
    return {
        "a wrong sum": whole[:-1] + bytes((whole[-1] ^ 1,)),
        "cut off at its end": whole[:-6],
        "its beginning lost": whole[-12:],
        "a length that cannot be": whole[:2] + b"\xff" + whole[3:],
        "the text alone": SERIAL,
    }


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("damage", _damaged(Dialect.XIAOMI))
@pytest.mark.parametrize("is_known", [True, False], ids=["read before", "never read"])
def test_what_damage_left_of_a_serial_is_blanked(
    dialect: Dialect, damage: str, is_known: bool
) -> None:
    readings = reply(dialect, 0x30, bytes(12))
    known = [reply(dialect, 0x10, SERIAL)] if is_known else []
    out, tally = redacted(chunks_of([*known, readings, _damaged(dialect)[damage], readings]))
    after = of_line(out)
    assert told(after.removeprefix(b"".join(known)), [SERIAL], size=5) == set()
    assert tally.blanked_bytes > 0
    assert after.count(readings) == 2


def test_two_packs_in_turn_keep_two_names() -> None:
    halves = [
        reply(Dialect.XIAOMI, index, text[2 * (index - 0x10) :][:size])
        for text in (SERIAL, OTHER, SERIAL)
        for index, size in ((0x10, 8), (0x14, 6))
    ]
    out, tally = redacted(chunks_of(halves))
    told_names = [frame.payload.decode() for frame in frames_of(of_line(out))]
    first, second, third = ("".join(told_names[at : at + 2]) for at in (0, 2, 4))
    assert first == third != second
    assert list(tally.pseudonyms) == [first, second]


def test_a_pseudonym_keeps_model_date_and_form() -> None:
    names = Pseudonyms(b"a key")
    for text in (SERIAL, OTHER, b"BPABC234567890", VEHICLE, b"  IVAN100KWT  "):
        names.note(text)
        other = names.of(text)
        assert other != text
        assert names.of(text) == other
        assert Pseudonyms(b"another key").of(text) != other
        assert serial_kind(other.decode()) is serial_kind(text.decode())
        assert serial_date(other.decode()) == serial_date(text.decode())
        assert [(c.isdigit(), c.isalpha()) for c in map(chr, other)] == [
            (c.isdigit(), c.isalpha()) for c in map(chr, text)
        ]
        assert told(other, [text], size=5) == set()
    assert names.of(SERIAL).startswith(b"3JAGX17A8")


@pytest.mark.parametrize(
    "text", [FACTORY_SERIAL.encode(), b"BOTOX001\0\0\0\0\0\0", b"0" * 14, bytes(14)]
)
def test_what_names_nobody_stays_in_halves_too(text: bytes) -> None:
    data = [reply(Dialect.NINEBOT, 0x10, part) for part in (text, text[:8])]
    data += [reply(Dialect.NINEBOT, 0x14, text[8:])]
    out, tally = redacted(chunks_of(data))
    assert of_line(out) == b"".join(data)
    assert tally.replaced == {}


def test_the_end_of_a_number_that_was_never_read_whole_goes_too() -> None:
    data = [reply(Dialect.XIAOMI, 0x15, b"0033"), reply(Dialect.XIAOMI, 0x30, bytes(12))]
    out, _ = redacted(chunks_of(data))
    end, readings = frames_of(of_line(out))
    assert end.payload.isdigit()
    assert end.payload != b"0033"
    assert readings.raw == data[1]


def test_chip_ids_and_pairing_codes_go_too() -> None:
    chip, code = bytes(range(1, 13)), b"482915"
    data = [
        reply(Dialect.XIAOMI, 0x70, chip),
        reply(Dialect.XIAOMI, 0x17, code, source=ESC),
        reply(Dialect.XIAOMI, 0x10, VEHICLE + code, source=ESC),
    ]
    out, _ = redacted(chunks_of(data, "dash"))
    after = of_line(out, "dash")
    assert told(after, [chip, code, VEHICLE], size=5) == set()
    assert len(frames_of(after)) == 3


def test_the_name_of_a_line_may_hold_a_serial() -> None:
    out, tally = redacted(
        chunks_of([reply(Dialect.XIAOMI, 0x10, SERIAL)], f"pack-{SERIAL.decode()}")
    )
    assert [chunk.line for chunk in out] == ["line-1"]
    assert tally.renamed_lines == 1


def test_a_line_that_never_ends_its_frame_does_not_hold_the_others_back() -> None:
    chunks = chunks_of([b"\x55\xaa"], "esc")
    noise = random.Random(5)
    for _ in range(40):
        chunks += chunks_of([noise.randbytes(60_000), reply(Dialect.XIAOMI, 0x10, SERIAL)])
    survey = Survey(b"test")
    for chunk in chunks:
        survey.take(chunk)
    survey.close()
    redactor, waiting, most = Redactor(survey), 0, 0
    for chunk in chunks:
        waiting += len(chunk.data) - sum(len(each.data) for each in redactor.take(chunk))
        most = max(most, waiting)
    waiting -= sum(len(each.data) for each in redactor.close())
    assert waiting == 0
    assert most < 1_200_000
    assert redactor.tally.replaced["the pack's serial number"] == 40


def test_the_command_writes_a_copy_and_says_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = VECTORS / "recordings" / "m365_dash_app.log.gz"
    out = tmp_path / "share.log.gz"
    assert main(["capture", "redact", str(capture), str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["replaced"]["the pack's serial number"] == 5
    assert (said["complete"], said["frames"], said["replaced_frames"]) == (True, 1214, 7)
    remark, *lines = gzip.decompress(out.read_bytes()).decode().splitlines()
    assert remark.startswith("# names in it are pseudonyms")
    came = gzip.decompress(capture.read_bytes()).decode().splitlines()
    assert sum(new != old for new, old in zip(lines, came, strict=True)) == 7
    for serial in GENUINE:
        assert serial.hex().upper() not in "".join(line.split()[2] for line in lines)
    # The name is taken now, and nothing is overwritten.
    before = out.read_bytes()
    assert main(["capture", "redact", str(capture), str(out)]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_no_time_is_invented_for_bytes_without_one(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw.bin", tmp_path / "out.jsonl"
    raw.write_bytes(of_line(chunks_of([reply(Dialect.NINEBOT, 0x10, SERIAL)])))
    assert main(["capture", "redact", str(raw), str(out)]) == 0
    with open_capture(str(out)) as reader:
        chunks = list(reader)
    assert {(chunk.t, chunk.line) for chunk in chunks} == {(None, None)}
    after = of_line(chunks, None)
    assert len(after) == len(raw.read_bytes())
    assert told(after, [SERIAL]) == set()


def test_a_simulated_capture_is_still_called_so(tmp_path: Path) -> None:
    capture, out = tmp_path / "in.log", tmp_path / "out.log"
    [chunk] = chunks_of([reply(Dialect.XIAOMI, 0x10, SERIAL)])
    capture.write_text(f"# simulated by packtap, of {SERIAL.decode()}\n{format_chunk(chunk)}\n")
    assert main(["capture", "redact", str(capture), str(out)]) == 0
    assert out.read_text().startswith("# simulated by packtap, no real scooter")
    assert SERIAL.decode() not in out.read_text()


def test_a_copy_of_a_broken_recording_ends_where_it_broke(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (VECTORS / "recordings" / "m365_dash_app.log.gz").read_bytes()
    capture, out = tmp_path / "cut.log.gz", tmp_path / "out.log"
    capture.write_bytes(whole[: len(whole) // 2])
    assert main(["capture", "redact", str(capture), str(out), "--json"]) == 2
    said = capsys.readouterr()
    assert "breaks off" in said.err
    assert json.loads(said.out)["complete"] is False
    assert len(out.read_text().splitlines()) > 100


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["-", "out.log"], 2, "name a file"),
        (["absent.log", "out.log"], 2, "no such file"),
        (["noise.bin", "out.log"], 3, "nothing is written"),
        (["fine.hex", "no/where/out.log"], 2, "cannot be written"),
    ],
    ids=["a pipe", "no file", "no frame", "no folder"],
)
def test_a_copy_that_cannot_be_made_is_refused_in_words(
    words: list[str], code: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("noise.bin").write_bytes(b"\x00\xff" * 50)
    Path("fine.hex").write_text(reply(Dialect.XIAOMI, 0x10, SERIAL).hex())
    assert main(["capture", "redact", *words]) == code
    assert text in capsys.readouterr().err
    assert not Path("out.log").exists()
