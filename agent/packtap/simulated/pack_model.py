"""What the cells of a pack do: charge, voltage, warmth, floor 2.

A pack is cell groups in series. Each group is an open-circuit voltage, an ohmic resistance and two
relaxation terms (a fast one of some ten seconds, a slow one of minutes), with its own capacity,
charge and leakage; the time constants are those of the pack. Resistance follows Arrhenius, and
rises towards empty. One body of heat, one ambient.

Numbers, per group of parallel 18650 cells:

- Resistance seen after a second: data sheets give 20-45 mohm a cell of 2.6-3.5 Ah, so 75-120
  mohm Ah a group; nickel strip and welds add 1-2 mohm. Aged cells reach about twice that.
- Relaxation: fast 0.3-0.5 of the ohmic part in 10-30 s, slow 0.4-0.8 of it in 4-10 minutes
  (equivalent circuits of 18650 cells; events.md section 7: 5-10 minutes).
- Spread, one sigma: capacity 0.5-1.5 %, resistance 2-5 %, doubled by age (Batteries 2023 9(7) 339).
- Activation energy of the resistance 20-28 kJ/mol: about 2.3 times at 0 degC, 3.5 at -10 degC, and
  relaxation slows with it.
- Self-discharge 2-3 % a month, 0.003-0.004 %/h, equal within a fifth of that.
- 0.9 kJ/kg K; a group of 10 Ah weighs some 0.2 kg; a closed case cools in an hour or two.

Open-circuit voltages need no temperature term (0.1-0.3 mV/K, common to all groups).
"""

import math
import random
from dataclasses import dataclass
from typing import Final

from packtap.simulated.chemistry import CHEMISTRIES, Chemistry, Curve

__all__ = ["Cell", "PackModel", "PackTraits", "build_pack"]

_MOHM_AH: Final = (75.0, 120.0)
_STRIP_MOHM: Final = (1.0, 2.0)
_AGED_RESISTANCE: Final = 0.9  # added at the end of life
_AGED_CAPACITY: Final = 0.22  # lost at the end of life
_FAST_SHARE: Final = (0.3, 0.5)
_FAST_S: Final = (10.0, 30.0)
_SLOW_SHARE: Final = (0.4, 0.8)
_SLOW_S: Final = (240.0, 600.0)
_ACTIVATION_K: Final = (2400.0, 3400.0)  # energy over the gas constant
_REFERENCE_K: Final = 298.15
_ZERO_C_K: Final = 273.15
_NEAR_EMPTY_PCT: Final = 25.0
_EMPTY_RISE: Final = 1.3
_EMPTY_SCALE_PCT: Final = 7.0
_LEAK_PCT_PER_H: Final = 0.0035
_HEAT_J_PER_K_AH: Final = 180.0  # of one group, per ampere-hour
_COOLING_S: Final = (3000.0, 6000.0)
_SHORT_GROWS_S: Final = 6.0
_WARMING_K_PER_S: Final = 0.05
_USUAL_V: Final = 3.7


@dataclass(frozen=True, slots=True)
class PackTraits:
    """What kind of pack it is, before chance draws its cells.

    Attributes:
        cells: groups in series, 1-16.
        design_mah: capacity on the label.
        age: 0 new, 1 end of life; resistance and capacity follow it, spreads double.
        ambient_c: of the place where it is used.
        chemistry: of its cells; None: drawn.
        charge_spread_pct: by how much the groups differ in charge, one sigma; None: by age.
    """

    cells: int = 10
    design_mah: int = 7800
    age: float = 0.15
    ambient_c: float = 22.0
    chemistry: Chemistry | None = None
    charge_spread_pct: float | None = None


