"""`packtap decode`: every form in, frames and values out, one clear line when it cannot."""

import gzip
import io
import json
import os
import pty
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ninebot_bms.capture import Chunk, format_chunk
from packtap.cli import EXIT_FINE, EXIT_SILENT, EXIT_USAGE, main
from packtap.errors import CaptureError
from packtap.inputs import open_capture
from recorded import RECORDED_FRAMES, VECTORS, Vector, frame_vectors, recording

GOLDEN = Path(__file__).parent.parent / "golden"
KNOCK = bytes.fromhex("55aa0322011010b9ff")
STATUS = bytes.fromhex("55aa0e2501300100710e2f0003000a0e2b2b7bfe")

Output = pytest.CaptureFixture[str]


class Stdin:
    """Standard input with chosen bytes behind it."""

    def __init__(self, buffer: Any, *, is_terminal: bool = False) -> None:
        self.buffer = buffer
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def rows(capsys: Output, *words: str, code: int = EXIT_FINE) -> list[dict[str, Any]]:
    """Run `decode --json` and return its objects."""
    assert main(["decode", "--json", *words]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def complaint(capsys: Output, *words: str) -> str:
    """Run a `decode` that must fail and return the one line it says."""
    assert main(["decode", *words]) == EXIT_USAGE
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


class TestGolden:
    def test_a_person_reads_lines_of_words_and_units(self, capsys: Output) -> None:
        assert main(["decode", str(GOLDEN / "decode_tap.log")]) == EXIT_FINE
        output = capsys.readouterr()
        assert output.out == (GOLDEN / "decode_tap.txt").read_text(encoding="utf-8")
        assert output.err == (
            "17 frames (10 xiaomi, 7 ninebot); 3 rejected (1 CHECKSUM, 1 HEADER, 1 LENGTH); "
            "1169 bytes read as capture text\n"
        )

    def test_a_program_reads_one_object_a_frame(self, capsys: Output) -> None:
        assert main(["decode", "--json", str(GOLDEN / "decode_tap.log")]) == EXIT_FINE
        assert capsys.readouterr().out == (GOLDEN / "decode_tap.jsonl").read_text(encoding="utf-8")

    def test_what_cannot_be_a_value_is_called_unknown(self, capsys: Output, tmp_path: Path) -> None:
        path = tmp_path / "odd.txt"
        # A serial that would command the terminal, no manufacture date, absent sensors, a
        # charging pack, cell 2 unread, a status without flags, a time beyond the calendar.
        chunks = [
            reply(0x10, b"\x1b[31mBMS-00001"),
            reply(0x20, b"\x00\x00"),
            reply(0x33, bytes.fromhex("9cff 100e 00ff")),
            reply(0x40, bytes.fromhex("a00f ffff a10f")),
            reply(0x30, b"\x00\x00"),
        ]
        path.write_text("".join(format_chunk(Chunk(1e15, "bms", c)) + "\n" for c in chunks))
        assert main(["decode", str(path)]) == EXIT_FINE
        shown = [line.split("read reply ")[1] for line in capsys.readouterr().out.splitlines()]
        assert shown == [
            "0x10: serial unknown",
            "0x20: manufacture date unknown",
            "0x33: current -1 A charging, voltage 36 V, temperature 1 unknown, "
            "temperature 2 unknown",
            "0x40: cell voltages 4000 ? 4001 mV",
            "0x30: status 0x0000 (no flags)",
        ]

    def test_a_long_payload_is_cut_in_words_but_not_in_json(
        self, capsys: Output, tmp_path: Path
    ) -> None:
        path = tmp_path / "page.bin"
        body = bytes([128, 0x20, 0x22, 0x08, 0x00]) + bytes(range(128))
        path.write_bytes(b"\x5a\xa5" + body + summed(body))
        assert main(["decode", str(path)]) == EXIT_FINE
        line = capsys.readouterr().out.rstrip()
        assert line.endswith(bytes(range(32)).hex(" ") + " ...")
        assert "ESC -> BMS" in line
        assert rows(capsys, str(path))[0]["payload"] == bytes(range(128)).hex()

    def test_a_checked_reply_that_is_no_block_has_no_values(
        self, capsys: Output, tmp_path: Path
    ) -> None:
        path = tmp_path / "odd.bin"
        path.write_bytes(KNOCK + reply(0x31, b"\x01\x02\x03"))
        assert [row["values"] for row in rows(capsys, str(path))] == [{}, {}]


def summed(body: bytes) -> bytes:
    return (sum(body) & 0xFFFF ^ 0xFFFF).to_bytes(2, "little")


def reply(index: int, payload: bytes) -> bytes:
    """Build a Xiaomi read reply of a pack."""
    body = bytes([len(payload) + 2, 0x25, 0x01, index]) + payload
    return b"\x55\xaa" + body + summed(body)


#: Names that the sources of the vectors use -> (row, from the source's value to the row's).
NAMES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "serial": ("serial", str),
    "fw": ("firmware", str),
    "design_mah": ("design_capacity_mah", int),
    "full_mah": ("full_capacity_mah", int),
    "full_cycles": ("cycle_count", int),
    "charge_count": ("charge_count", int),
    "mfg_date": ("manufacture_date", str),
    "status": ("status", int),
    "remaining_mah": ("remaining_capacity_mah", int),
    "percent": ("soc_pct", int),
    "current_a": ("current_a", float),
    "voltage_v": ("voltage_v", float),
    "temp1_c": ("temperature_1_c", int),
    "temp2_c": ("temperature_2_c", int),
    "balance_map": (
        "balancing_cells",
        lambda bits: [cell for cell in range(1, 17) if bits >> (cell - 1) & 1],
    ),
    "health": ("health_pct", int),
    "cell_1_v": ("cell_voltages_mv", lambda volts: round(1000 * volts)),
}
PACKS = (0x11, 0x12, 0x22, 0x23)


