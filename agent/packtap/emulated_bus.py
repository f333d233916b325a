"""A simulated scooter, or a recording, on pseudo-terminals, floor 3.

A program opens the terminals as if they were serial adapters. Bytes come at the rate of the line
(115200 8N1, 87 us a byte). What is on the wires: `packtap.simulated.wires`.

POSIX only. Nothing here reaches a real port.
"""

import contextlib
import os
import select
import threading
import time
import tty
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

from ninebot_bms import Chunk
from packtap.simulated.shared import SharedWire
from packtap.simulated.wires import Wires

__all__ = ["EmulatedScooter", "EmulatedSharedWire", "PtyLine", "play"]

_BYTE_S: Final = 10 / 115200
_PIECE: Final = 8  # bytes written at a time: what a UART's buffer hands over
_IDLE_S: Final = 0.002
_LOOK_S: Final = 0.0005  # so often the shared wire is looked at
_HELD_UP_S: Final = 0.001  # who looks less often was held up


class PtyLine:
    """One wire: what is written here is read by whoever opens `path`.

    Args:
        name: of the line, "esc", "bms" or "dash".
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._master, self._slave = os.openpty()
        # Raw at both ends: no echo, no translation, as on a serial line.
        tty.setraw(self._master)
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path: Final = os.ttyname(self._slave)

    def write(self, data: bytes) -> None:
        """Send at the rate of the line; without a reader the bytes are lost, as on a wire."""
        due = time.monotonic()
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            try:
                os.write(self._master, piece)
            except BlockingIOError:
                continue
            due += len(piece) * _BYTE_S
            time.sleep(max(0.0, due - time.monotonic()))

    def put(self, data: bytes) -> None:
        """Hand over what is on the wire already; without a reader it is lost."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, data)

    def wait(self, seconds: float) -> None:
        """Wait so long for what the other end sends, at most."""
        select.select([self._master], [], [], max(0.0, seconds))

    def read(self) -> bytes:
        """Return what the other end has sent, maybe nothing."""
        try:
            return os.read(self._master, 4096)
        except BlockingIOError:
            return b""

    def unplug(self) -> None:
        """Close both ends: a reader sees its adapter vanish."""
        os.close(self._master)
        os.close(self._slave)


class EmulatedScooter:
    """Wires on pseudo-terminals, in real time.

    Args:
        wires: what is on them.
    """

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self.lines: Final = {name: PtyLine(name) for name in wires.names}

    def run(self, stop: threading.Event) -> None:
        """Drive it until `stop` is set."""
        start = time.monotonic()
        is_bench = "esc" not in self.lines
        while not stop.is_set():
            asked = self.lines["bms"].read() if is_bench else b""
            sent = self._wires.step(time.monotonic() - start, asked)
            for name, data in sent:
                self.lines[name].write(data)
            if not (asked or sent):
                time.sleep(_IDLE_S)


@dataclass(slots=True)
class Disturbance:
    """A frame of others that met what the guest sent or caused; seconds since boot."""

    at: float  #: noticed then
    asked: float  #: the guest's last question before it, read then
    unsure_s: float  #: by so much that may have been earlier: this process was held up


class EmulatedSharedWire:
    """The wire between dashboard and ESC on a pseudo-terminal, in real time.

    A question is on the wire from the moment at which it is read. If this process was held up
    then, it came some time in between, and is put at the beginning of that: behind all that the
    guest could have heard. What is due is then done in the wire's own time; the guest hears it
    late, as through a slow adapter.

    Args:
        wire: what is on it.
    """

    def __init__(self, wire: SharedWire) -> None:
        self.wire: Final = wire
        self.lines: Final = {"dash": PtyLine("dash")}
        self.disturbances: list[Disturbance] = []
        self.unsure = 0  #: questions that came while this process was held up
        self.held_up_s = 0.0  #: the longest time of that
        self._asked = (0.0, 0.0)  # the last question: boot time, and how unsure that is

    def run(self, stop: threading.Event) -> None:
        """Drive it until `stop` is set."""
        start = _boot_s()
        line = self.lines["dash"]
        before = 0.0
        while not stop.is_set():
            asked = line.read()
            now = _boot_s() - start
            heard = b""
            if asked:
                gone_s = now - before
                self._note_question(now + start, gone_s)
                heard = self.wire.step(before if gone_s > _HELD_UP_S else now, asked)
            heard += self.wire.step(now)
            before = now
            if heard:
                line.put(heard)
            if self.wire.disturbed > len(self.disturbances):
                self.disturbances.append(Disturbance(now + start, *self._asked))
            line.wait(min(_LOOK_S, self.wire.wake_at(now) - (_boot_s() - start)))

    def told(self) -> dict[str, object]:
        """Return what was on the wire, and how sure that is."""
        return {
            **self.wire.counts(),
            "unsure_questions": self.unsure,
            "held_up_s": round(self.held_up_s, 4),
            "disturbances": [asdict(each) for each in self.disturbances],
        }

    def _note_question(self, boot_s: float, gone_s: float) -> None:
        self._asked = (boot_s, gone_s)
        if gone_s > _HELD_UP_S:
            self.unsure += 1
            self.held_up_s = max(self.held_up_s, gone_s)


def _boot_s() -> float:
    # The clock of the agent, so that its log can be laid beside this.
    clock_id = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock_id is None else time.clock_gettime(clock_id)


def play(chunks: Iterable[Chunk], lines: dict[str, PtyLine], stop: threading.Event) -> int:
    """Play a recording into the lines, with its own timing; return the bytes played.

    Args:
        chunks: in the order of time; without times they follow each other at the line's rate.
        lines: by line name; a chunk of another line is passed over.
        stop: ends it early.
    """
    start: float | None = None
    began = time.monotonic()
    played = 0
    for chunk in chunks:
        line = lines.get(chunk.line or "bms")
        if line is None:
            continue
        if chunk.t is not None:
            start = chunk.t if start is None else start
            # A chunk's time is the end of its reading.
            due = chunk.t - start - len(chunk.data) * _BYTE_S
            if stop.wait(max(0.0, began + due - time.monotonic())):
                break
        line.write(chunk.data)
        played += len(chunk.data)
    return played
