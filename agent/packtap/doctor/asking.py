"""The plan of a bench: wake the pack and ask it, at each rate and address, floor 4.

Only with the pack's data plug off the ESC. `ninebot_bms.session` does the asking: it listens until
the line has been quiet for a second, sends reads only, and falls silent when somebody else asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ninebot_bms import BMS, BMS2, BusEvent, Dialect, Reply, Seen, Session, SessionState, Unanswered
from packtap.doctor.evidence import Answer, Bus, Wire
from packtap.doctor.heard import Ear, Heard
from packtap.doctor.listening import RATES, Listener, Tools
from packtap.errors import LinkError, LinkTrouble

__all__ = ["ASK_BUDGET_S", "ask"]

#: The session listens for one second; a sleeping pack wakes within 0.6 s on recordings, and an ESC
#: page describes up to 3 s: four seconds of knocks, in both dialects.
_FIRST_S: Final = 5.2
#: The same again at another rate, with a shorter burst: the pack has been knocked at already.
_AGAIN_S: Final = 3.6
#: Once it answers: two seconds of everything that is known to be readable.
_ANSWERING_S: Final = 2.0
#: Opening a port.
_OPEN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Try:
    baud: int
    address: int
    seconds: float
    words: str


def _tries(wanted: int) -> tuple[_Try, ...]:
    other = next(rate for rate in RATES if rate != wanted)
    return (
        _Try(wanted, BMS, _FIRST_S, "as the pack (0x22)"),
        _Try(wanted, BMS2, _AGAIN_S, "as the external pack (0x23)"),
        _Try(other, BMS, _AGAIN_S, "as the pack (0x22)"),
    )


#: The longest way: the last try is the one that is answered, at its very end.
ASK_BUDGET_S: Final = sum(each.seconds + _OPEN_S for each in _tries(RATES[0])) + _ANSWERING_S


def ask(listener: Listener, tools: Tools) -> Bus:
    """Ask the pack until it answers or everything was tried.

    Raises:
        LinkError: the port cannot be opened at its own rate, or was lost.
    """
    heard: list[Heard] = []
    answers: list[Answer] = []
    untried: list[int] = []
    for each in _tries(listener.baud):
        tools.say(
            f"listening 1 s, then asking {each.words} at {each.baud} baud, up to "
            f"{each.seconds:.0f} s"
        )
        try:
            answer, counts = _ask_once(listener, each, tools)
        except LinkError as error:
            if error.trouble is not LinkTrouble.NO_SUCH_RATE or each.baud == listener.baud:
                raise
            untried.append(each.baud)
            continue
        answers.append(answer)
        heard.append(counts)
        if answer.wake_s is not None or answer.foreign:
            break
    return Bus((_wire(listener, heard),), tuple(answers), tuple(untried))


def _wire(listener: Listener, heard: Sequence[Heard]) -> Wire:
    """Return what was heard, of several tries at one rate the one that tells most."""
    by_rate: dict[int, Heard] = {}
    for each in heard:
        known = by_rate.setdefault(each.baud, each)
        if (each.frames, each.has_traffic) > (known.frames, known.has_traffic):
            by_rate[each.baud] = each
    return Wire(listener.name, tuple(by_rate.values()))


def _ask_once(listener: Listener, plan: _Try, tools: Tools) -> tuple[Answer, Heard]:
    line = tools.make_line(listener.name, listener.port, plan.baud, transmit=True)
    line.open()
    try:
        session = Session(address=plan.address)
        began = tools.clock()
        ear = Ear(listener.name, plan.baud, began)
        tally = _Tally()
        while (now := tools.clock()) - began < plan.seconds or tally.is_busy(now):
            if session.foreign_requests or session.state is SessionState.ANOTHER_MASTER:
                break
            if tally.first_reply is not None and now - tally.first_reply >= _ANSWERING_S:
                break
            data = line.read()
            now = tools.clock()
            ear.note(data)
            events = session.receive_data(data, now) if data else session.idle(now)
            ear.take(tally.without_own(events))
            tally.take(events, now)
            if (request := session.next_send(tools.clock())) is not None:
                tally.note_sent(request, tools.clock())
                line.send(request)
        return tally.answer(session, plan.address), ear.close(tools.clock())
    finally:
        line.close()


class _Tally:
    """What one session got for its requests."""

    def __init__(self) -> None:
        self.asked = 0
        self._own: list[bytes] = []  # sent, and not yet told by the session as seen
        self.first_reply: float | None = None
        self._first_sent: float | None = None
        self._replies = 0
        self._unanswered = 0
        self._dialect: Dialect | None = None

    def is_busy(self, now: float) -> bool:
        """Has the pack answered, and is still being read?"""
        return self.first_reply is not None and now - self.first_reply < _ANSWERING_S

    def note_sent(self, request: bytes, now: float) -> None:
        """Count a request."""
        self.asked += 1
        self._own.append(request)
        if self._first_sent is None:
            self._first_sent = now

    def without_own(self, events: Sequence[BusEvent]) -> list[BusEvent]:
        """Return what the wire carried: the session tells of its own requests too, once each."""
        foreign: list[BusEvent] = []
        for event in events:
            if isinstance(event, Seen) and event.frame.raw in self._own:
                self._own.remove(event.frame.raw)
            else:
                foreign.append(event)
        return foreign

    def take(self, events: Sequence[BusEvent], now: float) -> None:
        """Count what came back."""
        for event in events:
            if isinstance(event, Reply) and event.request is not None:
                self._replies += 1
                if self.first_reply is None:
                    self.first_reply = now
                    self._dialect = event.frame.dialect
            elif isinstance(event, Unanswered) and self.first_reply is not None:
                self._unanswered += not event.excused

    def answer(self, session: Session, address: int) -> Answer:
        """Return the counts as a value."""
        wake_s = None
        if self.first_reply is not None and self._first_sent is not None:
            wake_s = max(0.0, self.first_reply - self._first_sent)
        is_other = session.state is SessionState.ANOTHER_MASTER
        return Answer(
            asked=self.asked,
            echoes=session.echoes,
            foreign=session.foreign_requests + (session.foreign_replies if is_other else 0),
            wake_s=wake_s,
            dialect=self._dialect,
            address=address,
            replies=self._replies,
            unanswered=self._unanswered,
        )