class Cell:
    """One group. Its attributes are what a fault may change.

    Attributes:
        ah: capacity.
        soc_pct: charge.
        ohm: ohmic resistance at 25 degC.
        added_ohm: more of it, outside of the cells proper: a weld, a tab (no temperature).
        relax: relaxation resistances, as shares of `ohm`: fast, slow.
        fast_v, slow_v: what has not relaxed yet.
        leak_ohm: soft short across it; infinite for none.
        shorted_to_v: a hard short that leaves it so much at rest; None for none.
        is_open: nothing is left of it: it reads next to nothing, whatever flows.
        left_v: what an open or dead group still shows.
    """

    __slots__ = (
        "added_ohm", "ah", "fast_v", "is_open", "leak_ohm", "left_v", "ohm", "relax",
        "short_grown", "shorted_to_v", "slow_v", "soc_pct",
    )  # fmt: skip

    def __init__(self, ah: float, soc_pct: float, ohm: float, relax: tuple[float, float]) -> None:
        self.ah = ah
        self.soc_pct = soc_pct
        self.ohm = ohm
        self.added_ohm = 0.0
        self.relax = relax
        self.fast_v = self.slow_v = 0.0
        self.leak_ohm = math.inf
        self.shorted_to_v: float | None = None
        self.short_grown = 0.0
        self.is_open = False
        self.left_v = 0.0


class PackModel:
    """Groups in series, one body of heat.

    Args:
        cells: the groups, cell 1 first.
        curve: of all of them.
        traits: where it is used.
        chance: for what differs between packs.
    """

    def __init__(
        self, cells: list[Cell], curve: Curve, traits: PackTraits, chance: random.Random
    ) -> None:
        self.cells = cells
        self.curve = curve
        self.ambient_c = traits.ambient_c
        self.celsius = traits.ambient_c
        self.warmed_to_c: float | None = None  #: sun and motor warm it up to here
        self.joint_ohm = chance.uniform(0.002, 0.005)  #: between the stack and the board
        self.bleeding_a: dict[int, float] = {}  #: cell number: what the balancer draws from it
        self._activation_k = chance.uniform(*_ACTIVATION_K)
        self._fast_s = chance.uniform(*_FAST_S)
        self._slow_s = chance.uniform(*_SLOW_S)
        self._cooling_s = chance.uniform(*_COOLING_S)
        self._heat_j_per_k = _HEAT_J_PER_K_AH * traits.design_mah / 1000 * len(cells)
        self._leak_pct_per_s = [
            _LEAK_PCT_PER_H / 3600 * chance.uniform(0.8, 1.2) for _ in range(len(cells))
        ]
        self._open_v: list[float] = []
        self._ohms: list[float] = []
        self.settle()

    def advance(self, step_s: float, current_a: float) -> None:
        """Let a current flow for a while (positive: discharge)."""
        warmth = self.resistance_factor
        fast = 1 - math.exp(-step_s / (self._fast_s * warmth**0.5))
        slow = 1 - math.exp(-step_s / (self._slow_s * warmth**0.5))
        heat_w = self.joint_ohm * current_a * current_a
        for number, cell in enumerate(self.cells, start=1):
            if cell.is_open:
                continue
            through_a = current_a + self.bleeding_a.get(number, 0.0) + self._lost_a(cell, step_s)
            cell.soc_pct -= through_a * step_s / (36.0 * cell.ah)
            cell.soc_pct -= self._leak_pct_per_s[number - 1] * step_s
            ohm = cell.ohm * warmth
            cell.fast_v += (through_a * ohm * cell.relax[0] - cell.fast_v) * fast
            cell.slow_v += (through_a * ohm * cell.relax[1] - cell.slow_v) * slow
            heat_w += through_a * through_a * (ohm + cell.added_ohm)
        self.celsius += heat_w * step_s / self._heat_j_per_k
        self.celsius += (self.ambient_c - self.celsius) * (1 - math.exp(-step_s / self._cooling_s))
        if self.warmed_to_c is not None and self.celsius < self.warmed_to_c:
            self.celsius = min(self.warmed_to_c, self.celsius + _WARMING_K_PER_S * step_s)
        self.settle()

    def settle(self) -> None:
        """Take what has changed in the cells into what their terminals show."""
        warmth = self.resistance_factor
        self._open_v, self._ohms = [], []
        for number, cell in enumerate(self.cells, start=1):
            ohm = 0.0 if cell.is_open else self._ohm(cell, warmth)
            volts = cell.left_v
            if not cell.is_open:
                volts = self.curve.volts(cell.soc_pct) - cell.fast_v - cell.slow_v
                volts -= self.bleeding_a.get(number, 0.0) * ohm
            if cell.shorted_to_v is not None:
                kept = cell.shorted_to_v / max(cell.shorted_to_v, _USUAL_V)
                share = 1 - cell.short_grown * (1 - kept)
                volts, ohm = volts * share, ohm * share
            self._open_v.append(volts)
            self._ohms.append(ohm)

    def volts(self, number: int, current_a: float) -> float:
        """Return what the terminals of one group have while this current flows."""
        return max(0.0, self._open_v[number - 1] - current_a * self._ohms[number - 1])

    def stack(self, current_a: float) -> list[float]:
        """Return the volts of all groups, cell 1 first."""
        return [self.volts(number, current_a) for number in range(1, len(self.cells) + 1)]

    @property
    def resistance_factor(self) -> float:
        """How much higher the resistance is than at 25 degC."""
        kelvin = max(self.celsius, -40.0) + _ZERO_C_K
        return math.exp(self._activation_k * (1 / kelvin - 1 / _REFERENCE_K))

    @property
    def rested_v(self) -> float:
        """Voltage of the stack without current, relaxation and all."""
        return sum(self._open_v)

    @property
    def stack_ohm(self) -> float:
        """Resistance that a charger sees at once."""
        return sum(self._ohms) + self.joint_ohm

    @property
    def least_pct(self) -> float:
        """Charge of the emptiest group."""
        return min(cell.soc_pct for cell in self.cells)

    @property
    def mean_pct(self) -> float:
        """Charge of the pack."""
        return sum(cell.soc_pct for cell in self.cells) / len(self.cells)

    @staticmethod
    def _ohm(cell: Cell, warmth: float) -> float:
        ohm = cell.ohm * warmth
        if cell.soc_pct < _NEAR_EMPTY_PCT:
            ohm *= 1 + _EMPTY_RISE * math.exp(-max(cell.soc_pct, 0.0) / _EMPTY_SCALE_PCT)
        return ohm + cell.added_ohm

    def _lost_a(self, cell: Cell, step_s: float) -> float:
        lost_a = 0.0
        if cell.leak_ohm < math.inf:
            lost_a = self.curve.volts(cell.soc_pct) / cell.leak_ohm
        if cell.shorted_to_v is not None:
            cell.short_grown += (1 - cell.short_grown) * (1 - math.exp(-step_s / _SHORT_GROWS_S))
            # The short carries what the group's own resistance lets through.
            open_v = self.curve.volts(cell.soc_pct)
            if open_v > 0.5:
                lost_a += cell.short_grown * max(0.0, open_v - cell.shorted_to_v) / cell.ohm
        return lost_a


