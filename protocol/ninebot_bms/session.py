"""Asks a pack on the bench: which read is due, what came back, floor 0.

packtap is the only master here: the pack's data plug is off the ESC. The session says what to send
and when, and takes whatever bytes come; the caller owns the port and the clock (`now`, seconds,
never running back).

- It sends reads only, built by `commands.read_request`.
- Before the first byte, and whenever the line was opened anew or a pack has fallen silent, it
  listens until the line has been quiet for a second: a live ESC polls every 210 ms. While anything
  shows that another master asks the pack (see `other_master`), nothing is sent at all.
- One request is outstanding at a time; the next follows 20 ms after the reply, or after 100 ms.
  A reply that comes later still counts, for its own register.
- A sleeping pack ignores the first bytes, and nobody knows its dialect: the session knocks with
  0x10, in both dialects in turn, every 20 ms for four seconds, then in bursts with longer and
  longer pauses. A stock ESC knocks every 15 ms for ever.
- After 3 s without a reply it knocks again, and after the first reply reads everything afresh:
  another pack may have been plugged in.
- A read that is too long, or past the end of the pack's map, is left unanswered by the pack: the
  session tries shorter ones, and at last asks rarely.
- An adapter on a one-wire bus returns what is sent: that echo is taken out.

Source: protocol notes of stock ESCs (ninebot-docs), of the BotoX BMS and of the ESPHome reader.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from math import inf
from typing import Final

from ninebot_bms.commands import read_request
from ninebot_bms.framer import Framer, Reject
from ninebot_bms.frames import BMS, Dialect, Frame, parse_frame
from ninebot_bms.other_master import OtherMaster
from ninebot_bms.pairing import BusEvent, Pairing, Rejected, Reply, Seen, Unanswered
from ninebot_bms.polls import DEFAULT_POLLS, Poll, Task

__all__ = ["DEFAULT_POLLS", "Poll", "Session", "SessionState"]

_LINE: Final = "bms"
_KNOCK: Final = (0x10, 16)  # serial and firmware: what a stock ESC knocks with
_LISTEN_S: Final = 1.0  # more than four polls of an ESC, 210 ms each
_KNOCK_S: Final = 0.02  # within the 15..40 ms that ESC and ESPHome reader use
_FIRST_BURST_S: Final = 4.0
_BURST_S: Final = 2.0
_PAUSES_S: Final = (1.0, 2.0, 4.0)  # between bursts; the last one for ever
_SILENCE_S: Final = 3.0
_GAP_S: Final = 0.02  # from a reply to the next request
_REPLY_S: Final = 0.1  # then the next request may go
_LATE_S: Final = 0.5  # then the reply is not expected any more
_QUIET_S: Final = 0.05  # the line has paused: a false header must not hold a frame back
_WAITING: Final = 256  # events that wait to be fetched


class SessionState(StrEnum):
    """How far the session has got with the pack."""

    LISTENING = "listening"  #: sending nothing until the line has been quiet for a second
    KNOCKING = "knocking"  #: asking until a pack answers
    ASLEEP = "asleep"  #: nothing answered; a pause before the next burst
    CONNECTED = "connected"  #: a pack answers
    ANOTHER_MASTER = "another master"  #: somebody else asks the pack; nothing is sent


class Session:
    """The only master of one pack.

    Args:
        polls: what to read; of those that are due the longest overdue comes first.
        dialect: what the pack speaks; None: found by trying.
        address: the pack's Ninebot number, 0x22 (or 0x23 in Ninebot).

    Raises:
        ValueError: no pack can be asked at that address in that dialect.
    """

    def __init__(
        self,
        polls: Sequence[Poll] = DEFAULT_POLLS,
        dialect: Dialect | None = None,
        address: int = BMS,
    ) -> None:
        tried = tuple(Dialect) if dialect is None else (Dialect(dialect),)
        if address != BMS and dialect is None:
            tried = (Dialect.NINEBOT,)  # Xiaomi frames know one pack
        for each in tried:
            read_request(each, *_KNOCK, target=address)
        self._address = address
        self._tried = deque(tried)
        self._polls = tuple(polls)
        self._framer = Framer()
        self._pairing = Pairing(_LATE_S, _GAP_S)
        self._waiting: deque[BusEvent] = deque(maxlen=_WAITING)
        self._other = OtherMaster()
        self._is_other_there = False
        self._listens_until: float | None = None  # None: listening has not begun
        self._is_listening = True
        self._echoes = 0
        self._dialect: Dialect | None = None
        self._tasks: list[Task] = []
        self._outstanding: tuple[Frame, Task] | None = None
        self._outstanding_until = -inf
        self._next_send = -inf
        self._last_data = -inf
        self._last_reply = -inf
        self._asked_since: float | None = None  # the first request after the last reply
        self._bursts = 0
        self._burst_end: float | None = None  # None: knocking has not begun

    @property
    def state(self) -> SessionState:
        """How far the session has got."""
        if self._is_other_there:
            return SessionState.ANOTHER_MASTER
        if self._is_listening:
            return SessionState.LISTENING
        if self._dialect is not None:
            return SessionState.CONNECTED
        if self._burst_end is None or self._next_send < self._burst_end:
            return SessionState.KNOCKING
        return SessionState.ASLEEP

    @property
    def dialect(self) -> Dialect | None:
        """What the connected pack speaks; None while none is connected."""
        return self._dialect

    @property
    def echoes(self) -> int:
        """Own requests that came back: the adapter sits on a one-wire bus."""
        return self._echoes

    @property
    def foreign_requests(self) -> int:
        """Frames that neither we nor a pack sent: another master's, so the ESC is plugged in."""
        return self._other.requests

    @property
    def foreign_replies(self) -> int:
        """Replies that we did not ask for: several mean another master."""
        return self._other.replies

    def restart(self, now: float) -> None:
        """Note that the line was opened anew: listen first, whoever is there now."""
        self._take(self._framer.close(), now)
        self._begin_anew(now)

    def next_send(self, now: float) -> bytes | None:
        """Return the read request to send now, or None. What is returned counts as sent."""
        self._expire(now)
        if self._is_other_there or self._is_listening:
            return None
        if now < self._next_send or self._outstanding is not None:
            return None
        if self._dialect is None:
            return self._knock(now)
        task = min(self._tasks, key=lambda each: each.due, default=None)
        if task is None or task.due > now:
            return None
        task.start(now)
        frame, raw = self._send(self._dialect, task.poll.index, task.size, now)
        self._outstanding = (frame, task)
        self._outstanding_until = now + _REPLY_S
        return raw

    def wake_at(self, now: float) -> float:
        """Return when to call `next_send` again if nothing is received, never before `now`."""
        if self._listens_until is None:
            return now
        if self._outstanding is not None:
            return max(now, self._outstanding_until)
        at = max(self._next_send, self._listens_until, self._other.silent_until)
        if self._dialect is not None:
            at = max(at, min((task.due for task in self._tasks), default=inf))
            if self._asked_since is not None:
                at = min(at, self._asked_since + _SILENCE_S)
        return max(now, at)

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> list[BusEvent]:
        """Take bytes from the line.

        Returns:
            what happened since the last call, own requests included, on line "bms".
        """
        self._expire(now)
        if data:
            self._last_data = now
            if self._is_listening:
                self._listens_until = now + _LISTEN_S
        self._take(self._framer.receive_data(data), now)
        return self._fetch()

    def idle(self, now: float) -> list[BusEvent]:
        """Let time pass, and return what happened since the last call."""
        self._expire(now)
        return self._fetch()

    def _fetch(self) -> list[BusEvent]:
        happened = list(self._waiting)
        self._waiting.clear()
        return happened

    def _expire(self, now: float) -> None:
        """Do what is due because time has passed."""
        if now - self._last_data >= _QUIET_S:
            self._take(self._framer.idle(), self._last_data)
        self._note(self._pairing.idle(now), now)
        if self._listens_until is None:
            self._listens_until = now + _LISTEN_S
        self._is_other_there = now < self._other.silent_until
        self._is_listening = now < self._listens_until
        if self._outstanding is not None and now >= self._outstanding_until:
            self._outstanding[1].fail(now, self._last_reply)
            self._outstanding = None
        if (
            self._dialect is not None
            and self._outstanding is None
            and self._asked_since is not None
            and now - self._asked_since >= _SILENCE_S
        ):
            self._begin_anew(now)

    def _begin_anew(self, now: float) -> None:
        """Forget the pack, and listen before knocking."""
        if self._dialect is not None:
            # The same dialect first: most often it is the same pack.
            self._tried.rotate(-self._tried.index(self._dialect))
        self._dialect = None
        self._outstanding = None
        self._bursts = 0
        self._burst_end = None
        self._listens_until = now + _LISTEN_S
        self._is_listening = True

    def _knock(self, now: float) -> bytes:
        if self._burst_end is None:
            self._burst_end = now + _FIRST_BURST_S
        elif now >= self._burst_end:
            self._burst_end = now + _BURST_S
        dialect = self._tried[0]
        self._tried.rotate(-1)
        _, raw = self._send(dialect, *_KNOCK, now)
        self._next_send = now + _KNOCK_S
        if self._next_send >= self._burst_end:
            self._next_send = now + _PAUSES_S[min(self._bursts, len(_PAUSES_S) - 1)]
            self._bursts += 1
        return raw

    def _send(self, dialect: Dialect, index: int, size: int, now: float) -> tuple[Frame, bytes]:
        raw = read_request(dialect, index, size, target=self._address)
        frame = parse_frame(raw)
        self._other.note_sent(frame, now)
        if self._asked_since is None:
            self._asked_since = now
        self._waiting.append(Seen(now, _LINE, frame))
        self._note(self._pairing.receive_frame(frame, _LINE, now), now)
        return frame, raw

    def _take(self, found: list[Frame | Reject], now: float) -> None:
        for item in found:
            if isinstance(item, Reject):
                self._waiting.append(Rejected(now, _LINE, item))
            elif self._other.is_echo(item, now):
                self._echoes += 1
            else:
                self._waiting.append(Seen(now, _LINE, item))
                if self._other.receive_frame(item, now):
                    self._is_other_there = True
                    self._begin_anew(now)
                if item.is_from_bms:
                    self._note(self._pairing.receive_frame(item, _LINE, now), now)

    def _note(self, happened: list[Reply | Unanswered], now: float) -> None:
        for event in happened:
            if isinstance(event, Unanswered):
                excused = self._dialect is not None and not self._was_answered(event.request)
                self._waiting.append(replace(event, excused=excused))
                continue
            self._waiting.append(event)
            if event.request is not None:
                self._take_reply(event.request, now)

    def _take_reply(self, request: Frame, now: float) -> None:
        if self._is_other_there:
            return  # late, or meant for the other one; in any case nobody may be asked now
        self._last_reply = now
        self._asked_since = None
        self._next_send = now + _GAP_S
        if self._dialect is None:
            self._dialect = request.dialect
            self._tasks = [Task(poll) for poll in self._polls]
        for task in self._tasks_of(request):
            task.succeed()
        if self._outstanding is not None and self._outstanding[0] == request:
            self._outstanding = None

    def _tasks_of(self, request: Frame) -> list[Task]:
        asked = (request.index, request.requested_size)
        return [task for task in self._tasks if (task.poll.index, task.size) == asked]

    def _was_answered(self, request: Frame) -> bool:
        """Has the connected pack ever answered exactly this?"""
        if (request.index, *request.payload) == _KNOCK:
            return request.dialect is self._dialect
        return any(task.answered for task in self._tasks_of(request))
