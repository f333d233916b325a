"""A port for a while, through the same path as a recording, floor 4.

A technician's visit: one line, a minute, then a diagnosis. Listening is the default; on a bench
packtap is the only master and asks for everything, and then only while nobody else asks. The order
of steps is that of `packtap.agent`, so that a recording of a visit gives what the visit gave.
"""

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ninebot_bms import Session
from packtap.errors import LinkError
from packtap.link import Inbox, LineReader, LinkDown, LinkUp, Received
from packtap.poller import Listening, Polling, Sender
from packtap.tap import Digest, Tap

__all__ = ["Visit", "VisitPlan"]

_LINE: Final = "bms"
#: In a recording, what packtap sends stands on a line of its own: a pack may answer late, so that
#: bytes of both directions would be mixed.
_ASKED: Final = "ask"
#: A pack that sleeps answers within 4 s of knocking; after this it will not.
_SILENT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class VisitPlan:
    """What to attend to, and how.

    Attributes:
        port: a device, `socket://HOST:PORT` or `rfc2217://HOST:PORT`.
        baud: bits per second.
        bench: ask for everything; only with the pack's data plug off the ESC.
        seconds: for how long, counted from when the port is open.
    """

    port: str
    baud: int = 115200
    bench: bool = False
    seconds: float = 45.0


class _Witnessed:
    """Passes requests on to the link, and tells of them: a recording holds both directions."""

    def __init__(
        self,
        sender: Sender,
        clock: Callable[[], float],
        on_sent: Callable[[Received], object],
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._on_sent = on_sent

    def send(self, data: bytes) -> None:
        # The time is taken before: on a busy computer the reply may be read before this goes on.
        t = self._clock()
        self._sender.send(data)
        self._on_sent(Received(_ASKED, t, data))


class Visit:
    """Attends to one port until its time is over.

    Args:
        plan: port, and how to attend to it.
        tap: judges.
        clock: seconds that never run back.
        on_data: is shown every read, and every request that packtap sends: what a tap would see.
        on_time: is told now and then how many seconds have passed.
    """

    def __init__(
        self,
        plan: VisitPlan,
        tap: Tap,
        *,
        clock: Callable[[], float],
        on_data: Callable[[Received], object] = lambda _: None,
        on_time: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._tap = tap
        self._clock = clock
        self._on_data = on_data
        self._on_time = on_time
        self._inbox = Inbox()
        self._reader = LineReader(
            _LINE, plan.port, plan.baud, self._inbox, clock=clock, transmit=plan.bench
        )
        self._bus: Listening | Polling = (
            Polling(Session(), _Witnessed(self._reader, clock, on_data))
            if plan.bench
            else Listening((_LINE,))
        )
        #: Why it ended before its time, for people; "" if it did not.
        self.ended_early = ""

    @property
    def bus(self) -> Listening | Polling:
        """What the bus has carried, and why it is not asked."""
        return self._bus

    def digests(self) -> Iterator[Digest]:
        """Yield what the port gives; an interrupt ends the visit early.

        Raises:
            LinkError: the port cannot be opened.
        """
        self._reader.start()
        try:
            yield from self._attend(self._opened())
        except KeyboardInterrupt:
            self.ended_early = "interrupted"
        finally:
            self._reader.stop()
        yield self._tap.idle(None)

    def _opened(self) -> float:
        """Return when the port was opened."""
        item = self._inbox.get()
        if isinstance(item, LinkDown):
            raise LinkError(item.reason)
        if isinstance(item, LinkUp):
            self._bus.line_changed(item)
        return item.t

    def _attend(self, start: float) -> Iterator[Digest]:
        while (now := self._clock()) - start < self._plan.seconds:
            self._on_time(now - start)
            if self._has_given_up(now - start):
                self.ended_early = f"nothing has answered for {_SILENT_S:.0f} s"
                return
            try:
                item = self._inbox.get(timeout=self._bus.patience_s(now))
            except queue.Empty:
                now = self._clock()
                self._bus.ask(now)
                yield from self._pass_time(now)
                continue
            if isinstance(item, Received):
                self._on_data(item)
                yield from self._pass_time(item.t)
                yield self._tap.digest(self._bus.receive(item))
            else:
                self._bus.line_changed(item)
                if isinstance(item, LinkDown):
                    self.ended_early = item.reason
                    return

    def _pass_time(self, now: float) -> Iterator[Digest]:
        yield self._tap.digest(self._bus.idle(now))
        yield self._tap.idle(now)

    def _has_given_up(self, passed_s: float) -> bool:
        return self._plan.bench and passed_s >= _SILENT_S and not self._bus.tally.replies
