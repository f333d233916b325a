"""Recordings of every form, whole and damaged, become chunks; no content can raise."""

import io
import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninebot_bms.capture import CaptureFormat, CaptureReader, Chunk, format_chunk, read_capture

KNOCK = bytes.fromhex("55aa0322011010b9ff")
STATUS = bytes.fromhex("5aa50020225a0063ff")


def read(content: bytes) -> tuple[CaptureReader, list[Chunk]]:
    reader = read_capture(io.BytesIO(content))
    return reader, list(reader)


def joined(content: bytes) -> bytes:
    return b"".join(chunk.data for chunk in read(content)[1])


class TestChunk:
    def test_capture_text_names_time_wire_and_bytes(self) -> None:
        line = format_chunk(Chunk(1736860339.605245, "bms", KNOCK))
        assert line == "(1736860339.605245) bms 55AA0322011010B9FF"

    @pytest.mark.parametrize(
        "chunk", [Chunk(None, "bms", KNOCK), Chunk(1.0, None, KNOCK)], ids=["no time", "no wire"]
    )
    def test_capture_text_refuses_a_chunk_without_time_or_wire(self, chunk: Chunk) -> None:
        with pytest.raises(ValueError, match="needs a time and a line name"):
            format_chunk(chunk)

    @pytest.mark.parametrize(
        ("t", "line", "data", "complaint"),
        [
            (1.0, "bms", b"", "at least one byte"),
            (float("nan"), "bms", b"\x00", "finite"),
            (float("inf"), "bms", b"\x00", "finite"),
            (1.0, "two words", b"\x00", "line name"),
            (1.0, "", b"\x00", "line name"),
            (1.0, "x" * 33, b"\x00", "line name"),
        ],
    )
    def test_an_impossible_chunk_cannot_be_made(
        self, t: float, line: str, data: bytes, complaint: str
    ) -> None:
        with pytest.raises(ValueError, match=complaint):
            Chunk(t, line, data)

    @given(
        st.lists(
            st.builds(
                Chunk,
                st.integers(0, 4_000_000_000_000_000).map(lambda us: us / 1e6),
                st.from_regex(r"[A-Za-z0-9_.-]{1,32}", fullmatch=True),
                st.binary(min_size=1, max_size=80),
            ),
            min_size=1,
            max_size=16,  # a recording has at most 16 wires
        )
    )
    def test_chunks_written_as_capture_text_are_read_back_unchanged(
        self, chunks: list[Chunk]
    ) -> None:
        reader, found = read("\n".join(map(format_chunk, chunks)).encode())
        assert found == chunks
        assert (reader.format, reader.bad_lines) == (CaptureFormat.TEXT, 0)


