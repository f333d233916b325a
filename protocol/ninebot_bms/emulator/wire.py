"""One open-drain wire with several transmitters, for demonstrations and tests, floor 0.

Every node can only pull the wire low: two that talk at once give the AND of their bits, and what a
receiver makes of it follows from its start-bit detector and its sampling, bit for bit. Bytes come
at the rate of the line, 8N1 at 115200.

No clock: `now` is seconds, never running back. Source: protocol.md section 1 (one data wire).
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ninebot_bms.pairing import BYTE_S

__all__ = ["OneWire", "Transmission"]

_BIT_S: Final = BYTE_S / 10
_NEAR_S: Final = 1e-9  # two floats that mean the same moment


@dataclass(slots=True, eq=False)
class Transmission:
    """What one node sends in one go."""

    sender: str
    data: bytes
    start: float  #: seconds
    pace_s: float = BYTE_S  #: from the start of a byte to the start of the next, at least one byte
    is_ours: bool = False  #: packtap sent it, or it would not be there without what packtap sent
    met: list["Transmission"] = field(default_factory=list)  #: others under way at the same time

    @property
    def end(self) -> float:
        """When its last byte is on the wire."""
        return self.start + (len(self.data) - 1) * self.pace_s + BYTE_S


class OneWire:
    """The wire: what is sent goes in, what everybody hears comes out."""

    def __init__(self) -> None:
        self._bytes: list[tuple[float, int]] = []  # start and value, on their way
        self._under_way: list[Transmission] = []

    def send(self, transmission: Transmission) -> None:
        """Begin a transmission; it ends by itself, whatever else is on the wire.

        Args:
            transmission: its start lies at or after everything that has been taken.
        """
        self._under_way = [each for each in self._under_way if each.end > transmission.start]
        for other in self._under_way:
            if other.start < transmission.end:
                other.met.append(transmission)
                transmission.met.append(other)
        self._under_way.append(transmission)
        for number, byte in enumerate(transmission.data):
            start = transmission.start + number * transmission.pace_s
            heapq.heappush(self._bytes, (start, byte))

    def take(self, until: float) -> list[tuple[float, int]]:
        """Return the bytes that are wholly on the wire by `until`: end and value, in order.

        Bytes that overlap are one thing: they come out together, when the last of them has ended.
        """
        heard: list[tuple[float, int]] = []
        waiting = self._bytes
        while waiting and waiting[0][0] + BYTE_S <= until + _NEAR_S:
            first = heapq.heappop(waiting)
            clash = [first]
            end = first[0] + BYTE_S
            while waiting and waiting[0][0] < end - _NEAR_S:
                clash.append(heapq.heappop(waiting))
                end = clash[-1][0] + BYTE_S
            if end > until + _NEAR_S:
                for each in clash:
                    heapq.heappush(waiting, each)
                break
            heard += [(end, first[1])] if len(clash) == 1 else _hear(clash)
        return heard


def _hear(clash: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return what a receiver makes of bytes that overlap."""

    def is_high(at: float) -> bool:
        for start, byte in clash:
            bit = int((at - start) / _BIT_S) if at >= start else -1
            if bit == 0 or (0 < bit < 9 and not byte >> (bit - 1) & 1):
                return False
        return True

    heard = []
    last = clash[-1][0] + BYTE_S
    edges = sorted(start + bit * _BIT_S for start, _ in clash for bit in range(9))
    idle_from = clash[0][0]
    for edge in edges:
        # A start bit: the wire falls while the receiver waits for it.
        falls = not is_high(edge + _BIT_S / 100) and (
            edge <= clash[0][0] or is_high(edge - _BIT_S / 100)
        )
        if edge < idle_from - _NEAR_S or not falls:
            continue
        value = sum(is_high(edge + (1.5 + bit) * _BIT_S) << bit for bit in range(8))
        heard.append((min(edge + BYTE_S, last), value))
        # A stop bit that is low is a framing error; receivers hand the byte over all the same.
        idle_from = edge + 9.5 * _BIT_S
    return heard