def build_pack(traits: PackTraits, soc_pct: float, seed: int) -> PackModel:
    """Draw the cells of a pack.

    Args:
        traits: what kind of pack.
        soc_pct: charge of its median group.
        seed: the same seed draws the same pack.
    """
    chance = random.Random(f"pack {seed}")  # noqa: S311 - a pack, not a secret
    chemistry = traits.chemistry or chance.choice(CHEMISTRIES)
    curve = Curve(chemistry, chance.uniform(-1.5, 1.5))
    worn = 1 + traits.age
    capacity_sigma = chance.uniform(0.005, 0.015) * worn
    resistance_sigma = chance.uniform(0.02, 0.05) * worn
    charge_sigma = traits.charge_spread_pct
    if charge_sigma is None:
        charge_sigma = chance.uniform(0.1, 0.4) * worn
    design_ah = traits.design_mah / 1000
    ah = design_ah * chance.uniform(0.98, 1.03) * (1 - _AGED_CAPACITY * traits.age)
    mohm = chance.uniform(*_MOHM_AH) / design_ah + chance.uniform(*_STRIP_MOHM)
    mohm *= 1 + _AGED_RESISTANCE * traits.age
    relax = (chance.uniform(*_FAST_SHARE), chance.uniform(*_SLOW_SHARE))
    cells = [
        Cell(
            ah=ah * (1 + chance.gauss(0, capacity_sigma)),
            soc_pct=soc_pct + chance.gauss(0, charge_sigma),
            ohm=mohm / 1000 * (1 + chance.gauss(0, resistance_sigma)),
            relax=(relax[0] * chance.uniform(0.95, 1.05), relax[1] * chance.uniform(0.95, 1.05)),
        )
        for _ in range(traits.cells)
    ]
    return PackModel(cells, curve, traits, chance)