class TestGenuine:
    @pytest.fixture
    def decoded(self, capsys: Output) -> list[tuple[Vector, dict[str, Any]]]:
        frames = [
            row for row in rows(capsys, str(VECTORS / "frames.jsonl")) if row["kind"] == "frame"
        ]
        vectors = [vector for vector in frame_vectors() if vector.checksum_ok]
        assert [row["hex"] for row in frames] == [vector.raw.hex() for vector in vectors]
        return list(zip(vectors, frames, strict=True))

    def test_published_frames_are_framed_as_their_sources_say(
        self, decoded: list[tuple[Vector, dict[str, Any]]]
    ) -> None:
        for vector, row in decoded:
            assert row["dialect"] == vector.dialect
            assert (row["command"], row["index"]) == (vector.number("cmd"), vector.number("arg"))
            ends: tuple[int | None, int | None]
            if vector.dialect == "ninebot":
                ends = (vector.number("src"), vector.number("dst"))
            else:
                address = vector.number("addr")
                is_reply = 0x23 <= address <= 0x25
                ends = (address - 3, None) if is_reply else (None, address)
            assert (row["source"], row["target"]) == ends

    def test_values_agree_with_what_the_sources_state(
        self, decoded: list[tuple[Vector, dict[str, Any]]]
    ) -> None:
        compared = 0
        for vector, row in decoded:
            if row["source"] not in PACKS:
                continue
            for name, stated in vector.decoded.items():
                to, convert = NAMES[name]
                value = row["values"][to]
                assert (value[0] if name == "cell_1_v" else value) == convert(stated)
                compared += 1
        assert compared == 24

    def test_garbage_frames_are_rejected(self, capsys: Output) -> None:
        for vector in frame_vectors():
            if not vector.checksum_ok:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(sys, "stdin", Stdin(io.BytesIO(vector.raw)))
                    found = rows(capsys, "-", code=EXIT_SILENT)
                assert {row["kind"] for row in found} == {"reject"}
                assert vector.raw.startswith(bytes.fromhex(found[0]["hex"]))

    @pytest.mark.parametrize("name", RECORDED_FRAMES)
    def test_recordings_hold_the_frames_of_their_readme(self, name: str, capsys: Output) -> None:
        found = rows(capsys, str(VECTORS / "recordings" / f"{name}.log.gz"))
        frames = [row for row in found if row["kind"] == "frame"]
        assert len(frames) == RECORDED_FRAMES[name]
        times = {(t, line) for t, line, _ in recording(name)}
        assert {(row["t"], row["line"]) for row in found} <= times

    @pytest.mark.parametrize("name", RECORDED_FRAMES)
    def test_every_recorded_byte_is_in_a_frame_or_a_reject(self, name: str, capsys: Output) -> None:
        found = rows(capsys, str(VECTORS / "recordings" / f"{name}.log.gz"))
        for line in {line for _, line, _ in recording(name)}:
            told = "".join(row["hex"] for row in found if row["line"] == line)
            carried = b"".join(data for _, name_, data in recording(name) if name_ == line)
            assert told == carried.hex()

    @pytest.mark.parametrize("form", ["hex", "json", "saleae", "raw"])
    def test_one_recording_reads_the_same_in_every_form(
        self, form: str, capsys: Output, tmp_path: Path
    ) -> None:
        chunks = [chunk for chunk in recording("m365_esc_bms") if chunk[1] == "bms"]
        texts = {
            "hex": "\n".join(data.hex(" ") for _, _, data in chunks),
            "json": "\n".join(
                json.dumps({"hex": data.hex(), "t_start": t, "line": line})
                for t, line, data in chunks
            ),
            "saleae": "name,type,start_time,duration,data,error\n"
            + "\n".join(
                f'"{line}","data",{t},0,0x{byte:02X},' for t, line, data in chunks for byte in data
            ),
            "raw": b"".join(data for _, _, data in chunks).decode("latin-1"),
        }
        path = tmp_path / "recording"
        path.write_bytes(texts[form].encode("latin-1"))
        frames = [row for row in rows(capsys, str(path)) if row["kind"] == "frame"]
        original = [
            row
            for row in rows(capsys, str(VECTORS / "recordings" / "m365_esc_bms.log.gz"))
            if row["kind"] == "frame" and row["line"] == "bms"
        ]
        if form in {"hex", "raw"}:
            original = [row | {"t": None, "line": None} for row in original]
        assert frames == original

    def test_the_output_can_be_decoded_again(self, capsys: Output, tmp_path: Path) -> None:
        path = tmp_path / "again.jsonl"
        golden = GOLDEN / "decode_tap.jsonl"
        path.write_bytes(golden.read_bytes())
        first = [json.loads(line) for line in golden.read_text().splitlines()]
        frames = [row for row in first if row["kind"] == "frame"]
        assert [row for row in rows(capsys, str(path)) if row["kind"] == "frame"] == frames


