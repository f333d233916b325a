"""The log of a service: one event a line, on standard error, floor 3.

In the journal a line begins with its priority (`<4>`, sd-daemon(3)), which the journal takes off,
so that `journalctl -p warning` works; it adds time and process itself. On a terminal the line
begins with the level in words.

A line stays one line whatever is in it: what a scooter, a device or a broker said is escaped, and
an error that nobody expected is told with the places it passed through.

Nothing fills the journal: the same line again within a minute is counted, and so is what one place
of the program says beyond `_MOST` different lines a minute. What was counted is told at its end.
"""

import atexit
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, TextIO

__all__ = ["LineFormatter", "LineHandler", "is_journal", "start_log"]

_SPAN_S: Final = 60.0
_MOST: Final = 30
#: Lines remembered at a time; beyond these, lines of one place are told apart no longer.
_REMEMBERED: Final = 2000
_LONGEST: Final = 2000  #: characters of a line

#: logging's level -> syslog's priority.
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG: Final = 7


def start_log(*, verbose: bool) -> None:
    """Send the log to standard error, also what nobody caught."""
    stream = sys.stderr
    handler = LineHandler(stream, LineFormatter(in_journal=is_journal(stream, os.environ)))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    atexit.register(handler.tell_counted)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )


def is_journal(stream: TextIO | None, environment: Mapping[str, str]) -> bool:
    """Return whether a stream ends in the journal: systemd.exec(5), `$JOURNAL_STREAM`."""
    if stream is None:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class LineFormatter(logging.Formatter):
    """Makes one line of a record.

    Args:
        in_journal: begin with the priority instead of the level in words.
    """

    #: How an error begins in the journal.
    error_head: Final = "<3>"

    def __init__(self, *, in_journal: bool) -> None:
        super().__init__()
        self._in_journal = in_journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        words = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            words = f"{words}: {_error(record.exc_info[1], record.exc_info[2])}"
        return self.line(record.levelno, record.name, words)

    def line(self, level: int, name: str, words: str) -> str:
        """Return the line that says these words."""
        head = f"<{_priority(level)}>" if self._in_journal else f"{logging.getLevelName(level)} "
        return f"{head}{name}: {_one_line(words)}"


@dataclass(slots=True)
class _Span:
    """A minute that begins with a line."""

    until: float
    level: int
    name: str
    words: str
    lines: int = 1
    counted: int = 0


class LineHandler(logging.Handler):
    """Writes lines, and counts those that say nothing new.

    Args:
        stream: where they go.
        formatter: makes the lines.
        now: monotonic seconds.
    """

    def __init__(
        self,
        stream: TextIO | None,
        formatter: LineFormatter,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._lines = formatter
        self._stream = stream
        self._now = now
        #: Of each line, and of each place of the program (logger, level and pattern).
        self._said: dict[tuple[str, int, str], _Span] = {}
        self._places: dict[tuple[str, int, str], _Span] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it."""
        try:
            line = self._lines.format(record)
            now = self._now()
            self._end_spans(now)
            if self._is_new(record, line, now):
                self._write(line)
            else:
                self._tell_later()
        except Exception:  # noqa: BLE001 - a log that cannot be written must not end the work
            return

    def tell_counted(self) -> None:
        """Tell what was counted so far."""
        self.acquire()
        try:
            self._end_spans(float("inf"))
        finally:
            self.release()

    def _is_new(self, record: logging.LogRecord, line: str, now: float) -> bool:
        key = (record.name, record.levelno, line)
        said = self._said.get(key)
        if said is not None:
            said.counted += 1
            return False
        pattern = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        place = (record.name, record.levelno, pattern)
        if len(self._places) >= _REMEMBERED:
            place = (record.name, record.levelno, "")
        span = self._places.get(place)
        if span is None:
            span = self._places[place] = _Span(now + _SPAN_S, *place[1::-1], "", lines=0)
        if span.lines >= _MOST:
            span.counted += 1
            span.words = record.getMessage()
            return False
        span.lines += 1
        if len(self._said) < _REMEMBERED:
            words = record.getMessage()
            self._said[key] = _Span(now + _SPAN_S, record.levelno, record.name, words)
        return True

    def _end_spans(self, now: float) -> None:
        for spans, told in ((self._said, "repeated {} times"), (self._places, "and {} more alike")):
            for key in [key for key, span in spans.items() if now >= span.until]:
                span = spans.pop(key)
                if span.counted:
                    words = f"{span.words[:_LONGEST]} ({told.format(span.counted)})"
                    self._write(self._lines.line(span.level, span.name, words))

    def _tell_later(self) -> None:
        """Tell what was counted even if nothing else is ever said."""
        if self._timer is None:
            self._timer = threading.Timer(_SPAN_S, self._tell_now)
            self._timer.daemon = True
            self._timer.start()

    def _tell_now(self) -> None:
        self.acquire()
        try:
            self._timer = None
            self._end_spans(self._now())
            if any(span.counted for span in (*self._said.values(), *self._places.values())):
                self._tell_later()
        finally:
            self.release()

    def _write(self, line: str) -> None:
        if self._stream is not None:
            self._stream.write(f"{line}\n")
            self._stream.flush()


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG)


def _one_line(words: str) -> str:
    """Escape what would end the line or command a terminal; cut what is too long."""
    if len(words) > _LONGEST:
        words = f"{words[:_LONGEST]} ..."
    if words.isprintable():
        return words
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in words
    )


def _error(error: BaseException, trace: TracebackType | None) -> str:
    """Return an error nobody expected, with the places it passed through, innermost first."""
    places = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
        for frame in reversed(traceback.extract_tb(trace))
    ]
    told = f"{type(error).__name__}: {error}"
    return f"{told} [{' < '.join(places)}]" if places else told


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, (KeyboardInterrupt, SystemExit)):
        return
    logging.getLogger("packtap").critical(
        "an error that nobody expected", exc_info=(kind, error, trace)
    )
