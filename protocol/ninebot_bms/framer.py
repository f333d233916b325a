"""Finds frames of both dialects in a stream of bytes cut anywhere, floor 0.

Promises, whatever the bytes:

- It never raises. What is no frame is refused, with a reason, and counted.
- An intact frame is never lost: a header whose length or checksum is wrong costs one byte, and
  the search goes on behind that byte (not behind the frame that it claimed).
- Every byte belongs to exactly one frame or one reject. A failed header owns the bytes that it
  claimed, up to the next intact frame, so that one corrupted frame is one reject; false headers
  inside that claim belong to it, and it grows if they claim more.
- The cut does not matter: any slicing of the same bytes gives the same frames and rejects.
- Time grows linearly: the search for headers passes each byte once, and a header costs at most
  the sum of the longest frame (137 bytes), of which every two bytes can begin at most one.
- Memory is constant: what waits is shorter than the longest frame, a reject keeps its first 256
  bytes, and a longer input is taken in slices.
- A stray `00` at power-up and collisions that begin with a valid header, as recorded on real
  buses (ninebot-docs, M365), are the everyday case.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ninebot_bms.errors import FrameError, Reason
from ninebot_bms.frames import LAYOUTS, Frame, checksum, parse_frame

__all__ = ["Framer", "Reject"]

_KEPT: Final = 256  # first bytes of a reject that are worth showing
_SLICE: Final = 65536  # input taken at a time, so that one huge read is never held twice

_LAYOUT_BY_FIRST: Final = {layout.header[0]: layout for layout in LAYOUTS.values()}
_HEADER: Final = re.compile(b"|".join(re.escape(each.header) for each in LAYOUTS.values()))
_FIRST_BYTES: Final = tuple(bytes((first,)) for first in _LAYOUT_BY_FIRST)


@dataclass(frozen=True, slots=True)
class Reject:
    """A run of bytes that belong to no frame."""

    reason: Reason  #: why its first byte was refused
    raw: bytes  #: its first bytes, at most 256
    size: int  #: all of its bytes, 1 and up


class Framer:
    """Cuts one line's bytes into frames; one framer per line."""

    __slots__ = ("_buffer", "_claimed", "_counts", "_frames", "_reason", "_refused", "_size")

    def __init__(self) -> None:
        self._buffer = bytearray()  # empty, or begins with a frame that may still become whole
        self._counts = dict.fromkeys(Reason, 0)
        self._frames = 0
        # The reject that is still growing: none while the reason is None.
        self._reason: Reason | None = None
        self._refused = bytearray()
        self._size = 0
        self._claimed = 0  # bytes ahead that a failed header claimed; 0 in a run of garbage

    @property
    def counts(self) -> Mapping[Reason, int]:
        """Rejects returned so far, by reason. A live view."""
        return MappingProxyType(self._counts)

    @property
    def frames(self) -> int:
        """Frames returned so far."""
        return self._frames

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their frame, 0..136."""
        return len(self._buffer)

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[Frame | Reject]:
        """Take the next bytes of the line, any number of them.

        Returns:
            what became certain with them, in wire order. A reject is returned when its run ends.
        """
        found: list[Frame | Reject] = []
        with memoryview(data) as view:
            for start in range(0, len(view), _SLICE):
                self._buffer += view[start : start + _SLICE]
                self._scan(found)
        return found

    def idle(self) -> list[Frame | Reject]:
        """Take note that the line has been quiet for longer than a gap inside a frame.

        A false header may claim bytes that never come. Intact frames behind it are returned now;
        without any, the unfinished frame goes on waiting: a slow reader may have cut it.

        Returns:
            the frames that were hidden, and the rejects that the silence ends, in wire order.
        """
        found: list[Frame | Reject] = []
        self._release_hidden(found)
        self._end_run(found)
        return found

    def close(self) -> list[Frame | Reject]:
        """End the stream: what waits is a frame, or is refused. The framer can start afresh.

        Returns:
            the rest, in wire order. A frame that never became whole is refused for its LENGTH.
        """
        found: list[Frame | Reject] = []
        self._release_hidden(found)
        rest = len(self._buffer)
        if rest > 1:
            self._claim(found, Reason.LENGTH, rest)
        self._skip(found, 0, rest)
        self._buffer.clear()
        self._end_run(found)
        return found

    def _scan(self, found: list[Frame | Reject]) -> None:
        """Cut everything that is certain off the front of the buffer."""
        buffer = self._buffer
        end = len(buffer)
        position = 0
        while True:
            match = _HEADER.search(buffer, position)
            if match is not None:
                start = match.start()
            else:
                # A last byte that may open a header waits for the next one.
                start = end - buffer.endswith(_FIRST_BYTES, position)
            if start > position:
                self._skip(found, position, start)
                position = start
            if end - position < 3:
                break
            layout = _LAYOUT_BY_FIRST[buffer[position]]
            length = buffer[position + 2]
            size = length + layout.overhead
            if not layout.min_length <= length <= layout.max_length:
                reason = Reason.LENGTH
            elif end - position < size:
                break
            else:
                raw = bytes(buffer[position : position + size])
                if checksum(raw[2:-2]) == raw[-2] | raw[-1] << 8:
                    self._end_run(found)
                    found.append(layout.decode(raw))
                    self._frames += 1
                    position += size
                    continue
                reason = Reason.CHECKSUM
            self._claim(found, reason, size)
            self._skip(found, position, position + 1)
            position += 1
        del buffer[:position]

    def _release_hidden(self, found: list[Frame | Reject]) -> None:
        """Return the intact frames behind an unfinished one, which is refused for them."""
        while (start := self._hidden_frame()) is not None:
            self._claim(found, Reason.LENGTH, start)
            self._skip(found, 0, start)
            del self._buffer[:start]
            self._scan(found)

    def _hidden_frame(self) -> int | None:
        """Find the first intact frame behind the unfinished one: bounded by the longest frame."""
        buffer = self._buffer
        for match in _HEADER.finditer(buffer, 1):
            start = match.start()
            if start + 2 < len(buffer):
                size = buffer[start + 2] + _LAYOUT_BY_FIRST[buffer[start]].overhead
                try:
                    parse_frame(bytes(buffer[start : start + size]))
                except FrameError:
                    continue
                return start
        return None

    def _claim(self, found: list[Frame | Reject], reason: Reason, size: int) -> None:
        """Note that the header ahead fails and owns `size` bytes, itself included."""
        if not self._claimed:
            self._end_run(found)
            self._reason = reason
        self._claimed = max(self._claimed, size)

    def _skip(self, found: list[Frame | Reject], start: int, stop: int) -> None:
        """Refuse the buffer's bytes from `start` to `stop`."""
        if self._claimed:
            owned = min(stop - start, self._claimed)
            self._grow(start, start + owned)
            self._claimed -= owned
            if self._claimed:
                return
            self._end_run(found)
            start += owned
        if start < stop:
            self._reason = Reason.HEADER
            self._grow(start, stop)

    def _grow(self, start: int, stop: int) -> None:
        room = _KEPT - self._size
        if room > 0:
            self._refused += self._buffer[start : min(stop, start + room)]
        self._size += stop - start

    def _end_run(self, found: list[Frame | Reject]) -> None:
        """Return the reject that was growing, if any."""
        if self._reason is not None:
            found.append(Reject(self._reason, bytes(self._refused), self._size))
            self._counts[self._reason] += 1
            self._reason = None
            self._refused.clear()
            self._size = 0
            self._claimed = 0
