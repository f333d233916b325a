"""What the board's measuring chip reads of a pack: sense wires, converter, sensors, floor 2.

The chip sees the potentials of the nodes between the groups through thin wires and resistors.
A node's error moves the group below it up and the group above it down by the same amount; the sum
and the pack voltage stay. Groups are converted one after the other within a cycle of 250 ms, the
current is integrated over a cycle, and the registers of the one may be a cycle or two older than
those of the other (events.md section 4: 0-500 ms).

Numbers: channels of such chips are within 1-5 mV after trimming (BQ76930 class), the reading
flickers by about half a millivolt; full scale is 6.3 V. The pack channel is within 0.3 %, the
current channel within 1 % and 40 mA. A filter of 100-1000 ohm in a sense wire turns 10-100 uA of
leakage through a wet film into tens of millivolts. Two thermistors sit within 2 K of each other.
"""

import random
from dataclasses import dataclass
from typing import Final

from packtap.simulated.pack_model import PackModel

__all__ = ["LooseWire", "Measured", "Sensing"]

_FULL_SCALE_V: Final = 6.275
_CHANNEL_MV: Final = (1.0, 3.0)  # one sigma between the channels of a board
_FLICKER_MV: Final = 0.55
_PACK_GAIN: Final = 0.0015
_CURRENT_GAIN: Final = 0.005
_OFFSET_A: Final = 0.04
_STEPS: Final = 5  # of a cycle, at which groups are converted
_MOST_DELAY: Final = 2  # cycles between current and cells
_WIRE_OHM_MV: Final = (8.0, 25.0)  # by how much bleeding pulls a reading down
_FLICKER_K: Final = 0.2
_DROPLET_S: Final = (6.0, 25.0)  # memory of a wet node's error
_FLOAT_S: Final = 1.5  # a floating node drifts within seconds


@dataclass(slots=True)
class LooseWire:
    """A sense wire that does not hold its node.

    Attributes:
        node: between the groups `node` and `node + 1`.
        error_v: where the node drifts to while the wire is open; positive lifts the lower group.
        is_steady: open all the time; False: opens for seconds, when shaken.
    """

    node: int
    error_v: float
    is_steady: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """What the chip has read in one cycle.

    Attributes:
        cells_mv: cell 1 first.
        voltage_v: of the pack.
        current_a: positive is discharge.
        temperatures_raw: degrees Celsius + 20, sensor 1 first.
    """

    cells_mv: tuple[int, ...]
    voltage_v: float
    current_a: float
    temperatures_raw: tuple[int, int]


