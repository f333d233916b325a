"""How a bus is attended to: listening, or asking, floor 3.

`Listening` never sends: it hands bytes to an observer. `Polling` is the only master of a bench: it
lets the session say which read request is due, and the link sends it. `Sharing` is a guest on the
dashboard's wire: it lets `ninebot_bms.Sharing` say when a read fits between what others say. All
take what the link received and give bus events; none has a clock.

Asking is a step of its own, for when all that was received has been taken: behind a loop that was
held up, the bytes that forbid sending may be waiting.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol

from ninebot_bms import (
    BusEvent,
    Observer,
    Reason,
    Rejected,
    Reply,
    Seen,
    Session,
    SessionState,
    SharingState,
    Unanswered,
)
from ninebot_bms import Sharing as Guest
from ninebot_bms.pairing import asks_pack
from packtap.errors import LinkError
from packtap.link import LinkDown, LinkUp, MomentPassedError, Received

__all__ = [
    "ANOTHER_MASTER",
    "Bus",
    "Listening",
    "Polling",
    "PromptSender",
    "Sender",
    "Sharing",
    "Tally",
    "sharing_now",
]

_log = logging.getLogger("packtap.poller")

#: Why a bench does not ask, for people.
ANOTHER_MASTER: Final = (
    "another master asks this pack: the data plug is still on the scooter; packtap sends nothing "
    "until it is off"
)

#: How often to look for time-outs when nothing else happens, seconds.
_TICK_S: Final = 0.05
#: A gap between two frames of a dashboard is looked at so often, seconds.
_SHORT_S: Final = 0.0005


class Tally:
    """What the bus has carried since the agent started."""

    def __init__(self) -> None:
        self.frames = 0  #: of all nodes
        self.requests = 0  #: for registers of a pack
        self.replies = 0
        self.unanswered = 0  #: without those whose silence is normal
        self.rejects: Counter[Reason] = Counter()
        self.collisions = 0  #: own questions on a shared wire that came back damaged or not at all
        self.backoffs = 0  #: times that asking on a shared wire was left off
        self.asked = 0  #: own questions on a shared wire
        self.held_back = 0  #: that were not sent, since their moment had passed
        self.sent_late = 0  #: that may have left behind their moment

    def of_sharing(self, state: SharingState | None) -> dict[str, int]:
        """Return the counters of a shared wire; none if it is not shared."""
        if state is None:
            return {}
        return {
            "share_asking": int(state is SharingState.ASKING),
            "share_asked": self.asked,
            "share_held_back": self.held_back,
            "share_sent_late": self.sent_late,
        }

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

    def send(self, data: bytes) -> object:
        """Send one read request, or raise LinkError."""


class PromptSender(Protocol):
    """What `Sharing` needs of a link."""

    def send(self, data: bytes, not_after: float) -> bool:
        """Send one read request, no later than that, or raise LinkError; was it surely in time?"""


class Listening:
    """Receive only.

    Args:
        lines: names of the lines, one or two.
    """

    #: Why the bus is not asked; listening has nothing to complain about.
    trouble: str | None = None
    #: What is being done about asking on a shared wire; this one is not shared.
    sharing: SharingState | None = None

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

    def line_changed(self, item: LinkUp | LinkDown) -> None:
        """Take a line that was opened or lost: it is listened to all the same."""

    def ask(self, now: float) -> None:
        """Send nothing, ever."""

    def patience_s(self, now: float) -> float:
        """Return how long the loop may wait for bytes."""
        del now
        return _TICK_S


class Polling:
    """The only master of a bench: asks, and never while another request is outstanding."""

    #: What is being done about asking on a shared wire; this one is not shared.
    sharing: SharingState | None = None

    def __init__(self, session: Session, sender: Sender) -> None:
        self.tally = Tally()
        self._session = session
        self._sender = sender
        self._is_up = False
        self._was_alone = True

    @property
    def trouble(self) -> str | None:
        """Why the pack is not asked, for people; None if all is well."""
        return None if self._is_alone else ANOTHER_MASTER

    def line_changed(self, item: LinkUp | LinkDown) -> None:
        """Take a line that was opened or lost: whoever is on it now, listen first."""
        self._is_up = isinstance(item, LinkUp)
        self._session.restart(item.t)

    def receive(self, received: Received) -> list[BusEvent]:
        """Take bytes."""
        return self._note(self._session.receive_data(received.data, received.t))

    def idle(self, now: float) -> list[BusEvent]:
        """Let time pass: replies that did not come, frames behind a false header."""
        return self._note(self._session.idle(now))

    def ask(self, now: float) -> None:
        """Send the next question if one is due. Only when all that was received has been taken."""
        request = self._session.next_send(now) if self._is_up else None
        if request is not None:
            # The line may just have been lost; the session times this request out.
            with contextlib.suppress(LinkError):
                self._sender.send(request)

    def patience_s(self, now: float) -> float:
        """Return how long the loop may wait for bytes until a request is due."""
        if not self._is_up:
            return _TICK_S
        return min(_TICK_S, max(0.001, self._session.wake_at(now) - now))

    @property
    def _is_alone(self) -> bool:
        return self._session.state is not SessionState.ANOTHER_MASTER

    def _note(self, happened: list[BusEvent]) -> list[BusEvent]:
        self.tally.count(happened)
        if self._is_alone != self._was_alone:
            self._was_alone = self._is_alone
            if self._was_alone:
                _log.info("the other master is silent; packtap asks this pack again")
            else:
                _log.warning(ANOTHER_MASTER)
        return happened


class Sharing:
    """A guest on the dashboard's wire: asks where others are silent, and gives way.

    Args:
        guest: says when a read fits.
        sender: sends it, unless it is too late by then.
    """

    def __init__(self, guest: Guest, sender: PromptSender) -> None:
        self.tally = Tally()
        #: What is being done about asking.
        self.sharing: SharingState | None = SharingState.LISTENING
        #: Why nothing is asked, for people; None if all is well or will soon be.
        self.trouble: str | None = None
        self._guest = guest
        self._sender = sender
        self._is_up = False

    def line_changed(self, item: LinkUp | LinkDown) -> None:
        """Take a line that was opened or lost: whoever is on it now, understand first."""
        self._is_up = isinstance(item, LinkUp)
        self._guest.restart(item.t)

    def receive(self, received: Received) -> list[BusEvent]:
        """Take bytes."""
        happened = self._guest.receive_data(received.data, received.t)
        return self._note(happened, received.t)

    def idle(self, now: float) -> list[BusEvent]:
        """Let time pass: replies that did not come, frames behind a false header."""
        return self._note(self._guest.idle(now), now)

    def ask(self, now: float) -> None:
        """Send a question if one fits now. Only when all that was received has been taken."""
        ask = self._guest.next_send(now) if self._is_up else None
        if ask is None:
            return
        try:
            self.tally.sent_late += not self._sender.send(ask.data, ask.not_after)
        except LinkError as error:
            self._guest.take_back(now)
            self.tally.held_back += isinstance(error, MomentPassedError)

    def patience_s(self, now: float) -> float:
        """Return how long the loop may wait for bytes until a question may fit."""
        if not self._is_up:
            return _TICK_S
        return min(_TICK_S, max(_SHORT_S, self._guest.wake_at(now) - now))

    def _note(self, happened: list[BusEvent], now: float) -> list[BusEvent]:
        self.tally.count(happened)
        self.tally.collisions = self._guest.collisions
        self.tally.backoffs = self._guest.backoffs
        self.tally.asked = self._guest.asked
        before, self.sharing = self.sharing, self._guest.state(now)
        if self.sharing is not before:
            _log.info("sharing the dashboard's wire: %s", self.sharing)
        trouble = self._guest.trouble(now)
        if trouble != self.trouble:
            self.trouble = trouble
            if trouble is not None:
                _log.warning("%s", trouble)
        return happened


#: A bus that is attended to.
Bus = Listening | Polling | Sharing


def sharing_now(bus: Bus) -> dict[str, str | int]:
    """Return what a retained `state` says of a shared wire; nothing if it is not shared."""
    if bus.sharing is None:
        return {}
    return {
        "sharing": bus.sharing.value,
        "sharing_collisions": bus.tally.collisions,
        "sharing_backoffs": bus.tally.backoffs,
    }
