"""How a bus is attended to: listening, or asking, floor 3.

`Listening` never sends: it hands bytes to an observer. `Polling` is the only master of a bench: it
lets the session say which read request is due, and the link sends it. Both take what the link
received and give bus events; neither has a clock.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol

from ninebot_bms import BusEvent, Observer, Reason, Rejected, Reply, Seen, Session, Unanswered
from ninebot_bms.pairing import asks_pack
from packtap.errors import LinkError
from packtap.link import Received

__all__ = ["Listening", "Polling", "Sender", "Tally"]

#: How often to look for time-outs when nothing else happens, seconds.
_TICK_S: Final = 0.05


class Tally:
    """What the bus has carried since the agent started."""

    def __init__(self) -> None:
        self.frames = 0  #: of all nodes
        self.requests = 0  #: for registers of a pack
        self.replies = 0
        self.unanswered = 0  #: without those whose silence is normal
        self.rejects: Counter[Reason] = Counter()

    def count(self, happened: Iterable[BusEvent]) -> None:
        """Take what happened into account."""
        for event in happened:
            match event:
                case Seen():
                    self.frames += 1
                    self.requests += asks_pack(event.frame)
                case Reply():
                    self.replies += 1
                case Unanswered():
                    self.unanswered += not event.excused
                case Rejected():
                    self.rejects[event.reject.reason] += 1


class Sender(Protocol):
    """What `Polling` needs of a link."""

    def send(self, data: bytes) -> None:
        """Send one read request, or raise LinkError."""


class Listening:
    """Receive only.

    Args:
        lines: names of the lines, one or two.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.tally = Tally()
        self._observer = Observer(lines=tuple(lines))

    def receive(self, received: Received) -> list[BusEvent]:
        """Take bytes of one line."""
        happened = self._observer.receive_data(received.data, received.line, received.t)
        self.tally.count(happened)
        return happened

    def idle(self, now: float) -> list[BusEvent]:
        """Let time pass: replies that did not come, frames behind a false header."""
        happened = self._observer.idle(now)
        self.tally.count(happened)
        return happened

    def patience_s(self, now: float) -> float:
        """Return how long the loop may wait for bytes."""
        del now
        return _TICK_S


class Polling:
    """The only master of a bench: asks, and never while another request is outstanding."""

    def __init__(self, session: Session, sender: Sender) -> None:
        self.tally = Tally()
        self._session = session
        self._sender = sender

    def receive(self, received: Received) -> list[BusEvent]:
        """Take bytes, then ask the next question if one is due."""
        happened = self._session.receive_data(received.data, received.t)
        self.tally.count(happened)
        return happened + self.idle(received.t)

    def idle(self, now: float) -> list[BusEvent]:
        """Let time pass: send what is due."""
        happened = self._session.idle(now)
        self.tally.count(happened)
        request = self._session.next_send(now)
        if request is not None:
            # While the line is down its reader reopens it; the session times this request out.
            with contextlib.suppress(LinkError):
                self._sender.send(request)
        return happened

    def patience_s(self, now: float) -> float:
        """Return how long the loop may wait for bytes until a request is due."""
        return min(_TICK_S, max(0.001, self._session.wake_at(now) - now))
