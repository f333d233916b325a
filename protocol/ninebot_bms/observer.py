"""Listens to a bus: bytes of its lines in, what happened out, floor 0.

Receive only. A bus has one line (both directions on it, or only one of them) or two (ESC to BMS and
BMS to ESC are separate wires of a full-duplex bus, and overlap in time), each with its own framer.
Requests and replies are matched across the lines; `ninebot_bms.pairing` says how.

Promises: bytes never raise; memory is bounded; every frame gives one `Seen`, and one `Reply` more
if it carries registers of a pack; the events of one line come in wire order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ninebot_bms.errors import Reason
from ninebot_bms.framer import Framer, Reject
from ninebot_bms.frames import Frame
from ninebot_bms.pairing import (
    BusEvent,
    Pairing,
    Rejected,
    Reply,
    Seen,
    Unanswered,
    asks_pack,
)

__all__ = ["BusEvent", "LineCounts", "Observer", "Rejected", "Reply", "Seen", "Unanswered"]

#: A line is quiet after this time. A gap of 5 ms inside a frame is abnormal, but a reader that
#: collects for 20 ms behind an adapter that collects for 16 ms shows gaps that are none.
_QUIET_S: Final = 0.05
_MAX_LINES: Final = 16  # a recording that names more lines than this is no bus


@dataclass(frozen=True, slots=True)
class LineCounts:
    """What one line has carried so far. Requests and replies: those of packs' registers."""

    frames: int  #: all nodes' frames
    requests: int
    replies: int
    matched: int  #: replies whose request was seen, on any line
    unanswered: int  #: requests without a reply, excused ones included
    excused: int  #: unanswered requests whose silence is normal
    rejects: Mapping[Reason, int]


class _Line:
    """One wire: its framer, when it last carried anything, its counts."""

    __slots__ = (
        "excused",
        "framer",
        "is_released",
        "last_t",
        "matched",
        "replies",
        "requests",
        "unanswered",
    )

    def __init__(self) -> None:
        self.framer = Framer()
        self.last_t: float | None = None
        self.is_released = False  # quiet since then, and its framer knows
        self.requests = 0
        self.replies = 0
        self.matched = 0
        self.unanswered = 0
        self.excused = 0

    def has_fallen_quiet(self, t: float | None) -> bool:
        """Has nothing come for a while, for the first time? Without times nobody knows."""
        if t is None or self.last_t is None or self.is_released:
            return False
        return t - self.last_t >= _QUIET_S

    def counts(self) -> LineCounts:
        return LineCounts(
            frames=self.framer.frames,
            requests=self.requests,
            replies=self.replies,
            matched=self.matched,
            unanswered=self.unanswered,
            excused=self.excused,
            rejects=MappingProxyType(dict(self.framer.counts)),
        )


class Observer:
    """Turns what the lines of one bus carry into bus events.

    Args:
        reply_timeout_s: a request without a reply for this long is unanswered. Replies come up to
            35 ms late; reading two lines adds up to `skew_s`.
        skew_s: how much later than the reply its request may be read, on another line. Of two
            lines a reply without a request is held back for that long.
        lines: names of the lines, if they are known beforehand; others are added as they turn up,
            so that the first reply of all may miss its request.
    """

    def __init__(
        self,
        *,
        reply_timeout_s: float = 0.15,
        skew_s: float = 0.06,
        lines: Iterable[str | None] = (),
    ) -> None:
        self._pairing = Pairing(reply_timeout_s, skew_s)
        self._lines: dict[str | None, _Line] = {name: _Line() for name in lines}

    @property
    def counts(self) -> Mapping[str | None, LineCounts]:
        """What each line has carried so far, by its name. A copy."""
        return {name: line.counts() for name, line in self._lines.items()}

    def receive_data(
        self, data: bytes | bytearray | memoryview, line: str | None, t: float | None
    ) -> list[BusEvent]:
        """Take the next bytes of one line.

        Args:
            data: any number of bytes, cut anywhere.
            line: the wire's name; more than 16 names share one framer.
            t: seconds, when the read ended; None if unknown.
        """
        happened = self.idle(t)
        state = self._line(line)
        if data and t is not None:
            state.last_t = t
            state.is_released = False
        happened += self._take(state.framer.receive_data(data), line, t)
        return happened

    def idle(self, t: float | None) -> list[BusEvent]:
        """Let time pass: give up on replies, and on false headers of lines that are quiet.

        What is due is told in the order in which it fell due, so that frequent calls and rare ones
        tell the same story.

        Args:
            t: seconds, in the time base of the data; None if unknown, then nothing happens.
        """
        happened: list[BusEvent] = []
        due = [
            (line.last_t, name, line)
            for name, line in self._lines.items()
            if line.last_t is not None and line.has_fallen_quiet(t)
        ]
        for last_t, name, line in sorted(due, key=lambda each: each[0]):
            happened += self._note(self._pairing.idle(last_t + _QUIET_S))
            happened += self._take(line.framer.idle(), name, last_t)
            line.is_released = True
        happened += self._note(self._pairing.idle(t))
        return happened

    def close(self) -> list[BusEvent]:
        """End the input: what waits is told now. Another recording can follow."""
        happened: list[BusEvent] = []
        for name, line in self._lines.items():
            happened += self._take(line.framer.close(), name, line.last_t)
            line.last_t = None
            line.is_released = False
        happened += self._note(self._pairing.close())
        return happened

    def _line(self, name: str | None) -> _Line:
        line = self._lines.get(name)
        if line is None:
            if len(self._lines) >= _MAX_LINES:
                return next(reversed(self._lines.values()))
            line = self._lines[name] = _Line()
        return line

    def _take(
        self, found: list[Frame | Reject], line: str | None, t: float | None
    ) -> list[BusEvent]:
        happened: list[BusEvent] = []
        for item in found:
            if isinstance(item, Reject):
                happened.append(Rejected(t, line, item))
                continue
            happened.append(Seen(t, line, item))
            if asks_pack(item):
                self._line(line).requests += 1
            hold = len(self._lines) > 1
            happened += self._note(self._pairing.receive_frame(item, line, t, hold=hold))
        return happened

    def _note(self, happened: list[Reply | Unanswered]) -> list[Reply | Unanswered]:
        for event in happened:
            line = self._line(event.line)
            if isinstance(event, Reply):
                line.replies += 1
                line.matched += event.request is not None
            else:
                line.unanswered += 1
                line.excused += event.excused
        return happened