class TestFormats:
    @pytest.mark.parametrize(
        "content",
        [
            b"55aa0322011010b9ff5aa50020225a0063ff",
            b"55aa0322011010b9ff\n5aa50020225a0063ff\n",
            b"55 AA 03 22 01 10 10 B9 FF 5A A5 00 20 22 5A 00 63 FF\n",
            b"55 AA 3 22 1 10 10 B9 FF 5A A5 0 20 22 5A 0 63 FF\n",
            b"0x55,0xAA,0x03,0x22,0x01,0x10,0x10,0xB9,0xFF,\n0x5AA50020225A0063FF\n",
            b"55:aa:03:22:01:10:10:b9:ff\r\n5a-a5-00-20-22-5a-00-63-ff\r\n",
            rb"\x55\xaa\x03\x22\x01\x10\x10\xb9\xff\x5a\xa5\x00\x20\x22\x5a\x00\x63\xff",
            b"# knock\n55aa0322011010b9ff # asleep\n\n  \n5aa50020225a0063ff\n",
            b"\xef\xbb\xbf55aa0322011010b9ff\r5aa50020225a0063ff",
            "55aa0322011010b9ff\r\n5aa50020225a0063ff\r\n".encode("utf-16"),
            "\ufeff55aa0322011010b9ff\n5aa50020225a0063ff\n".encode("utf-16-be"),
            b"\0\0\x0055aa0322011010b9ff\0\0\0\n5aa50020225a0063ff\0\0",
        ],
        ids=[
            "one line", "two lines", "spaces", "dropped zeros", "0x and commas",
            "colons and dashes", "escapes", "comments", "byte order mark and CR", "UTF-16",
            "UTF-16 big end first", "NUL",
        ],
    )  # fmt: skip
    def test_hex_text_is_read_in_all_its_spellings(self, content: bytes) -> None:
        reader, chunks = read(content)
        assert b"".join(chunk.data for chunk in chunks) == KNOCK + STATUS
        assert {(chunk.t, chunk.line) for chunk in chunks} == {(None, None)}
        assert (reader.format, reader.bad_lines) == (CaptureFormat.HEX, 0)
        assert reader.bytes_read == len(content)

    def test_hex_text_amid_prose_is_found_by_the_frame_in_it(self) -> None:
        reader, chunks = read(
            b"M365, as found on the bench:\nknocks\n55AA0322011010B9FF\nthen nothing\n"
        )
        assert [chunk.data for chunk in chunks] == [KNOCK]
        assert (reader.format, reader.bad_lines) == (CaptureFormat.HEX, 3)

    def test_hex_text_without_a_whole_frame_is_still_hex_text(self) -> None:
        reader, chunks = read(b"# after the break\n00 ff 00\n10 10 b9 ff")
        assert [chunk.data.hex() for chunk in chunks] == ["00ff00", "1010b9ff"]
        assert reader.format is CaptureFormat.HEX

    def test_a_line_that_breaks_off_within_a_byte_gives_its_whole_bytes(self) -> None:
        reader, chunks = read(b"55aa0322011010b9ff\n55aa032")
        assert [chunk.data.hex() for chunk in chunks] == ["55aa0322011010b9ff", "55aa03"]
        assert reader.bad_lines == 1

    @pytest.mark.parametrize(
        "content",
        [
            KNOCK,
            b"\x00" + KNOCK,
            b"\xef\xbb\xbf" + KNOCK,
            b"\xff\xfe\x00\x00" + KNOCK,
            b"\x00" * 50,
            b"U" * 5000,
            b"\n\n",
            bytes(range(256)) * 40,
            b"Dear reader,\nthis is no recording.\n",
            b'{"note": "no bytes here"}\n',
        ],
        ids=[
            "frame", "break first", "begins like a mark", "begins like UTF-16", "NUL", "0x55",
            "line ends", "all bytes", "prose", "other JSON",
        ],
    )  # fmt: skip
    def test_raw_bytes_come_through_unchanged(self, content: bytes) -> None:
        reader, chunks = read(content)
        assert b"".join(chunk.data for chunk in chunks) == content
        assert (reader.format, reader.bad_lines) == (CaptureFormat.RAW, 0)

    def test_capture_text_gives_times_and_wires(self) -> None:
        reader, chunks = read(
            b"# two wires\n(1.5) bms 00\n( 2.0) bms 11\r\n(2.25) esc 55AA 03\n(3) bms\n\n"
            + b"(4.0) b*s 01\n(1"
            + b"0" * 400
            + b") bms 22\n(-0.5) dash ff # before the trigger\n(5.0) bms 5"
        )
        assert chunks == [
            Chunk(1.5, "bms", b"\x00"),
            Chunk(2.25, "esc", b"\x55\xaa\x03"),
            Chunk(-0.5, "dash", b"\xff"),
            Chunk(5.0, "bms", b"\x05"),
        ]
        assert (reader.format, reader.bad_lines) == (CaptureFormat.TEXT, 4)

    def test_capture_text_that_a_power_cut_filled_with_nul_goes_on_after_them(self) -> None:
        reader, chunks = read(b"(1.0) bms 00\n(2.0) bms 55AA0" + b"\0" * 600 + b"(3.0) bms ff\n")
        assert [chunk.t for chunk in chunks] == [1.0, 2.0, 3.0]
        assert reader.bad_lines == 1

    def test_a_long_preamble_of_comments_does_not_hide_the_format(self) -> None:
        reader, chunks = read(b"# where, when and how it was recorded\n" * 300 + b"(1.0) bms 55\n")
        assert chunks == [Chunk(1.0, "bms", b"\x55")]
        assert (reader.format, reader.bad_lines) == (CaptureFormat.TEXT, 0)

    def test_capture_text_with_other_than_hex_is_a_bad_line(self) -> None:
        reader, chunks = read(b"(1.0) bms 00\n(2.0) bms zz\n(3.0) bms ,\n")
        assert [chunk.t for chunk in chunks] == [1.0]
        assert reader.bad_lines == 1

    def test_json_lines_give_bytes_and_what_they_know_of_time_and_wire(self) -> None:
        rows: list[object] = [
            {"t_start": 1.25, "t_end": 1.26, "line": "ESC_TX", "hex": "55aa"},
            {"hex": "00 01", "t": None, "line": None},
            {"hex": "02", "t": 3, "t_start": 1, "line": "Async Serial [2]"},
            {"hex": "03", "t": True, "line": 7},
            {"hex": "04", "t": 10**400, "line": "***"},
            {"hex": "05", "t": "soon"},
            {"hex": ""},
            {"hex": 85},
            {"note": "no bytes"},
            ["hex"],
            {"hex": "xyz"},
        ]
        text = (
            "\n".join(map(json.dumps, rows)) + '\n# end\n\n{"hex": "06", "t": 1e999}\n{"hex": "07"'
        )
        reader, chunks = read(text.encode())
        assert chunks == [
            Chunk(1.25, "ESC_TX", b"\x55\xaa"),
            Chunk(None, None, b"\x00\x01"),
            Chunk(3.0, "async_serial_2", b"\x02"),
            Chunk(None, None, b"\x03"),
            Chunk(None, None, b"\x04"),
            Chunk(None, None, b"\x05"),
            Chunk(None, None, b"\x06"),
        ]
        assert (reader.format, reader.bad_lines) == (CaptureFormat.JSON, 5)

    def test_json_nested_beyond_reason_is_a_bad_line(self) -> None:
        deep = b'{"hex": ' + b"[" * 100_000 + b"\n"
        reader, chunks = read(b'{"hex": "55"}\n' + deep)
        assert [chunk.data for chunk in chunks] == [b"\x55"]
        assert reader.bad_lines == 1


