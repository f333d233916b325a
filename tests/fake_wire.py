"""Wires between real objects, as hostile as needed: no ports, no clock, no sleeping.

`Bench` joins a session and an emulated pack; `tap` joins an emulated ESC and a pack and returns
what a tap on their two wires reads. What is read can then be cut, joined, delayed or lost.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TypeVar

from ninebot_bms.emulated_esc import EmulatedEsc
from ninebot_bms.emulator import EmulatedPack
from ninebot_bms.observer import BusEvent, Observer
from ninebot_bms.pairing import BYTE_S
from ninebot_bms.session import Session

#: Seconds (None: not known), line name, bytes.
Read = tuple[float | None, str | None, bytes]

_Event = TypeVar("_Event")

#: How long a session listens before the very first byte.
LISTEN_S = 1.0

_STEP_S = 0.0005  # nothing happens twice at one moment


class Bench:
    """A session and at most one pack; time is what `run` says.

    Args:
        session: the master.
        pack: what is plugged in; may be changed between runs; None: nothing.
        echo: a one-wire adapter returns what it sends.
        bytewise: every byte is its own read.
        mangle: what the wire makes of the pack's bytes.
        listened: the session has listened to the quiet line already, and knocks at once.
    """

    def __init__(
        self,
        session: Session,
        pack: EmulatedPack | None,
        *,
        echo: bool = False,
        bytewise: bool = False,
        mangle: Callable[[bytes], bytes] = bytes,
        listened: bool = True,
    ) -> None:
        self.session = session
        self.pack = pack
        self.now = 100.0
        self.sent: list[tuple[float, bytes]] = []
        self.events: list[BusEvent] = []
        self.calls = 0
        self._echo = echo
        self._bytewise = bytewise
        self._mangle = mangle
        if listened:
            session.idle(self.now - LISTEN_S)

    def run(self, seconds: float) -> list[BusEvent]:
        """Let time pass; return what happened meanwhile."""
        already = len(self.events)
        end = self.now + seconds
        while self.now < end:
            self.calls += 1
            request = self.session.next_send(self.now)
            if request is not None:
                self.sent.append((self.now, request))
                if self._echo:
                    self._deliver(request)
                if self.pack is not None:
                    self.pack.receive_data(request, self.now)
            if self.pack is not None:
                while (reply := self.pack.next_send(self.now)) is not None:
                    self._deliver(self._mangle(reply))
            self.events += self.session.idle(self.now)
            wake = self.session.wake_at(self.now)
            if self.pack is not None:
                wake = min(wake, self.pack.wake_at(self.now))
            self.now = min(end, max(wake, self.now + _STEP_S))
        return self.events[already:]

    def _deliver(self, data: bytes) -> None:
        pieces = [bytes((byte,)) for byte in data] if self._bytewise else [data]
        for piece in pieces:
            self.events += self.session.receive_data(piece, self.now)


def tap(esc: EmulatedEsc, pack: EmulatedPack | None, seconds: float) -> list[Read]:
    """Run a scooter; return what ends on line "esc" and line "bms", one read a frame."""
    reads: list[Read] = []
    now = 0.0
    while now < seconds:
        if (request := esc.next_send(now)) is not None:
            reads.append((now, "esc", request))
            if pack is not None:
                pack.receive_data(request, now)
        if pack is not None and (reply := pack.next_send(now)) is not None:
            reads.append((now, "bms", reply))
            esc.receive_data(reply, now)
        wake = esc.wake_at(now)
        if pack is not None:
            wake = min(wake, pack.wake_at(now))
        now = max(wake, now + 1e-6)
    return reads


def bytewise(reads: Iterable[Read]) -> list[Read]:
    """Cut reads into single bytes at their own times: what overlaps on two wires is interleaved."""
    single = [
        (t - (len(data) - 1 - at) * BYTE_S, line, data[at : at + 1])
        for t, line, data in reads
        if t is not None
        for at in range(len(data))
    ]
    return [(t, line, data) for t, line, data in sorted(single, key=lambda read: read[0])]


def coalesced(reads: Iterable[Read], every_s: float) -> list[Read]:
    """Join what each line carries within a period, as a slow reader does.

    Of two lines the one whose name comes first is read first, so "bms" before "esc".
    """
    timed = [(t, line, data) for t, line, data in reads if t is not None]
    joined: list[Read] = []
    for slot, group in groupby(timed, key=lambda read: int(read[0] / every_s)):
        lines: dict[str, bytes] = {}
        for _, line, data in group:
            lines[line or ""] = lines.get(line or "", b"") + data
        joined += [((slot + 1) * every_s, line, lines[line]) for line in sorted(lines)]
    return joined


def skewed(reads: Iterable[Read], line: str, by_s: float) -> list[Read]:
    """Let one line's reads be handed over later than they were read."""
    timed = [(t, name, data) for t, name, data in reads if t is not None]
    late = sorted(timed, key=lambda read: read[0] + (by_s if read[1] == line else 0.0))
    return list(late)


def untimed(reads: Iterable[Read]) -> list[Read]:
    """Forget the times."""
    return [(None, line, data) for _, line, data in reads]


def listen(observer: Observer, reads: Iterable[Read]) -> list[BusEvent]:
    """Hand reads to an observer, and end."""
    happened: list[BusEvent] = []
    for t, line, data in reads:
        happened += observer.receive_data(data, line, t)
    return happened + observer.close()


def lossy(share: float, seed: int) -> Callable[[bytes], bytes]:
    """Make a wire that damages one byte of some transmissions."""
    rng = random.Random(seed)

    def mangle(data: bytes) -> bytes:
        if rng.random() >= share:
            return data
        at = rng.randrange(len(data))
        return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]

    return mangle


def of_type(kind: type[_Event], happened: Sequence[object]) -> list[_Event]:
    """Pick the events of one type."""
    return [event for event in happened if isinstance(event, kind)]
