"""What one wire carried while it was listened to at one rate, counted, floor 4.

Pure: bytes and times come in, a `Heard` comes out. Everything that the verdict is drawn from is
here as a number, so that a person can be told what was seen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ninebot_bms import BusEvent, Dialect, Frame, Observer, Reason, Rejected, Seen
from ninebot_bms.frames import HEADERS
from ninebot_bms.pairing import asks_pack

__all__ = ["SHORTEST_FRAME", "Ear", "Heard"]

#: Fewer bytes than this are no frame of either dialect, but a glitch.
SHORTEST_FRAME: Final = 8
#: Bytes kept for a look at their pattern: 350 ms of a busy line.
_SAMPLE: Final = 4096
_IDENTITY: Final = 0x10


@dataclass(frozen=True, slots=True)
class Heard:
    """Counts of one wire at one rate.

    Attributes:
        line: name of the wire.
        baud: bits per second it was listened to with.
        seconds: for how long.
        size: bytes.
        dialects: frames by dialect.
        knocks: requests for a pack's serial number, which an ESC repeats until it is answered.
        polls: other requests to a pack.
        asked: requests by the pack that they are for.
        replies: frames of packs, by pack.
        others: frames that neither ask a pack nor come from one: the dashboard's.
        rejects: what was no frame, by reason.
        broken: rejects that begin like a frame and are none.
        sample: the first bytes.
    """

    line: str
    baud: int
    seconds: float = 0.0
    size: int = 0
    dialects: Mapping[Dialect, int] = field(default_factory=dict)
    knocks: int = 0
    polls: int = 0
    asked: Mapping[int, int] = field(default_factory=dict)
    replies: Mapping[int, int] = field(default_factory=dict)
    others: int = 0
    rejects: Mapping[Reason, int] = field(default_factory=dict)
    broken: int = 0
    sample: bytes = b""

    @property
    def frames(self) -> int:
        """Frames of all nodes."""
        return sum(self.dialects.values())

    @property
    def requests(self) -> int:
        """Requests to packs."""
        return self.knocks + self.polls

    @property
    def pack_frames(self) -> int:
        """Frames of all packs."""
        return sum(self.replies.values())

    @property
    def refused(self) -> int:
        """Runs of bytes that are no frame."""
        return sum(self.rejects.values())

    @property
    def has_traffic(self) -> bool:
        """Did more come than a glitch of switching on?"""
        return self.frames > 0 or self.size >= SHORTEST_FRAME


class Ear:
    """Counts what one wire carries.

    Args:
        line: name of the wire.
        baud: bits per second it is listened to with.
        since: when listening began, seconds.
    """

    def __init__(self, line: str, baud: int, since: float) -> None:
        self._line = line
        self._baud = baud
        self._since = since
        self._observer = Observer(lines=(line,))
        self._size = 0
        self._sample = bytearray()
        self._dialects: Counter[Dialect] = Counter()
        self._asked: Counter[int] = Counter()
        self._replies: Counter[int] = Counter()
        self._rejects: Counter[Reason] = Counter()
        self._knocks = self._polls = self._others = self._broken = 0

    def receive(self, data: bytes, now: float) -> None:
        """Take what one read returned, maybe nothing."""
        if data:
            self.note(data)
            self.take(self._observer.receive_data(data, self._line, now))
        else:
            self.take(self._observer.idle(now))

    def note(self, data: bytes) -> None:
        """Count bytes whose events come from elsewhere."""
        self._size += len(data)
        self._sample += data[: _SAMPLE - len(self._sample)]

    def take(self, events: Iterable[BusEvent]) -> None:
        """Count what happened on the wire."""
        for event in events:
            if isinstance(event, Seen):
                self._count(event.frame)
            elif isinstance(event, Rejected):
                self._rejects[event.reject.reason] += 1
                begins_well = event.reject.raw.startswith(tuple(HEADERS.values()))
                self._broken += begins_well and event.reject.size >= SHORTEST_FRAME

    def heard(self, now: float) -> Heard:
        """Return the counts so far."""
        return Heard(
            line=self._line,
            baud=self._baud,
            seconds=max(0.0, now - self._since),
            size=self._size,
            dialects=dict(self._dialects),
            knocks=self._knocks,
            polls=self._polls,
            asked=dict(self._asked),
            replies=dict(self._replies),
            others=self._others,
            rejects=dict(self._rejects),
            broken=self._broken,
            sample=bytes(self._sample),
        )

    def close(self, now: float) -> Heard:
        """End the listening: what waits for more is counted as refused."""
        self.take(self._observer.close())
        return self.heard(now)

    def _count(self, frame: Frame) -> None:
        self._dialects[frame.dialect] += 1
        if frame.is_from_bms and frame.source is not None:
            self._replies[frame.source] += 1
        elif asks_pack(frame) and frame.target is not None:
            self._asked[frame.target] += 1
            is_knock = frame.is_read_request and frame.index == _IDENTITY
            self._knocks += is_knock
            self._polls += not is_knock
        else:
            self._others += 1
