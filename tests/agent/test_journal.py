"""The log of a service: one event a line, with its priority, and never a flood."""

import io
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from packtap.journal import LineFormatter, LineHandler, is_journal


class Log:
    """A logger of its own that writes into memory, with a clock."""

    def __init__(self, *, in_journal: bool = False) -> None:
        self.now = 0.0
        self._out = io.StringIO()
        formatter = LineFormatter(in_journal=in_journal)
        self.handler = LineHandler(self._out, formatter, lambda: self.now)
        self.log = logging.Logger("packtap.test")
        self.log.addHandler(self.handler)

    def lines(self) -> list[str]:
        return self._out.getvalue().splitlines()


def test_line_has_its_level_in_words_on_a_terminal_and_its_priority_in_the_journal() -> None:
    for in_journal, heads in (
        (False, ["DEBUG ", "INFO ", "WARNING ", "ERROR ", "CRITICAL "]),
        (True, ["<7>", "<6>", "<4>", "<3>", "<2>"]),
    ):
        it = Log(in_journal=in_journal)
        for level in (10, 20, 30, 40, 50):
            it.log.log(level, "%d of %s", level, "five")
        words = [f"packtap.test: {level} of five" for level in (10, 20, 30, 40, 50)]
        assert it.lines() == [head + each for head, each in zip(heads, words, strict=True)]


def test_same_line_again_within_a_minute_is_counted() -> None:
    it = Log()
    for _ in range(38):
        it.log.warning("%s cannot be opened", "/dev/ttyUSB0")
        it.now += 1
    it.now = 61
    it.log.info("something else")
    assert it.lines() == [
        "WARNING packtap.test: /dev/ttyUSB0 cannot be opened",
        "WARNING packtap.test: /dev/ttyUSB0 cannot be opened (repeated 37 times)",
        "INFO packtap.test: something else",
    ]


def test_line_that_comes_again_after_a_minute_is_written_again() -> None:
    it = Log()
    it.log.info("connected")
    it.now = 61
    it.log.info("connected")
    assert it.lines() == ["INFO packtap.test: connected"] * 2


def test_one_place_says_thirty_different_lines_a_minute_and_counts_the_others() -> None:
    it = Log()
    for number in range(1000):
        it.log.warning("refused a message on %s", f"topic/{number}")
    it.log.info("another place is heard")
    it.now = 61
    it.log.info("later")
    lines = it.lines()
    assert lines[:30] == [
        f"WARNING packtap.test: refused a message on topic/{number}" for number in range(30)
    ]
    assert lines[30] == "INFO packtap.test: another place is heard"
    assert lines[31] == (
        "WARNING packtap.test: refused a message on topic/999 (and 970 more alike)"
    )
    assert len(lines) == 33


def test_what_was_counted_is_told_at_the_end() -> None:
    it = Log()
    for _ in range(5):
        it.log.error("the disk is full")
    it.handler.tell_counted()
    assert it.lines()[-1] == "ERROR packtap.test: the disk is full (repeated 4 times)"


def test_what_was_counted_is_told_even_if_nothing_else_is_ever_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("packtap.journal._SPAN_S", 0.05)
    out, told = io.StringIO(), threading.Event()

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            if "repeated" in text:
                told.set()
            return out.write(text)

    log = logging.Logger("packtap.test")
    log.addHandler(LineHandler(Out(), LineFormatter(in_journal=False)))
    while not told.is_set() and out.tell() < 100_000:
        log.info("again")
        log.info("again")
        told.wait(0.2)
    assert told.is_set()


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("two\nlines", "two\\nlines"),
        ("<3>forged\r\n<2>twice", "<3>forged\\r\\n<2>twice"),
        ("\x1b[2J clears a terminal", "\\x1b[2J clears a terminal"),
        ("line\u2028separator", "line\\u2028separator"),
        ("Größe 3 µA", "Größe 3 µA"),
    ],
)
def test_line_stays_one_line_whatever_is_in_it(said: str, written: str) -> None:
    it = Log(in_journal=True)
    it.log.warning("%s", said)
    assert it.lines() == [f"<4>packtap.test: {written}"]


def test_long_line_is_cut() -> None:
    it = Log()
    it.log.info("x" * 100_000)
    assert len(it.lines()[0]) < 2100


def test_error_that_nobody_expected_is_one_line_with_the_places_it_passed_through() -> None:
    def inner() -> None:
        raise ValueError("several\nlines")

    it = Log()
    try:
        inner()
    except ValueError:
        it.log.exception("stumbled")
    (line,) = it.lines()
    assert line.startswith("ERROR packtap.test: stumbled: ValueError: several\\nlines [test_jour")
    assert "inner < test_journal.py" in line


def test_wrong_arguments_of_a_log_call_end_nothing() -> None:
    it = Log()
    it.log.warning("%d %d", *[1])
    it.log.warning("goes on")
    assert it.lines() == ["WARNING packtap.test: goes on"]


def test_memory_is_bounded_whatever_is_said() -> None:
    it = Log()
    for number in range(20_000):
        it.log.info(f"a pattern of its own {number}")
    assert len(it.handler._said) <= 2000
    assert len(it.handler._places) <= 2001


def test_journal_is_known_by_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        status = os.fstat(file.fileno())
        stream = f"{status.st_dev}:{status.st_ino}"
        assert is_journal(file, {"JOURNAL_STREAM": stream})
        assert not is_journal(file, {"JOURNAL_STREAM": "1:2"})
        assert not is_journal(file, {})
    assert not is_journal(None, {"JOURNAL_STREAM": "1:2"})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})


_CRASH = """
import threading
from packtap.journal import start_log
start_log(verbose=False)
def stumble(): raise RuntimeError("in a\\nthread")
thread = threading.Thread(target=stumble); thread.start(); thread.join()
raise RuntimeError("in the\\nmain thread")
"""


def test_what_nobody_caught_is_one_line_too_from_any_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CRASH], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert "CRITICAL packtap: an error that nobody expected: RuntimeError: in a\\nthread" in first
    assert "RuntimeError: in the\\nmain thread" in second


def test_wrong_configuration_of_a_service_is_an_error_in_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "err").open("w") as err:
        status = os.fstat(err.fileno())
        subprocess.run(
            [sys.executable, "-m", "packtap", "agent", "--config", str(tmp_path / "none.toml")],
            stderr=err,
            env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
            check=False,
            timeout=60,
        )
    (line,) = (tmp_path / "err").read_text().splitlines()
    assert line.startswith("<3>packtap: ")
