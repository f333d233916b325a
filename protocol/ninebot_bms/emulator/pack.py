"""A pack that answers, for demonstrations and tests without hardware, floor 0.

It behaves as stock packs do on recordings: it answers reads 0.3 ms after the request, some of them
5..35 ms late, some never; it ignores what it refuses (a read past the end of its map, an odd size,
another node's frames) without a word; asleep, it loses the first bytes. In Ninebot framing it
answers the ES2's empty 0x5A too, and has room for one reply only: a request that comes while a late
reply still waits is dropped, which is why a healthy ES2 leaves a quarter of its reads unanswered.

It never accepts a write, whatever is sent.

Sans-IO, seeded, deterministic: `now` (seconds, never running back) is the moment at which the last
of the bytes handed over was, or is, on the wire. Source: captures of a real M365 and ES2
(ninebot-docs), the BotoX firmware.
"""

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, inf
from typing import Final

from ninebot_bms._encoding import encode
from ninebot_bms.framer import Framer
from ninebot_bms.frames import BMS, BMS_ADDRESSES, Dialect, Frame
from ninebot_bms.pairing import BYTE_S
from ninebot_bms.registers import Value, by_name, encode_register

__all__ = ["Busy", "EmulatedPack", "RegisterImage"]

_WORDS: Final = 0x100
_REPLY_S: Final = 0.0003  # from the end of the request to the start of the reply
_LATE_S: Final = (0.005, 0.035)
_NEXT_S: Final = 0.00009  # between two replies
_DROP_S: Final = 0.1  # BotoX drops a partial frame after this gap
_WAITING: Final = 16  # replies that nobody fetches
_HEARTBEAT: Final = (0x30, 12)  # what 0x5A answers with


@dataclass(frozen=True, slots=True)
class Busy:
    """When a pack measures and lets its masters wait, again and again.

    Every late reply of the two M365 recordings comes at one of two moments of a cycle, and every
    reply in between comes at once: the pack is busy, it is not slow by chance. Source: the 15 late
    replies of m365_esc_bms (esc 1.3.4, BMS 1.1.5) and the 11 of m365_dash_app.
    """

    period_s: float = 0.20045
    ends_s: tuple[float, ...] = (0.0, 0.0950)  #: moments of the cycle at which it is free again
    lasts_s: float = 0.0345  #: before such a moment
    longer_s: float = 0.0034  #: now and then it takes so much longer (2 of the 15)
    longer_share: float = 0.13
    phase_s: float = 0.0

    def free_at(self, at: float) -> float:
        """Return when a request that arrives at `at` is looked at: at once, or later."""
        cycle = floor((at - self.phase_s) / self.period_s)
        for number in range(cycle - 1, cycle + 2):
            for end_s in self.ends_s:
                end = self.phase_s + number * self.period_s + end_s
                # The same cycle is longer for whoever asks: no generator, whose state would tell.
                is_longer = random.Random(round(end * 1e3)).random() < self.longer_share  # noqa: S311
                last = end + self.longer_s * is_longer
                if end - self.lasts_s <= at < last:
                    return last
        return at


class RegisterImage:
    """A pack's register file: 256 words, set by row name.

    Args:
        values: what it holds at first, by row name. A new image holds the magic word, a status of
            "fine", and zeros.
    """

    __slots__ = ("_data",)

    def __init__(self, values: Mapping[str, Value] | None = None) -> None:
        self._data = bytearray(2 * _WORDS)
        self.update({"magic": 0x5A5A, "status": 0x0001})
        self.update(values or {})

    def set(self, name: str, value: Value) -> None:
        """Write one row; None writes what an unsupported word reads.

        Raises:
            KeyError: no such row.
            ValueError: the value does not fit the row.
        """
        data = encode_register(name, value)
        start = by_name[name].offset
        self._data[start : start + len(data)] = data

    def update(self, values: Mapping[str, Value]) -> None:
        """Write several rows, as `set`."""
        for name, value in values.items():
            self.set(name, value)

    def set_words(self, index: int, *words: int) -> None:
        """Write raw words, 0..0xFFFF each, from a register on.

        Raises:
            ValueError: a word or a register outside the image.
        """
        if not 0 <= index <= _WORDS - len(words):
            raise ValueError(f"{len(words)} words do not fit at register {index}")
        try:
            data = b"".join(word.to_bytes(2, "little") for word in words)
        except OverflowError as exc:
            raise ValueError(f"{words} are not all words") from exc
        self._data[2 * index : 2 * (index + len(words))] = data

    def read(self, index: int, size: int) -> bytes:
        """Return `size` bytes from a register on, fewer at the end of the image."""
        return bytes(self._data[2 * index : 2 * index + size])