LOGIC_1 = "Time [s],Value,Parity Error,Framing Error\n"
LOGIC_2 = "name,type,start_time,duration,data,error\n"


class TestSaleae:
    @pytest.mark.parametrize(
        "values",
        [
            ["0x55", "0xAA", "0x03", "0x22", "0x01", "0x35", "0x2C", "0x20", "0x0D"],
            ["85", "170", "3", "34", "1", "53", "44", "32", "13"],
            ["0b01010101", "0b10101010", "0b00000011", "0b00100010", "0b00000001", "0b00110101",
             "0b00101100", "0b00100000", "0b00001101"],
            ["U", "'170'", "'3'", '"', "'1'", "5", "COMMA", "' '", "\\r"],
            ["'U'", "'170'", "'3'", "'\"'", "'1'", "5", '","', '" "', "'13'"],
            ["U", "\\xAA", "\\x03", '""""', "\\x01", "5", '","', " ", "\\r"],
        ],
        ids=["hex", "decimal", "binary", "Logic 1 characters", "quoted", "Logic 2 characters"],
    )  # fmt: skip
    @pytest.mark.parametrize("version", [1, 2])
    def test_a_byte_is_read_in_every_display_radix(self, values: list[str], version: int) -> None:
        if version == 1:
            rows = [f"{n / 10:.15f},{value},," for n, value in enumerate(values)]
            reader, chunks = read((LOGIC_1 + "\n".join(rows)).encode())
        else:
            rows = [f'"bms","data",{n / 10},0,{value},' for n, value in enumerate(values)]
            reader, chunks = read((LOGIC_2 + "\n".join(rows)).encode())
        expected = bytes([0x55, 0xAA, 0x03, 0x22, 0x01, 0x35, 0x2C, 0x20, 0x0D])
        line = None if version == 1 else "bms"
        assert [(c.t, c.line) for c in chunks] == [(n / 10, line) for n in range(9)]
        assert b"".join(chunk.data for chunk in chunks) == expected
        assert (reader.format, reader.bad_lines) == (CaptureFormat.SALEAE, 0)

    def test_a_digit_is_a_character_only_in_a_table_of_characters(self) -> None:
        assert joined(f"{LOGIC_1}0.1,5,,\n0.2,85,,\n".encode()) == b"\x05\x55"
        assert joined(f"{LOGIC_1}0.1,5,,\n0.2,U,,\n".encode()) == b"5U"

    def test_a_damaged_row_does_not_turn_numbers_into_characters(self) -> None:
        assert joined(f"{LOGIC_1}0.1,85,,\n0.2,:,,\n0.3,85,,\n0.4,5,,\n".encode()) == b"UU\x05"

    def test_time_is_the_end_of_the_byte_where_its_duration_is_known(self) -> None:
        _, chunks = read(f'{LOGIC_2}"Async Serial","data",1.5,0.25,0x55,\n'.encode())
        assert chunks == [Chunk(1.75, "async_serial", b"\x55")]

    @pytest.mark.parametrize(
        "moment", ["2025-01-14T13:12:19.500000000+00:00", "2025-01-14T13:12:19.5"]
    )
    def test_a_date_becomes_unix_seconds(self, moment: str) -> None:
        _, chunks = read(f'{LOGIC_2}"bms","data",{moment},0,0x55,\n'.encode())
        assert chunks == [Chunk(1736860339.5, "bms", b"\x55")]

    def test_a_byte_with_a_framing_error_is_kept(self) -> None:
        assert joined(f"{LOGIC_1}0.1,0x00,,Error\n".encode()) == b"\x00"

    def test_columns_are_found_by_name_in_any_order(self) -> None:
        content = (
            b"\nTime [s], Analyzer Name, Decoded Protocol Result\n0.5, bms, 0x55 framing error\n"
        )
        assert read(content)[1] == [Chunk(0.5, "bms", b"\x55")]

    def test_rows_that_are_no_bytes_are_counted(self) -> None:
        rows = [
            '"bms","data",0.1,0,0x55,', '"bms","frame",0.2,0,,', "# note", "",
            '"bms","data",0.3,0,,', '"bms","data",later,0,0x55,', '"bms","data",nan,0,0x55,',
            '"bms"', '"bms","data",0.4,0,999,', '"' + "x" * 140_000, '"bms","data",0.5,?,0xAA,',
        ]  # fmt: skip
        reader, chunks = read(("exported today\n" + LOGIC_2 + "\n".join(rows)).encode())
        assert [(c.t, c.data) for c in chunks] == [(0.1, b"\x55"), (0.5, b"\xaa")]
        assert reader.bad_lines == 7


