"""The plan of listening: which rate when, and for how long, floor 4.

Nothing is ever sent. Every step has a budget; the sum of the longest way is `LISTEN_BUDGET_S`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from packtap.doctor.evidence import Bus, Wire
from packtap.doctor.heard import Ear, Heard
from packtap.errors import LinkError, LinkTrouble

__all__ = [
    "LISTEN_BUDGET_S",
    "RATES",
    "Line",
    "Listener",
    "OpenLine",
    "Tools",
    "hear",
    "listen",
]

#: The rate of every stock scooter, and that of the BotoX replacement BMS.
RATES: Final = (115200, 76800)
#: Rates that no known board has, tried because a wrong one is the commonest guess of all.
_OTHER_RATES: Final = (57600, 38400, 19200, 9600)

#: An ESC polls 4.8 times a second, knocks 66 times, a dashboard talks 50 times: three seconds show
#: each of them often enough to tell them apart.
_FIRST_S: Final = 3.0
#: While not one byte comes, a person may still be reaching for the power button.
_SILENT_S: Final = 8.0
#: Two polls of the slowest known ESC come in half a second.
_SECOND_RATE_S: Final = 2.0
_OTHER_RATE_S: Final = 0.8
#: Opening a port: a USB adapter answers in milliseconds, a network tap in its own time-out.
_OPEN_S: Final = 0.5

#: The longest way: a first byte at the end of the silence, and then bytes that no rate makes
#: readable.
LISTEN_BUDGET_S: Final = (
    (_OPEN_S + _SILENT_S)
    + (_OPEN_S + _SECOND_RATE_S)
    + len(_OTHER_RATES) * (_OPEN_S + _OTHER_RATE_S)
)


class Line(Protocol):
    """What is needed of one wire."""

    def open(self) -> list[str]:
        """Open it; return the programs that have it open too. Raises LinkError."""

    def read(self) -> bytes:
        """Return what came within about 20 ms. Raises LinkError."""

    def send(self, data: bytes) -> None:
        """Send one read request. Raises LinkError."""

    def close(self) -> None:
        """Give it back."""


class OpenLine(Protocol):
    """Makes a line that is not open yet."""

    def __call__(self, name: str, port: str, baud: int, *, transmit: bool) -> Line:
        """Return the line of this name, port and rate."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One wire to listen to."""

    name: str
    port: str
    baud: int = RATES[0]


@dataclass(frozen=True, slots=True)
class Tools:
    """The outside world of a plan: ports, a clock, and somebody to tell how far it is.

    Attributes:
        make_line: makes lines; `packtap.link.SerialLine`.
        clock: seconds, never running back.
        say: takes one line of progress.
    """

    make_line: OpenLine
    clock: Callable[[], float] = time.monotonic
    say: Callable[[str], None] = lambda _text: None


def listen(listeners: Sequence[Listener], tools: Tools) -> Bus:
    """Listen to one or two wires until it is clear what they carry.

    Raises:
        LinkError: a port cannot be opened at its own rate, or was lost.
    """
    first = _hear_wanted(listeners, tools)
    heard = [[each] for each in first]
    untried: list[int] = []
    if any(each.has_traffic and not each.frames for each in first):
        wanted = {listener.baud for listener in listeners}
        rates = [
            *((rate, _SECOND_RATE_S) for rate in RATES if rate not in wanted),
            *((rate, _OTHER_RATE_S) for rate in _OTHER_RATES if rate not in wanted),
        ]
        for baud, seconds in rates:
            tools.say(f"bytes without sense; listening at {baud} baud, {seconds:g} s")
            try:
                again = hear([_at(each, baud) for each in listeners], tools, seconds)
            except LinkError as error:
                if error.trouble is not LinkTrouble.NO_SUCH_RATE:
                    raise
                untried.append(baud)
                continue
            for wire, each in zip(heard, again, strict=True):
                wire.append(each)
            if any(each.frames for each in again):
                break
    wires = tuple(
        Wire(listener.name, tuple(each)) for listener, each in zip(listeners, heard, strict=True)
    )
    return Bus(wires, untried_rates=tuple(untried))


def hear(
    listeners: Sequence[Listener],
    tools: Tools,
    seconds: float,
    enough: Callable[[Sequence[Heard]], bool] = lambda _heard: False,
) -> list[Heard]:
    """Listen to all wires together for so long, or until it is enough.

    Raises:
        LinkError: a port cannot be opened, or was lost.
    """
    lines: list[Line] = []
    try:
        for each in listeners:
            line = tools.make_line(each.name, each.port, each.baud, transmit=False)
            line.open()
            lines.append(line)
        began = tools.clock()
        ears = [Ear(each.name, each.baud, began) for each in listeners]
        while (now := tools.clock()) - began < seconds:
            if enough([ear.heard(now) for ear in ears]):
                break
            for line, ear in zip(lines, ears, strict=True):
                data = line.read()
                ear.receive(data, tools.clock())
        return [ear.close(tools.clock()) for ear in ears]
    finally:
        for line in lines:
            line.close()


def _hear_wanted(listeners: Sequence[Listener], tools: Tools) -> list[Heard]:
    where = " and ".join(f"{each.port} ({each.baud} baud)" for each in listeners)
    tools.say(f"listening on {where}, {_FIRST_S:g} s; nothing is sent")
    told = False

    def enough(heard: Sequence[Heard]) -> bool:
        nonlocal told
        if heard[0].seconds < _FIRST_S:
            return False
        if any(each.has_traffic for each in heard):
            return True
        if not told:
            told = True
            tools.say(f"no byte yet; turn the scooter on now. Waiting {_SILENT_S - _FIRST_S:g} s")
        return False

    return hear(listeners, tools, _SILENT_S, enough)


def _at(listener: Listener, baud: int) -> Listener:
    return Listener(listener.name, listener.port, baud)