class Sensing:
    """Reads a pack once a cycle. Its public attributes are what a fault may change.

    Attributes:
        loose: sense wires that do not hold.
        wet: nodes under a film of moisture, and how far they wander (millivolts, one sigma).
        pack_gain: of the pack channel.
        sensors_raw: end stops or frozen values of the two sensors; None: they work.
        jumps_k: how far wet sensors jump.
    """

    def __init__(self, cells: int, seed: int) -> None:
        self._random = random.Random(f"sensing {seed}")  # noqa: S311 - noise, not a secret
        chance = self._random
        sigma = chance.uniform(*_CHANNEL_MV)
        self._channel_mv = [chance.gauss(0, sigma) for _ in range(cells)]
        self._current_gain = chance.gauss(1, _CURRENT_GAIN)
        self._offset_a = chance.uniform(-_OFFSET_A, _OFFSET_A)
        self._cells_delay = chance.randint(0, 1)
        self._current_delay = chance.randint(0, _MOST_DELAY)
        self._wire_mv = chance.uniform(*_WIRE_OHM_MV)
        self._sensor_k = (chance.uniform(-1, 1), chance.uniform(-1, 1))
        self._droplet_s = chance.uniform(*_DROPLET_S)
        self._cells: list[tuple[int, ...]] = []
        self._currents: list[float] = []
        self._floating_v: dict[int, float] = {}
        self._shaken_until = -1.0
        self._wet_mv: dict[int, float] = {}
        self._now = 0.0
        self.loose: list[LooseWire] = []
        self.wet: dict[int, float] = {}
        self.pack_gain = chance.gauss(1, _PACK_GAIN)
        self.sensors_raw: list[int | None] = [None, None]
        self.jumps_k = 0.0
        self.shakes = 0.0  #: how often a loose wire opens while it is shaken, times a second
        self.shakes_at_rest = 0.0  #: and while nothing moves

    def read(self, now: float, pack: PackModel, currents_a: list[float]) -> Measured:
        """Return what the registers hold after the cycle that ends now.

        Args:
            now: seconds.
            pack: what is measured.
            currents_a: what flowed during the cycle, in equal steps.
        """
        step_s = max(0.0, now - self._now)
        self._now = now
        self._move_nodes(step_s, moving=max(map(abs, currents_a)) > 1.0)
        self._cells.append(self._convert(pack, currents_a))
        self._currents.append(sum(currents_a) / len(currents_a))
        del self._cells[: -1 - _MOST_DELAY], self._currents[: -1 - _MOST_DELAY]
        cells_mv = self._cells[max(0, len(self._cells) - 1 - self._cells_delay)]
        current_a = self._currents[max(0, len(self._currents) - 1 - self._current_delay)]
        at = self._random.choice(currents_a)
        pack_v = sum(pack.stack(at)) - at * pack.joint_ohm
        flicker_a = self._random.choice((-0.01, 0.0, 0.0, 0.01))
        return Measured(
            cells_mv=cells_mv,
            voltage_v=round(max(0.0, pack_v * self.pack_gain), 2),
            current_a=round(current_a * self._current_gain + self._offset_a + flicker_a, 2),
            temperatures_raw=self._temperatures(pack),
        )

    def restart(self) -> None:
        """Forget what was measured before a pause: the next registers are fresh."""
        self._cells.clear()
        self._currents.clear()

    def _convert(self, pack: PackModel, currents_a: list[float]) -> tuple[int, ...]:
        nodes_v = {node: mv / 1000 for node, mv in self._wet_mv.items()}
        for node, volts in self._floating_v.items():
            nodes_v[node] = nodes_v.get(node, 0.0) + volts
        count = len(pack.cells)
        read = []
        for number in range(1, count + 1):
            current_a = currents_a[(number - 1) * len(currents_a) // count]
            volts = pack.volts(number, current_a)
            volts += nodes_v.get(number, 0.0) - nodes_v.get(number - 1, 0.0)
            millivolts = 1000 * volts + self._channel_mv[number - 1] + self._bled_mv(pack, number)
            millivolts += self._random.gauss(0, _FLICKER_MV)
            read.append(round(min(max(millivolts, 0.0), 1000 * _FULL_SCALE_V)))
        return tuple(read)

    def _bled_mv(self, pack: PackModel, number: int) -> float:
        """Bleeding draws its current through the sense wires of the group, both of them."""
        bleeding = pack.bleeding_a
        if not bleeding:
            return 0.0
        mv = -2 * self._wire_mv if number in bleeding else 0.0
        return mv + self._wire_mv * sum(beside in bleeding for beside in (number - 1, number + 1))

    def _move_nodes(self, step_s: float, *, moving: bool) -> None:
        chance = self._random
        for node, sigma_mv in self.wet.items():
            before = self._wet_mv.get(node)
            if before is None:
                self._wet_mv[node] = chance.gauss(0, sigma_mv)
                continue
            keep = max(0.0, 1 - step_s / self._droplet_s)
            noise = sigma_mv * (1 - keep * keep) ** 0.5
            self._wet_mv[node] = keep * before + chance.gauss(0, noise)
        rate = self.shakes if moving else self.shakes_at_rest
        if chance.random() < rate * step_s:
            self._shaken_until = self._now + chance.uniform(1.5, 5.0)
        for wire in self.loose:
            is_open = wire.is_steady or self._now < self._shaken_until
            target_v = wire.error_v * chance.uniform(0.985, 1.015) if is_open else 0.0
            share = min(1.0, step_s / _FLOAT_S) if is_open else 1.0
            before_v = self._floating_v.get(wire.node, 0.0)
            self._floating_v[wire.node] = before_v + (target_v - before_v) * share

    def _temperatures(self, pack: PackModel) -> tuple[int, int]:
        raws = []
        for stop, off_k in zip(self.sensors_raw, self._sensor_k, strict=True):
            celsius = pack.celsius + off_k + self._random.gauss(0, _FLICKER_K)
            if self.jumps_k and self._random.random() < 0.05:
                celsius += (
                    self._random.choice((-1, 1)) * self._random.uniform(0.5, 1) * self.jumps_k
                )
            raw = round(celsius) + 20 if stop is None else stop
            raws.append(min(max(raw, 0), 255))
        return raws[0], raws[1]
