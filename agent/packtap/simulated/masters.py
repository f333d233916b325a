"""Who asks a pack when no ESC does: a laptop on the bench, a fleet box beside a charger, floor 2.

A master knocks with 0x10 until the pack answers, reads identity once, then the same round of blocks
again and again, one request at a time; after three seconds without a reply it knocks again.
Source: events.md sections 4 and 5 (the bench visit). Sans-IO: `now` is seconds, never running back.
"""

import random
from dataclasses import dataclass
from math import inf
from typing import Final

from ninebot_bms import Dialect, Frame, Framer, read_request

__all__ = ["BOX", "IDENTITY", "LAPTOP", "Master", "Round"]

_KNOCK: Final = (0x10, 16)
_GAP_S: Final = 0.02
_REPLY_S: Final = 0.1
_SILENCE_S: Final = 3.0
_JITTER: Final = 0.05

#: Serial to capacity, full capacity, cycles, date: index and bytes.
IDENTITY: Final = ((0x10, 18), (0x19, 2), (0x1B, 4), (0x20, 6))


@dataclass(frozen=True, slots=True)
class Round:
    """What a master reads again and again.

    Attributes:
        reads: index and bytes of each block; 0x40 is asked with two bytes a cell if it says 0.
        every_s: from one round to the next.
        knock_s: between two knocks.
        source: its address in Ninebot frames.
    """

    reads: tuple[tuple[int, int], ...]
    every_s: float
    knock_s: float
    source: int


LAPTOP: Final = Round(((0x30, 12), (0x36, 12), (0x40, 0)), 0.5, 0.04, 0x3D)
BOX: Final = Round(((0x30, 12), (0x40, 0), (0x36, 2)), 6.0, 0.03, 0x3E)


class Master:
    """Asks one pack.

    Args:
        dialect: what it speaks.
        plan: what it reads.
        cells: of the pack.
        seed: of its jitter.
    """

    def __init__(self, dialect: Dialect, plan: Round, cells: int, seed: int = 0) -> None:
        self._dialect = dialect
        self._plan = plan
        self._cells = cells
        self._random = random.Random(f"master {seed}")  # noqa: S311 - jitter, not a secret
        self._framer = Framer()
        self._is_answered = False
        self._queue: list[tuple[int, int]] = []
        self._round_at = 0.0
        self._send_at = 0.0
        self._asked_at: float | None = None
        self._heard_at = -inf

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what the pack sends."""
        for found in self._framer.receive_data(data):
            if not (isinstance(found, Frame) and found.is_read_reply):
                continue
            if not self._is_answered:
                self._is_answered = True
                self._queue = list(IDENTITY)
                self._round_at = now
            self._heard_at = now
            self._asked_at = None
            self._send_at = now + _GAP_S

    def next_send(self, now: float) -> bytes | None:
        """Return the request that is wholly on the wire by `now`, or None."""
        if now < self.wake_at(now):
            return None
        if self._is_answered and now - self._heard_at > max(_SILENCE_S, 2 * self._plan.every_s):
            self._is_answered = False
        if not self._is_answered:
            self._asked_at = None
            self._send_at = now + self._plan.knock_s
            return self._read(*_KNOCK)
        if not self._queue:
            self._queue = list(self._plan.reads)
            late = self._random.uniform(1 - _JITTER, 1 + _JITTER)
            self._round_at = now + self._plan.every_s * late
        self._asked_at = now
        return self._read(*self._queue.pop(0))

    def wake_at(self, now: float) -> float:
        """Return when `next_send` has a request, never before `now`."""
        at = self._send_at
        if self._asked_at is not None:
            at = max(at, self._asked_at + _REPLY_S)
        if self._is_answered and not self._queue:
            at = max(at, self._round_at)
        return max(now, at)

    def _read(self, index: int, size: int) -> bytes:
        return read_request(self._dialect, index, size or 2 * self._cells, source=self._plan.source)
