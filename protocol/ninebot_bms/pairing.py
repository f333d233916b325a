"""What happened on the bus, and which reply answers which request, floor 0.

A reply names the register it begins with, never the request it answers, and on two wires it can be
read before its request. The rules:

- Request and reply belong together when dialect, pack, command family, first register and (in
  Ninebot) the asking node are the same. A reply of the size that was asked for goes first.
- Of several such requests the newest one sent before the reply is answered: a knock is repeated
  every 15 ms until the pack wakes. An older one stays open, for a second reply.
- A request without a reply within the time-out is unanswered. Replies 5..35 ms late are normal
  (15 of 49 on a real M365), so the time-out is generous.
- The ES2 asks twice: an empty 0x5A and 0.09 ms later 0x01. When the first answer is late, the
  second request gets none: 23 of 85 in a healthy scooter. Such silence is *excused*.

Time is passed in, in seconds of any origin; it may be None throughout, then order decides. All that
waits is bounded. Source: captures of a real M365 and ES2 (ninebot-docs).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ninebot_bms.framer import Reject
from ninebot_bms.frames import BMS_ADDRESSES, Dialect, Frame
from ninebot_bms.registers import Block, block_of

__all__ = [
    "BYTE_S",
    "BusEvent",
    "Pairing",
    "Rejected",
    "Reply",
    "Seen",
    "Unanswered",
    "asks_pack",
    "reply_key",
    "request_key",
]

#: Time of one byte on the wire: 10 bits at 115200 baud.
BYTE_S: Final = 10 / 115200

_READ: Final = 0x01
_HEARTBEAT: Final = 0x5A
_OLD_HEARTBEAT: Final = 0x55  # Z10, and the wiki: asks like a read, answered with its own command
_KEPT: Final = 64  # requests and replies that may wait; a knocking ESC fills ten
_PAIR_S: Final = 0.05  # the ES2's second request follows 0.96 ms later; one coalesced read apart
_STEP_BACK_S: Final = 1.0  # time running back further than this is another clock, not skew


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame on the bus, whoever sent it."""

    t: float | None  #: seconds, when the read that completed it ended
    line: str | None  #: the wire it was read from
    frame: Frame


@dataclass(frozen=True, slots=True)
class Rejected:
    """Bytes that are no frame."""

    t: float | None  #: seconds, when they were refused
    line: str | None
    reject: Reject


