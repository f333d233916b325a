"""A simulated scooter's bytes as a recording of them, floor 2.

Faster than real time: silence is jumped over. The recorder's adapter hands bytes over in its own
way (whole frames, pieces of 1-16 bytes, or what came within 16 ms), and its clock may step: that is
a fault of the recorder, and shows here only.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ninebot_bms import Chunk
from ninebot_bms.pairing import BYTE_S
from packtap.simulated.wires import Wires

__all__ = ["ADAPTERS", "Recorder"]

ADAPTERS: Final = ("frames", "pieces", "latency")
_PIECE: Final = 16
_LATENCY_S: Final = 0.016


@dataclass(frozen=True, slots=True)
class Recorder:
    """How a recording is made.

    Attributes:
        start_t: what its clock shows at the start, Unix seconds.
        adapter: a row of `ADAPTERS`.
        one_line: everything is read from one wire, called "bms".
        seed: of the pieces.
    """

    start_t: float = 1_750_000_000.0
    adapter: str = "frames"
    one_line: bool = False
    seed: int = 1

    def record(self, wires: Wires, seconds: float) -> Iterator[Chunk]:
        """Yield what is read in so many seconds, in the order in which it is read."""
        chance = random.Random(f"adapter {self.seed}")  # noqa: S311 - no secret
        held: dict[str, tuple[float, bytes]] = {}
        now = 0.0
        while now < seconds:
            for line, data in wires.step(now):
                name = "bms" if self.one_line else line
                for t, piece in self._pieces(now, data, chance):
                    if self.adapter != "latency":
                        yield self._chunk(wires, t, name, piece)
                        continue
                    yield from self._release(wires, held, t)
                    began, before = held.get(name, (t, b""))
                    held[name] = (began, before + piece)
            now = max(wires.wake_at(now), now + 1e-6)
            yield from self._release(wires, held, now)
        yield from self._release(wires, held, now + _LATENCY_S)

    def _release(
        self, wires: Wires, held: dict[str, tuple[float, bytes]], now: float
    ) -> Iterator[Chunk]:
        for name in [name for name, (began, _) in held.items() if now - began >= _LATENCY_S]:
            began, data = held.pop(name)
            yield self._chunk(wires, began + _LATENCY_S, name, data)

    def _pieces(
        self, now: float, data: bytes, chance: random.Random
    ) -> Iterator[tuple[float, bytes]]:
        if self.adapter != "pieces":
            yield now, data
            return
        start = 0
        while start < len(data):
            end = min(len(data), start + chance.randint(1, _PIECE))
            yield now - (len(data) - end) * BYTE_S, data[start:end]
            start = end

    def _chunk(self, wires: Wires, t: float, name: str, data: bytes) -> Chunk:
        stepped_s = sum(by_s for at, by_s in wires.scooter.recorder.steps if t >= at)
        return Chunk(round(self.start_t + t + stepped_s, 6), name, data)
