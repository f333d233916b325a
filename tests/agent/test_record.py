"""`packtap record`: what the wires say, in files that are bounded and can be read."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.test_agent import LOW, NAME, SOUND, cells, reply
from ninebot_bms import Chunk, Observer
from packtap.cli import main
from packtap.errors import CaptureError
from packtap.inputs import open_capture
from packtap.recorder import CaptureWriter, part_path
from packtap.replaying import replay
from rides import fresh_tap
from serial_ends import Pty, wait_until

Printed = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording ends at a signal; the tests keep theirs."""
    monkeypatch.setattr("packtap.cli.agent.signal.signal", lambda *_: None)


def chunk(n: int) -> Chunk:
    noise = n * 2654435761 % 2**32
    return Chunk(float(n), "bms", noise.to_bytes(4, "little") * 16)


def read(path: Path) -> list[Chunk]:
    with open_capture(str(path)) as capture:
        return list(capture)


@pytest.mark.parametrize("name", ["a.log", "a.log.gz", "a"])
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    writer = CaptureWriter(tmp_path / name, part_bytes=10**6, parts=2, remark="of a\ntest")
    told = [chunk(n) for n in range(50)]
    for each in told:
        writer.write(each)
    writer.close()
    with open_capture(str(tmp_path / name)) as capture:
        assert capture.remark == "of a test"
        assert list(capture) == told


@pytest.mark.parametrize("suffix", [".log", ".log.gz"])
def test_a_full_part_is_followed_by_the_next_and_the_oldest_goes(
    tmp_path: Path, suffix: str
) -> None:
    writer = CaptureWriter(tmp_path / f"a{suffix}", part_bytes=2000, parts=3, remark="r")
    for n in range(400):
        writer.write(chunk(n))
        writer.flush()
    writer.close()
    kept = list(writer.parts)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert len(kept) == 3
    assert all(path.stat().st_size < 2500 for path in kept)
    last = [each for path in kept for each in read(path)]
    assert last == [chunk(n) for n in range(400 - len(last), 400)]


def test_parts_are_numbered_before_the_suffix() -> None:
    assert part_path(Path("x/ride.log.gz"), 1) == Path("x/ride.log.gz")
    assert part_path(Path("x/ride.log.gz"), 2) == Path("x/ride-2.log.gz")
    assert part_path(Path("ride.2026"), 3) == Path("ride.2026-3")


def test_what_was_flushed_outlives_the_recorder(tmp_path: Path) -> None:
    path = tmp_path / "a.log.gz"
    writer = CaptureWriter(path, part_bytes=10**6, parts=1, remark="r")
    for n in range(20):
        writer.write(chunk(n))
    writer.flush()
    copy = tmp_path / "killed.log.gz"
    copy.write_bytes(path.read_bytes())
    writer.close()
    chunks: list[Chunk] = []
    with pytest.raises(CaptureError, match="breaks off"), open_capture(str(copy)) as capture:
        chunks += capture
    assert chunks == [chunk(n) for n in range(20)]


def record(path: Path, pty: Pty, *more: str, say: Callable[[], object]) -> int:
    """Run the command while something is said, until that is enough."""
    code: list[int] = []
    stop = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("packtap.cli.agent.stop_on_signals", lambda: stop)
        thread = threading.Thread(
            target=lambda: code.append(main(["record", pty.device, str(path), *more]))
        )
        thread.start()
        try:
            wait_until(say)
        finally:
            stop.set()
            thread.join(30)
    return code[0]


def test_a_recorded_line_replays_to_the_events_that_it_showed(
    tmp_path: Path, capsys: Printed
) -> None:
    pty = Pty()
    path = tmp_path / "ride.log.gz"
    said: list[bytes] = []

    def say() -> bool:
        state = reply(
            0x30, 12, status=1, voltage_v=36.0, current_a=5 + len(said) % 3 / 10, soc_pct=70,
            temperature_1_c=20, temperature_2_c=20,
        )  # fmt: skip
        millivolts = SOUND if len(said) < 100 else LOW
        for frame in (NAME, state, cells(*millivolts)):
            pty.write(frame)
            said.append(frame)
        threading.Event().wait(0.02)
        return len(said) > 600

    assert record(path, pty, "--json", say=say) == 0
    assert not pty.was_told  # it listens
    pty.unplug()
    summary = json.loads(capsys.readouterr().out)
    recorded = b"".join(each.data for each in read(path))
    assert recorded in b"".join(said)
    assert summary["bytes"] == len(recorded) > 5000
    assert summary["files"] == [str(path)]
    with open_capture(str(path)) as capture:
        digests = list(replay(capture, fresh_tap(), Observer()))
    events = [event for digest in digests for event in digest.events]
    assert [(event.kind, event.cell) for event in events] == [("cell_undervoltage", 7)]


def test_a_silent_line_is_said_and_exits_3(tmp_path: Path, capsys: Printed) -> None:
    pty = Pty()
    assert main(["record", pty.device, str(tmp_path / "a.log"), "--seconds", "0.5"]) == 3
    pty.unplug()
    assert "packtap doctor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["{file}"], "name a port"),
        (["a", "b", "c", "d", "{file}"], "more ports than wires"),
        (["a", "a", "{file}"], "named twice"),
        (["--line", "esc", "{file}"], "NAME=PORT"),
        (["--line", "b b=a", "{file}"], "line name"),
        (["--files", "0", "a", "{file}"], "number of files"),
        (["/dev/ttyNOTHING", "{file}"], "/dev/ttyNOTHING"),
        (["/dev/ttyNOTHING", "{folder}/no/file.log"], "no folder"),
        (["/dev/ttyNOTHING", "{there}"], "is there already"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: Printed, words: list[str], complaint: str
) -> None:
    (tmp_path / "there.log").write_text("keep me")
    names = {"file": tmp_path / "a.log", "folder": tmp_path, "there": tmp_path / "there.log"}
    try:
        code = main(["record", *(word.format(**names) for word in words)])
    except SystemExit as ended:  # argparse
        code = ended.code if isinstance(ended.code, int) else -1
    assert code == 2
    assert complaint in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["there.log"]
    assert (tmp_path / "there.log").read_text() == "keep me"


def test_a_full_disk_ends_it_in_words(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_writer: CaptureWriter, _chunk: Chunk) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CaptureWriter, "write", full)
    pty, said = Pty(), []

    def say() -> bool:
        pty.write(NAME)
        said.append(NAME)
        threading.Event().wait(0.05)
        return len(said) > 40

    assert record(tmp_path / "a.log", pty, say=say) == 2
    pty.unplug()
    assert "the disk is full" in capsys.readouterr().err
