"""Opens recordings, floor 3: files and standard input, packed or not.

`ninebot_bms.capture` reads a stream that it is handed; this module finds the stream, unpacks gzip
(known by its first bytes, whatever the name), turns every failure into one `CaptureError` line
that says what to do, and tells a waiting person how far it is. Memory stays constant.

A recording that breaks off or cannot be read on gives everything up to there: its chunks end, and
the error is raised when the `with` block is left.
"""

import gzip
import io
import os
import shutil
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, TextIO, cast

from ninebot_bms import CaptureReader, read_capture
from packtap.errors import CaptureError

__all__ = ["STANDARD_INPUT", "open_capture"]

#: The name that means standard input.
STANDARD_INPUT: Final = "-"

_GZIP: Final = b"\x1f\x8b"
_BUFFER: Final = 65536
#: A person starts to wonder after this time, and reads no faster than this afterwards.
_PATIENCE_S: Final = 1.0
_REDRAW_S: Final = 0.25
_MIB: Final = 1 << 20
#: Parts of a device's path that name a serial port or a terminal.
_PORTS: Final = ("tty", "cu.", "pts")


@contextmanager
def open_capture(
    name: str,
    *,
    progress: TextIO | None = None,
    now: Callable[[], float] = time.monotonic,
    witness: Callable[[bytes], object] | None = None,
) -> Iterator[CaptureReader]:
    """Open a recording and iterate over its chunks.

    Args:
        name: path of a file, or "-" for standard input.
        progress: where to say how far it is, if that is a terminal; None says nothing.
        now: monotonic seconds, for the progress.
        witness: is shown every byte of the file as it stands there (packed), for a hash of it.

    Raises:
        CaptureError: it cannot be opened; or, on leaving, it could not be read to its end.
    """
    label = "standard input" if name == STANDARD_INPUT else name
    with ExitStack() as opened:
        try:
            if name == STANDARD_INPUT:
                file = _standard_input()
            else:
                file = opened.enter_context(_open(name))
            meter = _Meter(progress, label, _size(file), now)
            opened.callback(meter.clear)
            beginning = file.read(len(_GZIP))
        except OSError as error:
            raise CaptureError(_complaint(label, error)) from error
        witness = witness or _look_away
        whole = _Rejoined(beginning, file, meter.advance, witness)
        rejoined = io.BufferedReader(whole, _BUFFER)
        stream: BinaryIO = rejoined
        if beginning == _GZIP:
            stream = cast("BinaryIO", opened.enter_context(gzip.GzipFile(fileobj=rejoined)))
        guarded = _Guarded(stream)
        yield read_capture(io.BufferedReader(guarded, _BUFFER))
        if witness is not _look_away:
            _read_on(rejoined)
        if guarded.failure is not None:
            raise CaptureError(_complaint(label, guarded.failure)) from guarded.failure


def _look_away(piece: bytes) -> None:
    del piece


def _read_on(stream: BinaryIO) -> None:
    """Let the witness see what the reader had no need for: bytes behind damaged gzip data."""
    with suppress(OSError):
        while stream.read(_BUFFER):
            pass


def _standard_input() -> BinaryIO:
    stream: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise CaptureError("standard input is closed: name a file instead of -")
    return stream


def _open(name: str) -> BinaryIO:
    try:
        path = Path(name)
        if path.is_char_device() and any(p.startswith(_PORTS) for p in path.resolve().parts):
            raise CaptureError(
                f"{name} is a serial port, not a recording: packtap agent listens to ports"
            )
        return path.open("rb")
    except ValueError as error:  # a NUL in the name
        raise CaptureError(f"{name!r} is no name of a file") from error


def _size(file: BinaryIO) -> int | None:
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None  # no file of the operating system stands behind it
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _complaint(label: str, error: OSError | EOFError | zlib.error) -> str:
    """Say what was seen and what to try, in one line."""
    match error:
        case EOFError():
            return (
                f"{label}: the gzip data breaks off before its end (cut while it was recorded or "
                "copied?): all before the break was read; copy it again to get the rest"
            )
        case gzip.BadGzipFile() | zlib.error():
            return (
                f"{label}: the gzip data is damaged ({error}): all before the damage was read; "
                "copy it again"
            )
        case FileNotFoundError():
            return f"{label}: no such file; check the path, or use - for standard input"
        case IsADirectoryError():
            return f"{label} is a directory; name one recording in it"
        case PermissionError():
            return f"{label} may not be read by this user; try chmod a+r, or copy it"
        case _:
            return f"{label} cannot be read: {error.strerror or error}"


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were already taken to look at."""

    def __init__(
        self,
        beginning: bytes,
        rest: BinaryIO,
        advance: Callable[[int], None],
        witness: Callable[[bytes], object],
    ) -> None:
        self._beginning = beginning
        self._read: Callable[[int], bytes | None] = getattr(rest, "read1", rest.read)
        self._advance = advance
        self._witness = witness

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        size = len(buffer)
        piece = self._beginning[:size] or self._read(size) or b""
        self._beginning = self._beginning[size:]
        buffer[: len(piece)] = piece
        self._advance(len(piece))
        self._witness(piece)
        return len(piece)


class _Guarded(io.RawIOBase):
    """A stream that ends where it fails, and remembers why."""

    def __init__(self, stream: BinaryIO) -> None:
        self._read: Callable[[int], bytes | None] = getattr(stream, "read1", stream.read)
        self.failure: OSError | EOFError | zlib.error | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            piece = self._read(len(buffer)) or b""
        except (OSError, EOFError, zlib.error) as error:
            self.failure = error
            return 0
        buffer[: len(piece)] = piece
        return len(piece)


class _Meter:
    """Says on a terminal how much of a long input has been read; silent elsewhere."""

    def __init__(
        self, out: TextIO | None, label: str, total: int | None, now: Callable[[], float]
    ) -> None:
        self._out = out if out is not None and out.isatty() else None
        self._label = label
        self._of = f" of {total / _MIB:.1f}" if total else ""
        self._now = now
        self._next = now() + _PATIENCE_S
        self._done = 0
        self._width = 0

    def advance(self, size: int) -> None:
        """Count bytes, and say so when it is time."""
        self._done += size
        if self._out is None or self._now() < self._next:
            return
        self._next = self._now() + _REDRAW_S
        figures = f": {self._done / _MIB:.1f}{self._of} MiB read"
        # A line that wraps cannot be taken away again. The end of a path says more than its begin.
        room = max(shutil.get_terminal_size().columns - 1 - len(figures), 8)
        text = self._label[-room:] + figures
        self._out.write("\r" + text.ljust(self._width))
        self._out.flush()
        self._width = len(text)

    def clear(self) -> None:
        """Take the text away again."""
        if self._out is not None and self._width:
            self._out.write("\r" + " " * self._width + "\r")
            self._out.flush()
