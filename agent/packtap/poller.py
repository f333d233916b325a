"""How a bus is attended to: listening, or asking, floor 3.

`Listening` never sends: it hands bytes to an observer. `Polling` is the only master of a bench: it
lets the session say which read request is due, and the link sends it. Both take what the link
received and give bus events; neither has a clock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ninebot_bms import BusEvent, LineCounts, Observer, Reason, Session
from packtap.errors import LinkError
from packtap.link import Received

__all__ = ["BusCounts", "Listening", "Polling", "Sender"]

#: How often to look for time-outs when nothing else happens, seconds.
_TICK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class BusCounts:
    """What all lines of the bus have carried since the agent started."""

    frames: int
    requests: int
    replies: int
    unanswered: int  #: without those whose silence is normal
    rejects: Mapping[Reason, int]


def _total(lines: Iterable[LineCounts]) -> BusCounts:
    counted = tuple(lines)
    rejects: Counter[Reason] = Counter()
    for line in counted:
        rejects.update(line.rejects)
    return BusCounts(
        frames=sum(line.frames for line in counted),
        requests=sum(line.requests for line in counted),
        replies=sum(line.replies for line in counted),
        unanswered=sum(line.unanswered - line.excused for line in counted),
        rejects=rejects,
    )


class Sender(Protocol):
    """What `Polling` needs of a link."""

    def send(self, data: bytes) -> None:
        """Send one read request, or raise LinkError."""


class Listening:
    """Receive only: one or two lines."""

    def __init__(self) -> None:
        self.observer = Observer()

    @property
    def counts(self) -> BusCounts:
        """What all lines have carried."""
        return _total(self.observer.counts.values())

    def receive(self, received: Received) -> list[BusEvent]:
        """Take bytes of one line."""
        return self.observer.receive_data(received.data, received.line, received.t)

    def idle(self, now: float) -> list[BusEvent]:
        """Let time pass: replies that did not come, frames behind a false header."""
        return self.observer.idle(now)

    def patience_s(self, now: float) -> float:
        """Return how long the loop may wait for bytes."""
        del now
        return _TICK_S


class Polling:
    """The only master of a bench: asks, and never while another request is outstanding."""

    def __init__(self, session: Session, sender: Sender) -> None:
        self.session = session
        self._sender = sender

    @property
    def counts(self) -> BusCounts:
        """What the line has carried."""
        return _total(self.session.counts.values())

    def receive(self, received: Received) -> list[BusEvent]:
        """Take bytes, then ask the next question if one is due."""
        happened = self.session.receive_data(received.data, received.t)
        return happened + self.idle(received.t)

    def idle(self, now: float) -> list[BusEvent]:
        """Let time pass: send what is due."""
        happened = list(self.session.idle(now))
        request = self.session.next_send(now)
        if request is not None:
            try:
                self._sender.send(request)
            except LinkError:
                # The line is down and its reader reopens it; the session times this request out.
                return happened
        return happened

    def patience_s(self, now: float) -> float:
        """Return how long the loop may wait for bytes until a request is due."""
        return min(_TICK_S, max(0.001, self.session.wake_at(now) - now))