class PieceStream:
    """Gives what is left in pieces of its own size, as a pipe does, whatever is asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.asked_after_end = 0
        self._ended = False

    def read1(self, size: int) -> bytes | None:
        self.asked_after_end += self._ended
        piece = next(self._pieces, None)
        self._ended = piece is None
        assert piece is None or len(piece) <= size
        return piece

    read = read1


def stream_of(pieces: Iterator[bytes]) -> BinaryIO:
    return cast("BinaryIO", PieceStream(pieces))


class TestStreams:
    def test_an_empty_recording_has_no_format_and_no_chunks(self) -> None:
        reader, chunks = read(b"")
        assert (reader.format, chunks, reader.bytes_read) == (None, [], 0)

    def test_a_live_pipe_is_understood_from_its_first_line(self) -> None:
        given_out = 0

        def pipe() -> Iterator[bytes]:
            nonlocal given_out
            for n in itertools.count():
                given_out += 1
                yield f"({n}.0) bms 55AA\n".encode()

        chunks = iter(read_capture(stream_of(pipe())))
        assert [next(chunks).t for _ in range(3)] == [0.0, 1.0, 2.0]
        assert given_out == 3

    def test_a_stream_that_has_ended_is_not_asked_again(self) -> None:
        stream = PieceStream(iter([b"55", b"aa"]))
        assert [c.data for c in read_capture(cast("BinaryIO", stream))] == [b"\x55\xaa"]
        assert stream.asked_after_end == 0

    def test_a_stream_without_read1_is_read_too(self) -> None:
        class Plain:
            read = io.BytesIO(b"(1.0) bms 55\n").read

        reader = read_capture(cast("BinaryIO", Plain()))
        assert list(reader) == [Chunk(1.0, "bms", b"\x55")]

    @pytest.mark.parametrize(
        "content",
        [
            b"\xef\xbb\xbf55aa0322011010b9ff\r\n5aa50020225a0063ff",
            "55aa0322011010b9ff\r\n5aa50020225a0063ff\r\n".encode("utf-16"),
            b"(1.0) bms 55aa0322011010b9ff\n(2.0) bms 5aa50020225a0063ff",
            b'{"hex": "55aa0322011010b9ff"}\n{"hex": "5aa50020225a0063ff"}',
            KNOCK + STATUS,
        ],
        ids=["hex", "UTF-16", "text", "JSON", "raw"],
    )
    def test_one_byte_at_a_time_reads_the_same(self, content: bytes) -> None:
        reader = read_capture(stream_of(content[n : n + 1] for n in range(len(content))))
        assert b"".join(chunk.data for chunk in reader) == KNOCK + STATUS
        assert reader.bad_lines == 0

    @given(st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode)))
    def test_no_content_raises(self, content: bytes) -> None:
        reader, chunks = read(content)
        assert reader.bytes_read == len(content)
        assert (reader.format is None) == (not content)
        assert chunks or reader.format is not CaptureFormat.RAW

    @given(
        st.sampled_from(
            ["(1.0) bms 55AA\n", '{"hex": "55AA"}\n', LOGIC_1 + "0.1,0x55,,\n", "55AA03\n"]
        ),
        st.lists(
            st.one_of(
                st.text(alphabet="(){}[]\",.:#x0159afAF \t\r\n\0\\'-+eE", max_size=40).map(
                    str.encode
                ),
                st.binary(max_size=40),
            ),
            max_size=10,
        ),
    )
    def test_damage_after_a_good_line_neither_raises_nor_hides_it(
        self, good: str, damage: list[bytes]
    ) -> None:
        _, chunks = read(good.encode() + b"\n".join(damage))
        assert chunks[0].data[0] == 0x55

    def test_more_names_than_wires_is_damage(self) -> None:
        lines = "".join(f"({n}.0) wire{n} 55\n" for n in range(100))
        reader, chunks = read((lines + "(200.0) wire5 aa\n").encode())
        assert len({chunk.line for chunk in chunks}) == 16
        assert chunks[-1] == Chunk(200.0, "wire5", b"\xaa")
        assert reader.bad_lines == 84


MIB = 1 << 20


class Endless:
    """A stream of one pattern, so many MiB long, made as it is read."""

    def __init__(self, start: bytes, pattern: bytes, mib: int) -> None:
        self._start = start
        self._pattern = pattern * (8192 // len(pattern))
        self._left = mib * MIB // len(self._pattern)

    def read1(self, size: int) -> bytes:
        if self._start:
            piece, self._start = self._start[:size], self._start[size:]
            return piece
        self._left -= 1
        return self._pattern[:size] if self._left >= 0 else b""

    read = read1


class TestHugeRecordings:
    @pytest.mark.parametrize(
        ("start", "pattern"),
        [
            (b"", b"\x55"),
            (b"", b"55"),
            (b"0x", b"55"),
            (b"", b"0x55,"),
            (b"", b"\\x55"),
            (b"55 # ", b"55"),
            (b"", b"\0"),
            (b"55aa\n", b"\0"),
            (b"(1.0) bms 55\n(2.0) bms ", b"55"),
            (b'{"hex": "55"}\n{"hex": "', b"55"),
            (LOGIC_1.encode() + b'0.1,0x55,,\n"', b"5"),
        ],
        ids=[
            "raw 0x55", "hex line", "0x once", "0x each", "escapes", "comment", "NUL",
            "NUL after hex", "text line", "JSON line", "CSV cell",
        ],
    )  # fmt: skip
    def test_memory_does_not_grow_with_one_endless_line(self, start: bytes, pattern: bytes) -> None:
        def peak(mib: int) -> tuple[int, int]:
            reader = read_capture(cast("BinaryIO", Endless(start, pattern, mib)))
            tracemalloc.start()
            largest = max((len(chunk.data) for chunk in reader), default=0)
            memory = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return largest, memory

        small_chunk, small_peak = peak(1)
        large_chunk, large_peak = peak(8)
        assert large_chunk == small_chunk
        assert large_peak < small_peak + 65536

    @pytest.mark.parametrize(
        ("start", "pattern", "value"),
        [
            (b"", b"55", b"\x55"),
            (b" ", b"55", b"\x55"),
            (b"0x", b"55", b"\x55"),
            (b"", b"55 ", b"\x55"),
            (b"", b"\\x55", b"\x55"),
            (b"", b"0x550xAA", b"\x55\xaa"),
            (b"", b"5,aa ", b"\x05\xaa"),
        ],
    )
    def test_an_endless_hex_line_is_cut_only_between_bytes(
        self, start: bytes, pattern: bytes, value: bytes
    ) -> None:
        content = start + pattern * (MIB // len(pattern))
        reader, chunks = read(content)
        assert len(chunks) > 1
        assert b"".join(chunk.data for chunk in chunks) == value * (MIB // len(pattern))
        assert reader.bad_lines == 0

    @pytest.mark.parametrize(
        "spoil",
        [lambda n: b"# " + b"55" * n, lambda n: b"(2.0) bms " + b"5" * n],
        ids=["comment", "chunk"],
    )
    def test_the_line_after_one_too_long_is_read(self, spoil: Callable[[int], bytes]) -> None:
        reader, chunks = read(b"(1.0) bms 55\n" + spoil(MIB) + b"\n(3.0) bms aa\n")
        assert [chunk.t for chunk in chunks] == [1.0, 3.0]
        assert reader.bad_lines == 1


def test_a_recording_says_in_its_first_line_what_it_is() -> None:
    def remark(text: bytes) -> str:
        return read_capture(io.BytesIO(text)).remark

    line = b"(1.000000) bms 55AA03220110100000\n"
    assert remark(b"# simulated by packtap, no real scooter: ride\n" + line).startswith("simulated")
    assert remark(b"#\xff\n" + line) == "\N{REPLACEMENT CHARACTER}"
    assert remark(line + b"# later\n") == ""
    assert remark(b"") == ""