class TestInputs:
    def test_gzip_is_known_by_its_bytes_and_not_by_its_name(
        self, capsys: Output, tmp_path: Path
    ) -> None:
        path = tmp_path / "recording.log"
        path.write_bytes(gzip.compress(b"(1.0) bms " + KNOCK.hex().encode()))
        assert rows(capsys, str(path))[0]["hex"] == KNOCK.hex()

    @pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
    def test_standard_input_is_read_packed_or_not(
        self, pack: Callable[[bytes], bytes], capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", Stdin(io.BytesIO(pack(KNOCK + STATUS))))
        assert [row["hex"] for row in rows(capsys, "-")] == [KNOCK.hex(), STATUS.hex()]

    def test_a_live_pipe_is_decoded_while_it_stays_open(self) -> None:
        command = [sys.executable, "-m", "packtap", "decode", "--json", "-"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for data in (KNOCK, STATUS):
                process.stdin.write(data)
                process.stdin.flush()
                assert json.loads(process.stdout.readline())["hex"] == data.hex()
            process.stdin.close()
            assert process.wait(timeout=60) == EXIT_FINE

    def test_someone_who_types_is_told_how(
        self, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        typed = Stdin(io.BytesIO(KNOCK.hex().encode() + b"\n"), is_terminal=True)
        monkeypatch.setattr(sys, "stdin", typed)
        assert main(["decode", "-"]) == EXIT_FINE
        assert "Ctrl-D ends" in capsys.readouterr().err

    @pytest.mark.parametrize("cut", [1, 9, 200])
    def test_gzip_that_breaks_off_gives_what_it_had_and_one_line(
        self, cut: int, capsys: Output, tmp_path: Path
    ) -> None:
        packed = (VECTORS / "recordings" / "m365_esc_bms.log.gz").read_bytes()
        path = tmp_path / "cut.log.gz"
        path.write_bytes(packed[:-cut])
        assert main(["decode", "--json", str(path)]) == EXIT_USAGE
        output = capsys.readouterr()
        found = [json.loads(line) for line in output.out.splitlines()]
        assert len([row for row in found if row["kind"] == "frame"]) > 100
        assert output.err.count("\n") == 1
        assert "breaks off" in output.err
        assert "copy it again" in output.err

    @pytest.mark.parametrize(
        "spoiled", [b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"\x1f\x8bnot gzip at all"]
    )
    def test_what_only_begins_like_gzip_is_one_line(
        self, spoiled: bytes, capsys: Output, tmp_path: Path
    ) -> None:
        path = tmp_path / "bad.gz"
        path.write_bytes(spoiled)
        assert "gzip data" in complaint(capsys, str(path))

    def test_gzip_damaged_inside_is_one_line(self, capsys: Output, tmp_path: Path) -> None:
        packed = bytearray((VECTORS / "recordings" / "m365_dash_app.log.gz").read_bytes())
        middle = len(packed) // 2
        packed[middle : middle + 64] = b"\xff" * 64
        path = tmp_path / "bad.gz"
        path.write_bytes(packed)
        assert "is damaged" in complaint(capsys, str(path))

    def test_an_absent_file_is_one_line(self, capsys: Output, tmp_path: Path) -> None:
        assert "no such file; check the path" in complaint(capsys, str(tmp_path / "nowhere.log"))

    def test_a_directory_is_one_line(self, capsys: Output, tmp_path: Path) -> None:
        assert f"{tmp_path} is a directory" in complaint(capsys, str(tmp_path))

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (PermissionError(13, "Permission denied"), "may not be read by this user"),
            (OSError(5, "Input/output error"), "cannot be read: Input/output error"),
        ],
        ids=["forbidden", "broken disk"],
    )
    def test_a_file_that_cannot_be_opened_is_one_line(
        self, error: OSError, words: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_path: Path, _mode: str) -> None:
            raise error

        monkeypatch.setattr(Path, "open", refuse)
        assert words in complaint(capsys, "recording.log")

    def test_a_disk_that_fails_midway_gives_what_it_had_and_one_line(
        self, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Failing(io.RawIOBase):
            pieces: Iterator[bytes] = iter([KNOCK, STATUS])

            def read(self, size: int = -1) -> bytes:
                piece = next(self.pieces, None)
                if piece is None:
                    raise OSError(5, "Input/output error")
                return piece

        monkeypatch.setattr(sys, "stdin", Stdin(Failing()))
        assert main(["decode", "--json", "-"]) == EXIT_USAGE
        output = capsys.readouterr()
        assert len(output.out.splitlines()) == 2
        assert output.err == "packtap: standard input cannot be read: Input/output error\n"

    def test_a_name_that_cannot_be_one_is_one_line(self, capsys: Output) -> None:
        assert "is no name of a file" in complaint(capsys, "a\0b")

    def test_closed_standard_input_is_one_line(
        self, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        assert "standard input is closed" in complaint(capsys, "-")

    def test_a_serial_port_is_sent_to_the_command_that_reads_ports(self, capsys: Output) -> None:
        leader, follower = pty.openpty()
        try:
            assert "is a serial port" in complaint(capsys, os.ttyname(follower))
        finally:
            os.close(leader)
            os.close(follower)

    def test_no_file_named_is_a_matter_of_usage(self, capsys: Output) -> None:
        with pytest.raises(SystemExit) as exit_:
            main(["decode"])
        assert exit_.value.code == EXIT_USAGE
        assert "FILE" in capsys.readouterr().err

    @pytest.mark.parametrize("columns", [40, 300])
    def test_progress_is_told_on_a_terminal_and_taken_away_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
    ) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setenv("COLUMNS", str(columns))
        path = tmp_path / "long.bin"
        path.write_bytes(b"U" * 3_000_000)
        times = iter(n * 0.2 for n in range(10_000))
        terminal = Terminal()
        with open_capture(str(path), progress=terminal, now=lambda: next(times)) as capture:
            assert sum(len(chunk.data) for chunk in capture) == 3_000_000
        told = terminal.getvalue().split("\r")
        name, _, figures = told[1].partition(": ")
        assert re.fullmatch(r"0\.\d of 2\.9 MiB read", figures)
        assert str(path).endswith(name)
        assert name.endswith("long.bin")
        assert max(map(len, told)) < columns
        assert (name == str(path)) == (columns == 300)
        assert told[-2].strip() == ""
        assert told[-1] == ""

    def test_progress_is_silent_where_nobody_looks(self, tmp_path: Path) -> None:
        path = tmp_path / "long.bin"
        path.write_bytes(b"U" * 300_000)
        log = io.StringIO()
        times = iter(range(10_000))
        with open_capture(str(path), progress=log, now=lambda: float(next(times))) as capture:
            assert sum(len(chunk.data) for chunk in capture) == 300_000
        assert log.getvalue() == ""

    def test_an_error_of_the_reader_s_user_is_not_hidden(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.gz"
        path.write_bytes(gzip.compress(KNOCK)[:-4])
        with pytest.raises(KeyError), open_capture(str(path)):
            raise KeyError
        with pytest.raises(CaptureError, match="breaks off"), open_capture(str(path)) as capture:
            assert [chunk.data for chunk in capture] == [KNOCK]


class TestNothingFound:
    def test_an_empty_file_says_so(self, capsys: Output, tmp_path: Path) -> None:
        path = tmp_path / "empty.log"
        path.touch()
        assert main(["decode", str(path)]) == EXIT_SILENT
        assert capsys.readouterr() == ("", "packtap: the input is empty: nothing to decode\n")

    def test_an_empty_gzip_says_so(self, capsys: Output, tmp_path: Path) -> None:
        path = tmp_path / "empty.log.gz"
        path.write_bytes(gzip.compress(b""))
        assert main(["decode", str(path)]) == EXIT_SILENT
        assert "is empty" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (bytes(range(256)) * 8, "2048 bytes read as raw bytes"),
            (b"no recording at all\n", "20 bytes read as raw bytes"),
            (b"(1.0) bms 00\n(2.0) oops", "as capture text; 1 lines not understood"),
        ],
        ids=["garbage", "prose", "line noise"],
    )
    def test_input_without_a_frame_says_what_it_was_taken_for(
        self, content: bytes, words: str, capsys: Output, tmp_path: Path
    ) -> None:
        path = tmp_path / "input"
        path.write_bytes(content)
        assert main(["decode", str(path)]) == EXIT_SILENT
        err = capsys.readouterr().err
        assert err.startswith("packtap: no frame found: 0 frames; ")
        assert words in err
        assert err.count("\n") == 1

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(max_size=300))
    def test_no_bytes_give_a_traceback(self, capsys: Output, content: bytes) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", Stdin(io.BytesIO(content)))
            code = main(["decode", "-"])
        err = capsys.readouterr().err
        assert code in {EXIT_FINE, EXIT_SILENT, EXIT_USAGE}
        assert err.count("\n") == 1