class EmulatedPack:
    """One pack at the other end of the wires.

    Args:
        dialect: what it speaks; it ignores the other.
        image: its registers, which may change at any time.
        address: its Ninebot number. An ES external pack is 0x22 on its own cable.
        asleep: it has to be woken by bytes, which it ignores.
        wakes_after_s: how long waking takes, from the first byte.
        sleeps_after_s: how long without a byte it stays awake; None: for ever.
        late: share of replies that come 5..35 ms late by chance, 0..1; about 0.3 on real buses.
        busy: when it lets its masters wait, as the recorded packs do; None: never.
        loss: share of replies that never come, 0..1; 1 is a pack that has died.
        map_end: first register that it does not have. Reads beyond get no reply.
        max_read: longest read that it answers, in bytes.
        answers_heartbeat: it knows 0x5A; None: in Ninebot framing it does.
        seed: of lateness and loss.

    Raises:
        ValueError: that dialect has no pack at that address.
    """

    def __init__(
        self,
        dialect: Dialect,
        image: RegisterImage,
        *,
        address: int = BMS,
        asleep: bool = False,
        wakes_after_s: float = 0.6,
        sleeps_after_s: float | None = None,
        late: float = 0.0,
        busy: Busy | None = None,
        loss: float = 0.0,
        map_end: int = 0x80,
        max_read: int = 128,
        answers_heartbeat: bool | None = None,
        seed: int = 0,
    ) -> None:
        if address not in (BMS_ADDRESSES if dialect is Dialect.NINEBOT else {BMS}):
            raise ValueError(f"no {dialect} pack has address 0x{address:02x}")
        self.image = image
        self.late = late
        self.busy = busy
        self.loss = loss
        self.refused = 0  #: frames for this pack that it ignored: writes, reads outside the map
        self.dropped = 0  #: reads that came while another reply waited
        self.lost = 0  #: replies lost on purpose
        self._dialect = dialect
        self._address = address
        self._map_bytes = 2 * map_end
        self._max_read = max_read
        self._answers_heartbeat = (
            dialect is Dialect.NINEBOT if answers_heartbeat is None else answers_heartbeat
        )
        self._wakes_after_s = wakes_after_s
        self._sleeps_after_s = inf if sleeps_after_s is None else sleeps_after_s
        self._is_asleep = asleep
        self._wakes_at: float | None = None  # None: nothing has been heard yet
        self._last_byte = -inf
        self._random = random.Random(seed)  # noqa: S311 - a noisy line, not a secret
        self._framer = Framer()
        # Start and end of each reply on the wire, in order.
        self._replies: deque[tuple[float, float, bytes]] = deque()
        self._free_at = -inf

    @property
    def is_asleep(self) -> bool:
        """Does it ignore what comes?"""
        return self._is_asleep

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Take what the master sends; the last byte ends at `now`, the others one by one before."""
        for left, byte in zip(range(len(data) - 1, -1, -1), bytes(data), strict=True):
            self._receive_byte(byte, now - left * BYTE_S)

    def next_send(self, now: float) -> bytes | None:
        """Return the next reply that is wholly on the wire by `now`, or None."""
        if self._replies and self._replies[0][1] <= now:
            return self._replies.popleft()[2]
        return None

    def wake_at(self, now: float) -> float:
        """Return when `next_send` has a reply, never before `now`; infinity if none is due."""
        return max(now, self._replies[0][1]) if self._replies else inf

    def _receive_byte(self, byte: int, at: float) -> None:
        gap_s = at - self._last_byte
        if self._last_byte > -inf and gap_s >= self._sleeps_after_s:
            self._is_asleep = True
            self._wakes_at = None
        if gap_s >= _DROP_S:
            self._framer.close()
        self._last_byte = at
        if self._is_asleep:
            if self._wakes_at is None:
                self._wakes_at = at + self._wakes_after_s
                return
            if at < self._wakes_at:
                return
            self._is_asleep = False
        for found in self._framer.receive_data(bytes((byte,))):
            if isinstance(found, Frame) and found.target == self._address:
                self._receive_request(found, at)

    def _receive_request(self, request: Frame, at: float) -> None:
        reply = self._reply_to(request)
        if reply is None:
            self.refused += 1
        elif len(self._replies) >= _WAITING or (self._replies and self._replies[-1][0] > at):
            self.dropped += 1
        elif self._random.random() < self.loss:
            self.lost += 1
        else:
            delay_s = _REPLY_S
            if self._random.random() < self.late:
                delay_s = self._random.uniform(*_LATE_S)
            raw = encode(reply)
            begin = at if self.busy is None else self.busy.free_at(at)
            start = max(begin + delay_s, self._free_at + _NEXT_S)
            self._free_at = start + len(raw) * BYTE_S
            self._replies.append((start, self._free_at, raw))

    def _reply_to(self, request: Frame) -> Frame | None:
        """Answer a read or a heartbeat; everything else, all writes with it, gets nothing."""
        if request.dialect is not self._dialect:
            return None
        if request.is_heartbeat_request and self._answers_heartbeat:
            index, size = _HEARTBEAT
            data = self.image.read(index, size)
            return Frame(self._dialect, self._address, request.source, request.command, index, data)
        size = request.requested_size or 0
        is_readable = 0 < size <= self._max_read and size % 2 == 0
        if not is_readable or 2 * request.index + size > self._map_bytes:
            return None
        data = self.image.read(request.index, size)
        command = 0x01 if self._dialect is Dialect.XIAOMI else 0x04
        return Frame(self._dialect, self._address, request.source, command, request.index, data)
