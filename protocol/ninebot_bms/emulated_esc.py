"""An ESC that polls its pack, for demonstrations and tests without hardware, floor 0.

What the stock ESCs do, from recordings:

- Xiaomi (M365, ESC 1.3.4): reads 0x10, 16 bytes, every 15 ms until answered, for ever if need be;
  then 0x30, 12 bytes, at once, 105 ms later, and every 209.5 ms.
- Ninebot (ES2, ESC 1.3.9): reads 0x10, 18 bytes, which was answered at once (that it is repeated
  every 15 ms without an answer is assumed); then every 210 ms an empty 0x5A, and 0.09 ms behind it
  a read of 0x30, 12 bytes.
- Neither ever asks for cells. A phone app or a fleet box may: what it reads is put between the
  ESC's own requests.

A missing reply changes nothing: the next poll comes when it comes. Sans-IO, seeded, deterministic:
`now` is seconds, never running back; a frame is due when its last byte is on the wire.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from ninebot_bms._encoding import encode
from ninebot_bms.framer import Framer
from ninebot_bms.frames import BMS, ESC, Dialect, Frame
from ninebot_bms.pairing import BYTE_S
from ninebot_bms.registers import block_of

__all__ = ["APP_READS", "PHONE_READS", "AppRead", "EmulatedEsc"]

_KNOCK_S: Final = 0.015
_IDENTITY: Final = 0x10
_KNOCK_SIZE: Final = {Dialect.XIAOMI: 16, Dialect.NINEBOT: 18}
_POLL: Final = (0x30, 12)
_SECOND_POLL_S: Final = 0.105  # Xiaomi, between the first and the second poll alone
_POLL_S: Final = {Dialect.XIAOMI: 0.2095, Dialect.NINEBOT: 0.2100}
_PAIR_S: Final = 0.00009  # Ninebot: from the end of the 0x5A to the start of the read
_PHONE: Final = 0x3E  # who an app is in Ninebot frames
_CLEARANCE_S: Final = 0.02  # between an app's read and the ESC's frames
_STAGGER_S: Final = 0.1  # between an app's first reads
_JITTER: Final = 0.1  # an app keeps time to 10 %


@dataclass(frozen=True, slots=True)
class AppRead:
    """What a second master reads."""

    index: int  #: first register, in 16-bit words
    size: int  #: bytes
    every_s: float | None = None  #: None: once after power-up


#: A fleet box or an app that is interested in cells.
APP_READS: Final = (
    AppRead(0x10, 18),
    AppRead(0x19, 2),
    AppRead(0x1B, 4),
    AppRead(0x20, 6),
    AppRead(0x36, 12, 2.0),
    AppRead(0x40, 30, 1.0),
)
#: The battery page of the phone app, as recorded: round robin, about 100 ms apart, no cells.
PHONE_READS: Final = (
    AppRead(0x3B, 2, 0.5),
    AppRead(0x31, 10, 0.5),
    AppRead(0x20, 6, 0.5),
    AppRead(0x1B, 4, 0.5),
    AppRead(0x10, 18, 0.5),
)


class EmulatedEsc:
    """The master of a scooter's pack, powered up at its first `next_send`.

    Args:
        dialect: what it speaks.
        app: what a second master reads; True stands for `APP_READS`, False for none.
        poll_s: seconds between two polls; None: as the stock ESC.
        seed: of the app's jitter.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        app: Sequence[AppRead] | bool = False,
        poll_s: float | None = None,
        seed: int = 0,
    ) -> None:
        if isinstance(app, bool):
            app = APP_READS if app else ()
        self.knocks = 0  #: reads of 0x10 so far
        self.replies = 0  #: replies of the pack so far, to anybody
        self._dialect = dialect
        self._app = tuple(app)
        self._poll_s = _POLL_S[dialect] if poll_s is None else poll_s
        self._random = random.Random(seed)  # noqa: S311 - a rider's phone, not a secret
        self._framer = Framer()
        self._is_answered = False
        self._polls = 0
        self._poll_at = -inf
        self._read_at: float | None = None  # the ES2's second request, under way behind its 0x5A
        self._free_at = -inf  # the end of what was sent last
        self._app_at: list[float] = []  # when each of the app's reads is due

    @property
    def is_answered(self) -> bool:
        """Has the pack answered a knock?"""
        return self._is_answered

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Take what the pack sends."""
        for found in self._framer.receive_data(data):
            block = block_of(found) if isinstance(found, Frame) else None
            if block is None:
                continue
            self.replies += 1
            if not self._is_answered and block.index == _IDENTITY:
                self._is_answered = True
                if self._dialect is Dialect.NINEBOT:
                    self._poll_at += self._poll_s - _KNOCK_S
                self._app_at = [now + _STAGGER_S * (number + 1) for number in range(len(self._app))]

    def next_send(self, now: float) -> bytes | None:
        """Return the next request that is wholly on the wire by `now`, or None."""
        if self._read_at is not None:
            if now < self._read_at:
                return None
            self._free_at = self._read_at
            self._read_at = None
            return self._read(ESC, *_POLL)
        if now >= self._poll_at:
            return self._next_poll(now)
        number, at = self._next_app()
        if number is None or now < at:
            return None
        read = self._app[number]
        self._app_at[number] = inf
        if read.every_s is not None:
            late = self._random.uniform(1 - _JITTER, 1 + _JITTER)
            self._app_at[number] = now + read.every_s * late
        self._free_at = now
        return self._read(_PHONE, read.index, read.size)

    def wake_at(self, now: float) -> float:
        """Return when `next_send` has a request, never before `now`."""
        if self._read_at is not None:
            return max(now, self._read_at)
        return max(now, min(self._poll_at, self._next_app()[1]))

    def _next_poll(self, now: float) -> bytes:
        # A caller that stayed away finds one poll waiting, not a hundred.
        at = self._poll_at if now - self._poll_at < self._poll_s else now
        self._free_at = at
        if not self._is_answered:
            self.knocks += 1
            self._poll_at = at + _KNOCK_S
            return self._read(ESC, _IDENTITY, _KNOCK_SIZE[self._dialect])
        self._polls += 1
        if self._dialect is Dialect.XIAOMI:
            self._poll_at = at + (_SECOND_POLL_S if self._polls == 1 else self._poll_s)
            return self._read(ESC, *_POLL)
        self._poll_at = at + self._poll_s
        read = self._read(ESC, *_POLL)
        self._read_at = at + _PAIR_S + len(read) * BYTE_S
        return encode(Frame(self._dialect, ESC, BMS, 0x5A, 0x00, b""))

    def _next_app(self) -> tuple[int | None, float]:
        """Find the app's next read, and when it is clear of the ESC's own requests."""
        number = min(range(len(self._app_at)), key=self._app_at.__getitem__, default=None)
        if number is None:
            return None, inf
        at = max(self._app_at[number], self._free_at + _CLEARANCE_S)
        if self._poll_at - _CLEARANCE_S < at < self._poll_at + _CLEARANCE_S:
            at = self._poll_at + _CLEARANCE_S
        return number, at

    def _read(self, source: int, index: int, size: int) -> bytes:
        """Build a read; Xiaomi frames do not say whose it is."""
        sender = None if self._dialect is Dialect.XIAOMI else source
        return encode(Frame(self._dialect, sender, BMS, 0x01, index, bytes((size,))))