class Endless(io.RawIOBase):
    """A pattern, so many MiB of it, made as it is read."""

    def __init__(self, pattern: bytes, mib: int) -> None:
        self._piece = pattern * (65536 // len(pattern))
        self._left = mib << 20

    def read(self, size: int = -1) -> bytes:
        piece = self._piece[: min(size, self._left)]
        self._left -= len(piece)
        return piece


class TestHugeInput:
    @pytest.mark.parametrize(("pattern", "digits"), [(b"\x55", 1), (b"55", 2)], ids=["raw", "hex"])
    def test_memory_stays_the_same_for_any_length(
        self, pattern: bytes, digits: int, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def peak(mib: int) -> int:
            monkeypatch.setattr(sys, "stdin", Stdin(Endless(pattern, mib)))
            tracemalloc.start()
            found = rows(capsys, "-", code=EXIT_SILENT)
            memory = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert found == [
                {
                    "kind": "reject",
                    "t": None,
                    "line": None,
                    "reason": "HEADER",
                    "hex": "55" * 256,
                    "size": (mib << 20) // digits,
                }
            ]
            return memory

        peak(1)  # what is made once only
        small, large = peak(8), peak(32)
        assert large < small + 65536


class TestImports:
    def test_decode_needs_nothing_that_only_posix_has(self) -> None:
        script = (
            "import sys\n"
            "for name in ('fcntl', 'termios', 'pty', 'tty', 'resource', 'grp', 'pwd'):\n"
            "    sys.modules[name] = None\n"
            "from packtap.cli import main\n"
            f"sys.exit(main(['decode', {str(GOLDEN / 'decode_tap.log')!r}]))\n"
        )
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
        assert (result.returncode, result.stdout) == (
            EXIT_FINE,
            (GOLDEN / "decode_tap.txt").read_bytes(),
        )
