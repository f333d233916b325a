"""An emulated scooter, or a recording, on pseudo-terminals, floor 3.

What a tap would see on the wires of a scooter: on the line `esc` what the ESC sends, on `bms` what
the pack sends. A program opens the terminals as if they were serial adapters. Bytes come at the
rate of the line (115200 8N1, 87 us a byte).

POSIX only. Nothing here reaches a real port.
"""

import os
import threading
import time
import tty
from collections.abc import Iterable
from dataclasses import replace
from math import inf
from typing import Final

from ninebot_bms import Chunk, Dialect
from ninebot_bms.emulated_esc import APP_READS, EmulatedEsc
from ninebot_bms.emulator import EmulatedPack, RegisterImage
from packtap.ride import Ride, RidePlan

__all__ = ["EmulatedScooter", "PtyLine", "Wires", "play"]

_BYTE_S: Final = 10 / 115200
_PIECE: Final = 8  # bytes written at a time: what a UART's buffer hands over
_AFE_CYCLE_S: Final = 0.25  # the board measures its cells that often
_IDLE_S: Final = 0.002
_IDENTITY_S: Final = 10.0


class PtyLine:
    """One wire: what is written here is read by whoever opens `path`.

    Args:
        name: of the line, "esc" or "bms".
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


class Wires:
    """A rider, a pack and an ESC on two wires; or, for a bench, a pack alone on one.

    No terminal and no clock: time is what `step` is told, so a test rides an hour in seconds.

    Args:
        plan: pack, rider and what fails.
        dialect: what the bus speaks.
        is_bench: the data plug is off the ESC: nobody asks, the pack answers.
        app: a second master (a phone or a fleet box) reads cells and identity too. Without one no
            cell is ever on the wire: a stock ESC does not ask for them.
        serial: of the pack, 14 characters.
    """

    def __init__(
        self,
        plan: RidePlan,
        dialect: Dialect = Dialect.XIAOMI,
        *,
        is_bench: bool = False,
        app: bool = True,
        serial: str = "3JDEA24M1D0815",
    ) -> None:
        self._ride = Ride(plan)
        self._image = RegisterImage()
        self._image.set("serial", serial)
        self._image.set("firmware", "1.1.5")
        self._image.set("design_capacity_mah", plan.design_capacity_mah)
        self._image.set("full_capacity_mah", plan.design_capacity_mah * 97 // 100)
        self._image.set("design_voltage_v", 3.6 * plan.cells)
        self._image.set("cycle_count", 61)
        self._image.set("charge_count", 104)
        self._image.set("manufacture_date", "2024-12-13")
        self._image.set("health_pct", 97)
        self._pack = EmulatedPack(dialect, self._image, seed=plan.seed)
        # Identity again and again, as a fleet box does: a tap may begin to listen at any time.
        reads = [replace(read, every_s=read.every_s or _IDENTITY_S) for read in APP_READS]
        self._esc = (
            None if is_bench else EmulatedEsc(dialect, app=reads if app else False, seed=plan.seed)
        )
        self._measures_at = 0.0
        self.names: Final = ("bms",) if is_bench else ("esc", "bms")

    def step(self, now: float, asked: bytes = b"") -> list[tuple[str, bytes]]:
        """Let it be `now`, seconds from the start; return what has been sent, by line.

        Args:
            now: never earlier than before.
            asked: what the master of a bench has sent since the step before.
        """
        if now >= self._measures_at:
            self._measures_at = now + _AFE_CYCLE_S
            self._ride.advance(now)
            self._image.update(self._ride.registers())
        sent = []
        if self._esc is not None and (request := self._esc.next_send(now)):
            sent.append(("esc", request))
            asked = request
        if asked:
            self._pack.receive_data(asked, now)
        while answer := self._pack.next_send(now):
            sent.append(("bms", answer))
            if self._esc is not None:
                self._esc.receive_data(answer, now)
        return sent

    def wake_at(self, now: float) -> float:
        """Return when the next step has something to do, if nothing is asked before."""
        esc_at = inf if self._esc is None else self._esc.wake_at(now)
        return min(self._measures_at, self._pack.wake_at(now), esc_at)


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