@dataclass(frozen=True, slots=True)
class Reply:
    """Registers that a pack reported. Its frame was `Seen` before."""

    t: float | None  #: seconds, when the read that completed it ended
    line: str | None
    frame: Frame
    block: Block
    request: Frame | None = None  #: what it answers; None if that was not seen
    #: Seconds from the end of the request to the start of the reply, as exact as the times of the
    #: reads; None without both times, or if the reads came in the other order.
    delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request to a pack that got no reply in time."""

    t: float | None  #: seconds, when the request was sent, hence before the events around it
    line: str | None
    request: Frame
    #: The silence is normal: the ES2's second request of a pair whose first was answered, or a
    #: bench read of a register that this pack has never answered while it answers others.
    excused: bool = False


BusEvent = Seen | Rejected | Reply | Unanswered

#: Dialect, command family, pack, first register (None: not told), asking node (None: not told).
_Key = tuple[Dialect, int, int | None, int | None, int | None]


def request_key(frame: Frame) -> _Key | None:
    """Return what the reply to this request has as its `reply_key`; None: it asks no pack."""
    if frame.target not in BMS_ADDRESSES or frame.is_from_bms:
        return None
    if frame.is_read_request:
        return (frame.dialect, _READ, frame.target, frame.index, frame.source)
    if frame.is_heartbeat_request:
        return (frame.dialect, _HEARTBEAT, frame.target, None, frame.source)
    if frame.command == _OLD_HEARTBEAT:
        return (frame.dialect, _OLD_HEARTBEAT, frame.target, frame.index, frame.source)
    return None


def reply_key(frame: Frame) -> _Key:
    """Return what the request that this reply answers has as its `request_key`."""
    if frame.command == _HEARTBEAT:
        return (frame.dialect, _HEARTBEAT, frame.source, None, frame.target)
    family = _OLD_HEARTBEAT if frame.command == _OLD_HEARTBEAT else _READ
    return (frame.dialect, family, frame.source, frame.index, frame.target)


def asks_pack(frame: Frame) -> bool:
    """Is it a request for registers that a pack should answer?"""
    return request_key(frame) is not None


@dataclass(slots=True, eq=False)
class _Request:
    t: float | None
    line: str | None
    frame: Frame
    key: _Key
    first: "_Request | None"  # the 0x5A that this 0x01 followed at once
    is_answered: bool = False

    def fits(self, reply: Frame) -> bool:
        """Was exactly that many bytes asked for? An empty heartbeat does not say."""
        return self.frame.payload in (b"", bytes((len(reply.payload),)))


@dataclass(slots=True, eq=False)
class _Held:
    t: float
    line: str | None
    frame: Frame
    key: _Key
    block: Block

    def pair(self, request: _Request | None) -> Reply:
        if request is None:
            return Reply(self.t, self.line, self.frame, self.block)
        delay_s = _delay_s(request.t, self.t, self.frame)
        return Reply(self.t, self.line, self.frame, self.block, request.frame, delay_s)


def _delay_s(asked: float | None, answered: float | None, reply: Frame) -> float | None:
    if asked is None or answered is None or answered < asked:
        return None
    return max(0.0, answered - asked - len(reply.raw) * BYTE_S)


class Pairing:
    """Matches the requests and replies of one bus, across its lines.

    Args:
        reply_timeout_s: how long a request waits for its reply, measured between the ends of both.
        skew_s: how much later than its reply a request may turn up.
    """

    __slots__ = ("_heartbeat", "_held", "_now", "_open", "_reply_timeout_s", "_skew_s")

    def __init__(self, reply_timeout_s: float, skew_s: float) -> None:
        self._reply_timeout_s = reply_timeout_s
        self._skew_s = skew_s
        self._open: list[_Request] = []  # in the order of arrival
        self._held: list[_Held] = []  # replies whose request has not turned up
        self._heartbeat: _Request | None = None  # the latest 0x5A
        self._now: float | None = None  # the latest time seen

    def receive_frame(
        self, frame: Frame, line: str | None, t: float | None, *, hold: bool = False
    ) -> list[Reply | Unanswered]:
        """Take a frame of any node.

        Args:
            frame: what was seen.
            line: the wire it was read from.
            t: seconds, when the read that completed it ended; None if unknown.
            hold: a reply without a request waits for one: there is another wire to come from.
        """
        happened = self.idle(t)
        key = request_key(frame)
        if key is not None:
            happened += self._take_request(_Request(t, line, frame, key, self._first_of(frame, t)))
        elif (block := block_of(frame)) is not None:
            happened += self._take_reply(frame, line, t, block, hold)
        return happened

    def idle(self, t: float | None) -> list[Reply | Unanswered]:
        """Let time pass until `t`; None: unknown, nothing changes."""
        if t is None:
            return []
        if self._now is not None and t < self._now - _STEP_BACK_S:
            happened = self.close()
            self._now = t
            return happened
        now = self._now = t if self._now is None else max(self._now, t)
        if not (self._open or self._held):
            return []
        late = [r for r in self._open if r.t is not None and now - r.t >= self._reply_timeout_s]
        alone = [held for held in self._held if now - held.t >= self._skew_s]
        alone.sort(key=lambda held: held.t)  # two lines may have been read out of order
        return self._give_up(late, alone)

    def close(self) -> list[Reply | Unanswered]:
        """End the recording: nothing that waits will be answered any more."""
        return self._give_up(list(self._open), list(self._held))

    def _give_up(
        self, late: Sequence[_Request], alone: Sequence[_Held]
    ) -> list[Reply | Unanswered]:
        happened: list[Reply | Unanswered] = []
        for request in late:
            self._open.remove(request)
            excused = request.first is not None and request.first.is_answered
            happened.append(Unanswered(request.t, request.line, request.frame, excused))
        for held in alone:
            self._held.remove(held)
            happened.append(held.pair(None))
        return happened

    def _first_of(self, frame: Frame, t: float | None) -> _Request | None:
        """Find the 0x5A that this frame followed at once, as the ES2's second request does."""
        first = self._heartbeat
        if first is None or not frame.is_read_request:
            return None
        if (frame.source, frame.target) != (first.frame.source, first.frame.target):
            return None
        if t is not None and first.t is not None and not 0 <= t - first.t <= _PAIR_S:
            return None
        return first

    def _take_request(self, request: _Request) -> list[Reply | Unanswered]:
        if request.key[1] == _HEARTBEAT:
            self._heartbeat = request
        elif request.first is not None:
            self._heartbeat = None  # one 0x5A opens one pair
        held = self._held_for(request)
        if held is not None:
            self._held.remove(held)
            request.is_answered = True
            return [held.pair(request)]
        # Without times only the order tells that the asking node has given up.
        stale = [r for r in self._open if r.t is None and r.key == request.key]
        self._open.append(request)
        if not stale and len(self._open) > _KEPT:
            stale = self._open[:1]
        return self._give_up(stale, [])

    def _held_for(self, request: _Request) -> _Held | None:
        if request.t is None:
            return None
        near = [
            held
            for held in self._held
            if held.key == request.key and abs(held.t - request.t) <= self._skew_s
        ]
        return min(near, key=lambda held: not request.fits(held.frame), default=None)

    def _take_reply(
        self, frame: Frame, line: str | None, t: float | None, block: Block, hold: bool
    ) -> list[Reply | Unanswered]:
        key = reply_key(frame)
        request = self._request_for(key, frame, t)
        if request is not None:
            self._open.remove(request)
            request.is_answered = True
            delay_s = _delay_s(request.t, t, frame)
            return [Reply(t, line, frame, block, request.frame, delay_s)]
        if hold and t is not None:
            self._held.append(_Held(t, line, frame, key, block))
            return self._give_up([], self._held[:1] if len(self._held) > _KEPT else [])
        return [Reply(t, line, frame, block)]

    def _request_for(self, key: _Key, reply: Frame, t: float | None) -> _Request | None:
        """Find the request that a reply answers, by the rules above."""
        best: _Request | None = None
        best_rank = (False, False, 0.0)
        for request in self._open:
            if request.key != key:
                continue
            # How long ago it was sent; negative if its read ended after the reply's.
            ago = 0.0 if t is None or request.t is None else t - request.t
            if not -self._skew_s <= ago <= self._reply_timeout_s:
                continue
            rank = (request.fits(reply), ago >= 0, -abs(ago))
            if best is None or rank >= best_rank:
                best, best_rank = request, rank
        return best
