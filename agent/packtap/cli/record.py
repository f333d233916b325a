"""`packtap record`: what the wires say, into a capture file. Listens only."""

import argparse
import errno
import json
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ninebot_bms import Chunk, Observer
from packtap import __version__
from packtap.cli import EXIT_FINE, EXIT_SILENT, EXIT_USAGE
from packtap.cli.arguments import baud_rate, duration
from packtap.errors import CaptureError, LinkError
from packtap.link import Inbox, LineReader, LinkDown, LinkUp, Received
from packtap.recorder import CaptureWriter

_FLUSH_S: Final = 5.0
_REDRAW_S: Final = 1.0
_PATIENCE_S: Final = 0.25
_MB: Final = 1_000_000
#: Ports that are named without a line are these wires, in this order.
_NAMES: Final = ("bms", "esc", "dash")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "where",
        nargs="+",
        metavar="PORT... CAPTURE",
        help="serial ports (the first is line bms, the second esc, the third dash), then the file "
        "to write, packed if its name ends in .gz; nothing is overwritten",
    )
    parser.add_argument(
        "--line",
        action="append",
        default=[],
        type=_named_port,
        metavar="NAME=PORT",
        help="a port with the name of its wire; may be given again",
    )
    parser.add_argument("--baud", type=baud_rate, default=115200, help="of all, default 115200")
    parser.add_argument("--seconds", type=duration, metavar="S", help="stop after this long")
    parser.add_argument(
        "--max-mb", type=duration, default=100.0, metavar="MB", help="of all parts, default 100"
    )
    parser.add_argument(
        "--files",
        type=_parts,
        default=10,
        metavar="N",
        help="parts kept, default 10: beyond them the oldest goes",
    )
    parser.add_argument(
        "--trust-clock",
        action="store_true",
        help="write this computer's time even if nothing says that it is right",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one object")


def _named_port(text: str) -> tuple[str, str]:
    name, sign, port = text.partition("=")
    if not (sign and port and name):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=PORT, like esc=/dev/ttyUSB1")
    try:
        Chunk(None, name, b"\0")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return name, port


def _parts(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 1000):
        raise argparse.ArgumentTypeError(f"{text!r}: a number of files, 1 to 1000")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Record until interrupted; exit 3 if no byte came."""
    from packtap.cli.agent import stop_on_signals

    *ports, capture = arguments.where
    lines = dict(arguments.line)
    free = [name for name in _NAMES if name not in lines]
    if len(ports) > len(free):
        _complain("more ports than wires have names: give each with --line NAME=PORT")
        return EXIT_USAGE
    lines.update(zip(free, ports, strict=False))
    if not lines:
        _complain(f"name a port before the file: packtap record /dev/ttyUSB0 {capture}")
        return EXIT_USAGE
    if len(set(lines.values())) < len(lines):
        _complain("a port is named twice: each wire needs a port of its own")
        return EXIT_USAGE
    stop = stop_on_signals()
    try:
        recording = _Recording(Path(capture), lines, arguments)
        recording.run(stop, arguments.seconds)
    except OSError as error:
        raise CaptureError(_write_trouble(Path(capture), error)) from error
    recording.tell(as_json=arguments.json)
    return EXIT_FINE if recording.received else EXIT_SILENT


def _write_trouble(path: Path, error: OSError) -> str:
    match error:
        case FileExistsError():
            return f"{error.filename or path} is there already and stays: choose another name"
        case FileNotFoundError():
            return f"{path.parent} is no folder: make it first"
        case _ if error.errno == errno.ENOSPC:
            return f"{path}: the disk is full; what was recorded before stays"
        case _:
            return f"{path} cannot be written: {error.strerror or error}"


class _Recording:
    """Lines on one side, files on the other."""

    def __init__(self, path: Path, lines: dict[str, str], arguments: argparse.Namespace) -> None:
        self._inbox = Inbox()
        self._time_of, clock_words = _times(trust=arguments.trust_clock)
        self._readers = [
            LineReader(name, port, arguments.baud, self._inbox, clock=_boot_s)
            for name, port in lines.items()
        ]
        self._down: dict[str, str] = dict.fromkeys(lines, "not opened yet")
        self._observer = Observer()
        self._writer = CaptureWriter(
            path,
            part_bytes=max(1, round(arguments.max_mb * _MB / arguments.files)),
            parts=arguments.files,
            remark=f"recorded by packtap {__version__}; times: {clock_words}",
        )
        self.received = 0
        self._clock_words = clock_words

    def run(self, stop: threading.Event, seconds: float | None) -> None:
        """Record until `stop` is set or the time is over.

        Raises:
            LinkError: none of the ports can be opened at the start.
            OSError: the file cannot be written.
        """
        start = time.monotonic()
        flushed = shown = start
        for reader in self._readers:
            reader.start()
        try:
            while not stop.is_set():
                now = time.monotonic()
                if seconds is not None and now - start >= seconds:
                    break
                self._take_one()
                if now - flushed >= _FLUSH_S:
                    flushed = now
                    self._writer.flush()
                if now - shown >= _REDRAW_S:
                    shown = now
                    self._say(now - start)
        except LinkError:
            self._writer.close()
            self._writer.parts[0].unlink()  # nothing but its first line
            raise
        finally:
            for reader in self._readers:
                reader.stop()
            self._writer.close()
            if sys.stderr.isatty():
                print(file=sys.stderr)

    def tell(self, *, as_json: bool) -> None:
        """Print what was recorded."""
        summary: dict[str, object] = {
            "files": [str(path) for path in self._writer.parts],
            "bytes": self.received,
            "frames": self._frames,
            "unread": sum(self._inbox.dropped.values()),
            "times": self._clock_words,
        }
        if as_json:
            print(json.dumps(summary))
            return
        if not self.received:
            _complain("no byte came: packtap doctor says why")
        names = ", ".join(str(path) for path in self._writer.parts)
        print(f"{self.received} bytes, {self._frames} frames in {names}")
        print(f"Times are {self._clock_words}.")
        if summary["unread"]:
            _complain(f"{summary['unread']} bytes came faster than they could be written")

    def _take_one(self) -> None:
        try:
            item = self._inbox.get(timeout=_PATIENCE_S)
        except queue.Empty:
            return
        match item:
            case Received():
                self.received += len(item.data)
                self._observer.receive_data(item.data, item.line, item.t)
                self._writer.write(Chunk(self._time_of(item.t), item.line, item.data))
            case LinkUp():
                self._down.pop(item.line, None)
            case LinkDown():
                is_first = self._down.get(item.line) == "not opened yet"
                self._down[item.line] = item.reason
                if is_first and not self.received and len(self._down) == len(self._readers):
                    raise LinkError(item.reason)
                _complain(f"{item.reason}; it is tried again")

    @property
    def _frames(self) -> int:
        return sum(line.frames for line in self._observer.counts.values())

    def _say(self, passed_s: float) -> None:
        if sys.stderr.isatty():
            words = f"{passed_s:.0f} s: {self.received} bytes, {self._frames} frames"
            print(f"\r{words}; Ctrl-C ends it", end="", file=sys.stderr, flush=True)


def _boot_s() -> float:
    from packtap.clock import boot_ms

    return boot_ms() / 1000


def _times(*, trust: bool) -> tuple[Callable[[float], float], str]:
    """Return how boot time becomes the recording's time, and what that is in words.

    The clock is looked at once: a step of it while recording would look like a fault of the line.
    """
    from packtap.clock import Clock

    clock = Clock("trusted" if trust else "auto")
    offset_ms = clock.utc_offset_ms()
    start = _boot_s()
    if offset_ms is None:
        words = "seconds since the recording began (the clock is not known to be right)"
        return lambda t: t - start, words
    return lambda t: t + offset_ms / 1000, "UTC"


def _complain(words: str) -> None:
    print(f"packtap: {words}", file=sys.stderr)
