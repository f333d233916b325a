"""`watch`, `diagnose` and `doctor` on an 80x24 terminal without colour, and through a pipe."""

import codecs
import errno
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.cells import cell_len

from packtap.clock import boot_ms
from web_data import now_document, raised, write_now

SCENARIOS = Path(__file__).parents[1] / "scenarios"
IMBALANCED = str(SCENARIOS / "visit_006.log.gz")
COMMAND = (sys.executable, "-m", "packtap")
DUMB = {"TERM": "dumb"}
NO_COLOUR = {"TERM": "xterm-256color", "NO_COLOR": "1"}
#: Sequences that choose a colour: 30-49, 90-107, 38;5;n.
COLOUR = re.compile(r"\x1b\[[0-9;]*(?<![0-9])(?:3[0-9]|4[0-9]|9[0-7]|10[0-7])[0-9;]*m")
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def now_file(tmp_path: Path) -> Iterator[Path]:
    """What an agent writes once a second, a fault raised."""
    path, stop = tmp_path / "now.json", threading.Event()

    def write() -> None:
        while True:
            events = [raised(severity="critical", cell=4)]
            write_now(path, now_document(boot_s=boot_ms() / 1000, events=events))
            if stop.wait(0.3):
                return

    thread = threading.Thread(target=write)
    thread.start()
    while not path.exists():
        time.sleep(0.01)
    yield path
    stop.set()
    thread.join()


class Terminal:
    """A command on a terminal of 80 columns and 24 lines."""

    def __init__(self, process: "subprocess.Popen[bytes]", master: int) -> None:
        self.process = process
        self._master = master
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.text = ""

    def read_until(self, is_there: Callable[[str], bool], seconds: float = 90) -> None:
        """Read until something is there, or the command has ended."""
        deadline = time.monotonic() + seconds
        while not is_there(self.text) and time.monotonic() < deadline:
            if not select.select([self._master], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(self._master, 65536)
            except OSError as error:
                assert error.errno == errno.EIO  # the command has ended
                return
            self.text += self._decoder.decode(piece)

    @property
    def lines(self) -> list[str]:
        """What stands there, line by line, without sequences."""
        drawn_over = re.sub(r"\x1b\[[0-9]*[AK]|\r(?!\n)", "\n", self.text)
        return SEQUENCE.sub("", drawn_over).replace("\r", "").split("\n")


@contextmanager
def on_a_terminal(environment: dict[str, str], *words: str) -> Iterator[Terminal]:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = subprocess.Popen(
        [*COMMAND, *words], stdin=slave, stdout=slave, stderr=slave,
        env=kept | {"LANG": "C.UTF-8"} | environment,
    )  # fmt: skip
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)


def assert_fits(terminal: Terminal) -> None:
    assert [line for line in terminal.lines if cell_len(line) > 80] == []
    assert COLOUR.search(terminal.text) is None
    assert "Traceback" not in terminal.text


def test_watch_draws_over_itself_without_colour(now_file: Path) -> None:
    with on_a_terminal(NO_COLOUR, "watch", str(now_file)) as terminal:
        terminal.read_until(lambda text: text.count("median 3651 mV") >= 3)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(60) == 1
    assert_fits(terminal)
    assert terminal.text.count("\x1b[") > 10  # it moves up instead of scrolling
    assert "3500 mV  -151 CRITICAL" in " ".join(terminal.lines)


def test_watch_on_a_dumb_terminal_prints_screen_after_screen(now_file: Path) -> None:
    with on_a_terminal(DUMB, "watch", str(now_file)) as terminal:
        terminal.read_until(lambda text: text.count("median 3651 mV") >= 2)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(60) == 1
    assert_fits(terminal)
    assert "\x1b" not in terminal.text
    assert terminal.text.count("pack 3JDEA24M1D0815") >= 2


@pytest.mark.parametrize("environment", [DUMB, NO_COLOUR], ids=["dumb", "NO_COLOR"])
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("diagnose", IMBALANCED), 1, "Damaged cells"),
        (("doctor", "/dev/ttyNOT0"), 1, "Next:"),
    ],
    ids=["diagnose", "doctor"],
)
def test_a_command_fits_a_terminal_without_colour(
    environment: dict[str, str], words: tuple[str, ...], code: int, said: str
) -> None:
    with on_a_terminal(environment, *words) as terminal:
        terminal.read_until(lambda _: False)
        assert terminal.process.wait(60) == code
    assert_fits(terminal)
    assert said in terminal.text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
@pytest.mark.parametrize("command", ["watch", "diagnose", "doctor"])
def test_a_pipe_of_any_encoding_gets_plain_lines(
    command: str, encoding: str, now_file: Path
) -> None:
    words = {
        "watch": ("watch", str(now_file)),
        "diagnose": ("diagnose", IMBALANCED),
        "doctor": ("doctor", "/dev/ttyNOT0"),
    }[command]
    done = subprocess.run(
        [*COMMAND, *words], capture_output=True, check=False, timeout=120,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )  # fmt: skip
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert done.returncode == 1, err
    assert "Traceback" not in err
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if cell_len(line) > 80] == []
    if command == "watch":
        assert "3500 mV  -151 CRITICAL" in out
        assert ("\u2588" if encoding == "utf-8" else "#") in out


def test_watch_streams_json_through_a_pipe(now_file: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "watch", "--json", str(now_file)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1
    assert len({re.search(r'"boot_s": ([0-9.]+)', line).group(1) for line in lines}) == 3  # type: ignore[union-attr]
