"""Random scooters of our own simulation, with labels like those of the captures that are scored.

Every case is drawn from a seed: number of cells, capacity, chemistry, age, weather, board, dialect,
who asks how often and which blocks, adapter, charge, cell, severity and onset. The ranges are those
of the model (`packtap.simulated`), not of any capture. A family is a row of `FAULTS`, the same on a
technician's bench ("visit_..."), or a sound pack in some use ("healthy_...").
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ninebot_bms import Dialect
from packtap import kinds
from packtap.model import Severity
from packtap.simulated.day import STORIES, Mode, Phase
from packtap.simulated.fault_rows import FAULTS
from packtap.simulated.faults import Fault, FaultRow
from packtap.simulated.recording import ADAPTERS, Recorder
from packtap.simulated.scooter import Plan
from simulations import Case, tell

__all__ = ["FAMILIES", "OwnCase", "draw"]

#: Rows that one look at a pack at rest can show, and how long a visit they need.
_ON_BENCH: Final[Mapping[str, float]] = {
    "bms_fault_flag": 90, "bms_comm_lost": 90, "bms_comm_intermittent": 120,
    "frozen_readings": 120, "implausible_data": 90, "voltage_sum_mismatch": 90,
    "cell_imbalance": 90, "dead_cell": 90, "open_balance_wire": 90, "cell_overvoltage-rest": 90,
    "deep_discharge": 90, "temp_sensor_fault": 90, "soc_miscalibration": 90,
    "moisture_suspected": 120, "charge_blocked": 150,
}  # fmt: skip
#: On the bench a loose plug is moved by hand until it shows: gaps in ten minutes.
_SHAKEN: Final = frozenset({"bms_comm_intermittent"})
#: Warnings that need load, charge or hours, or that no pack of that family has.
_NEEDS_MORE: Final = (
    "weak_cell", "high_resistance_cell", "self_discharge_cell", "high_resistance_connection",
    "capacity_fade", "over_current",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OwnCase:
    """One random scooter.

    Attributes:
        case: what is simulated and recorded.
        label: what is true of it, in the form of events.md section 5.
    """

    case: Case
    label: dict[str, Any]


def draw(family: str, seed: int) -> OwnCase:
    """Return the case that this seed draws of a family."""
    chance = random.Random(f"own {family} {seed}")
    return FAMILIES[family](chance, family, seed)


def _pack(chance: random.Random) -> dict[str, Any]:
    """Draw what no fault has to do with."""
    return {
        "cells": chance.choice((10, 10, 10, 10, 10, 10, 13, 12, 7, 16, 4)),
        "design_capacity_mah": chance.choice((5200, 7650, 7800, 10200, 12800, 15300)),
        "age": chance.random() ** 2 * 0.9,
        "ambient_c": chance.uniform(-4, 36),
        "board": chance.choice(("old", "old", "new", "new", "botox")),
        "seed": chance.randrange(1_000_000),
    }


def _ride_without_botox(pack: dict[str, Any], story: str) -> None:
    """Take another board for a ride: a BotoX clears bit 0 above 100 mV "at any load".

    So it says fault of sound packs as well, when they are old or the current steps. That is what
    the event means, and no false alarm; but it is no sound pack to count false alarms on either.
    """
    if pack["board"] == "botox" and story not in ("rest", "park", "bench"):
        pack["board"] = "new"


def _bus(chance: random.Random) -> dict[str, Any]:
    return {
        "poll_s": chance.choice((None, 0.5, 0.5, 1.0, 1.0)),
        "block": chance.choice(("cells", "cells", "cells", "state", "long")),
    }


def _case(chance: random.Random, plan: Plan, seconds: float) -> Case:
    return Case(
        plan,
        seconds,
        chance.choice((Dialect.XIAOMI, Dialect.XIAOMI, Dialect.NINEBOT)),
        _bus(chance),
        Recorder(
            start_t=chance.uniform(1.70e9, 1.78e9),
            adapter=chance.choice(ADAPTERS),
            one_line=chance.random() < 0.5,
            seed=plan.seed,
        ),
    )


def _label(family: str, seed: int, case: Case, **truth: Any) -> dict[str, Any]:
    return {
        "scenario": f"{family}/{seed}",
        "family": family,
        "duration_s": case.seconds,
        "onset_t": None,
        "expected_events": [],
        "forbidden_events": [],
        "allowed_events": [],
        "faulty_cells": [],
        "expected_top_cause": "none",
        "also_accept_causes": [],
        **truth,
    }


def _of_fault(row: FaultRow) -> Callable[[random.Random, str, int], OwnCase]:
    def drawn(chance: random.Random, family: str, seed: int) -> OwnCase:
        pack = _pack(chance)
        story = STORIES[row.story]
        at_s = chance.uniform(0.7, 1.8) * row.onset_s if row.onset_s else None
        soc_pct = row.soc_pct
        if soc_pct is None and story.name not in ("trip", "charge", "bench"):
            soc_pct = chance.uniform(35, 95)
        if row.kind in ("under_temperature", "over_temperature", "charge_blocked"):
            pack["ambient_c"] = 20.0  # the weather is the fault, or would explain it
        if row.story == "charge":
            pack["ambient_c"] = max(pack["ambient_c"], 5.0)
        fault = _fault(chance, row, pack["cells"], at_s)
        _ride_without_botox(pack, story.name)
        plan = Plan(soc_pct=soc_pct, story=story.name, faults=(fault,), **{**pack, **row.plan})
        case = _case(chance, plan, row.seconds or story.seconds)
        return OwnCase(case, _truth(family, seed, case, fault, row.within_s))

    return drawn


def _on_bench(row: FaultRow, seconds: float) -> Callable[[random.Random, str, int], OwnCase]:
    def drawn(chance: random.Random, family: str, seed: int) -> OwnCase:
        pack = _pack(chance)
        pack["ambient_c"] = chance.uniform(12, 28)
        at_s = 0.0
        story = "bench"
        if row.kind == "bms_comm_lost" and chance.random() < 0.5:
            at_s = chance.uniform(10, 40)
        if row.kind == "charge_blocked":
            story = "bench-charger"
        if row.kind == "frozen_readings" and chance.random() < 0.5:
            at_s = chance.uniform(2, 40)
        fault = _fault(chance, row, pack["cells"], at_s)
        if row.name in _SHAKEN:
            fault = replace(fault, severity=0.8 + 0.2 * fault.severity)
        soc_pct = row.soc_pct if row.soc_pct is not None else chance.uniform(35, 88)
        plan = Plan(soc_pct=soc_pct, story=story, faults=(fault,), **pack)
        case = _case(chance, plan, seconds)
        return OwnCase(case, _truth(family, seed, case, fault, seconds - at_s))

    return drawn


def _fault(chance: random.Random, row: FaultRow, cells: int, at_s: float | None) -> Fault:
    cell = chance.randint(1, cells) if row.per_cell else None
    return Fault(row, cell, chance.random(), at_s)


def _truth(family: str, seed: int, case: Case, fault: Fault, within_s: float) -> dict[str, Any]:
    row = fault.row
    onset_t = case.recorder.start_t + fault.onset_s
    if row.kind == "timestamp_anomaly":
        onset_t += fault.value  # an event has the time that the clock shows then
    place = fault.place(case.plan.cells)
    cells = [place] if row.per_cell else []
    if row.kind == "open_balance_wire":
        node = min(place, case.plan.cells - 1)
        cells = [node, node + 1]
    expected: dict[str, Any] = {"max_delay_s": within_s, "kind": row.kind}
    harmful = [kind.name for kind in kinds.KINDS if kind.severity is not Severity.INFO]
    return _label(
        family, seed, case,
        onset_t=onset_t,
        expected_events=[
            {**expected, "tier": "detect", "any_of": sorted(row.also)},
            {**expected, "tier": "isolate"},
        ],
        forbidden_events=[kind for kind in harmful if kind not in {row.kind, *row.also}],
        faulty_cells=cells,
        expected_top_cause=row.causes[0],
        also_accept_causes=list(row.causes[1:]),
    )  # fmt: skip


def _sound(
    story: str, seconds: float | None = None, allowed: tuple[str, ...] = (), **how: Any
) -> Callable[[random.Random, str, int], OwnCase]:
    """Return how to draw a sound pack; of `how`, pairs are ranges."""

    def drawn(chance: random.Random, family: str, seed: int) -> OwnCase:
        pack = _pack(chance)
        if story in ("charge", "commute") or story.startswith("bench"):
            pack["ambient_c"] = max(pack["ambient_c"], 5.0)
        for key, value in how.items():
            is_range = isinstance(value, tuple) and isinstance(value[0], float)
            pack[key] = chance.uniform(*value) if is_range else value
        _ride_without_botox(pack, story)
        plan = Plan(story=story, **pack)
        case = _case(chance, plan, seconds or STORIES[story].seconds)
        return OwnCase(case, _label(family, seed, case, allowed_events=list(allowed)))

    return drawn


_POWER_CYCLES: Final = tuple(
    phase
    for _ in range(8)
    for phase in (
        Phase(Mode.STANDING, 8.0),
        Phase(Mode.RIDING, 90.0),
        Phase(Mode.PARKED, 240.0, look_every_s=3600.0),
    )
)

FAMILIES: Final[Mapping[str, Callable[[random.Random, str, int], OwnCase]]] = {
    **{name: _of_fault(row) for name, row in FAULTS.items() if row.story != "bench"},
    **{f"visit_{name}": _on_bench(FAULTS[name], s) for name, s in _ON_BENCH.items()},
    "healthy_ride": _sound("ride", 900, soc_pct=(45.0, 95.0)),
    "healthy_into_the_knee": _sound("trip", soc_pct=(40.0, 60.0), seconds=4000),
    "healthy_commute": _sound("commute"),
    "healthy_parked": _sound("park", 100000, soc_pct=(25.0, 95.0)),
    "healthy_charge": _sound("charge", soc_pct=(25.0, 85.0)),
    "healthy_full": _sound("charge", 4000, soc_pct=(96.0, 99.0)),
    "healthy_cold": _sound(
        "ride", 700, ("under_temperature",), ambient_c=(-14.0, -2.0), soc_pct=(50.0, 95.0)
    ),
    "healthy_hot": _sound("ride", 700, ambient_c=(38.0, 44.0), soc_pct=(50.0, 95.0)),
    "healthy_aged": _sound("trip", age=(0.7, 1.0), learns=True, allowed=("capacity_fade",)),
    "healthy_spread": _sound("commute", charge_spread_pct=(0.7, 1.0)),
    "healthy_power_cycles": _sound("ride", 2700, phases=_POWER_CYCLES),
    "visit_healthy": _sound("bench", 90, soc_pct=(30.0, 95.0)),
    "visit_healthy_low": _sound("bench", 90, soc_pct=(4.0, 20.0)),
    "visit_healthy_full": _sound("bench-charger", 150, soc_pct=(96.0, 100.0)),
    "visit_healthy_charger": _sound("bench-charger", 120, soc_pct=(20.0, 85.0)),
    "visit_healthy_aged": _sound("bench", 90, soc_pct=(30.0, 95.0), age=(0.7, 1.0)),
}  # fmt: skip


def main(words: list[str]) -> None:
    """Print what is told of FAMILY SEED: for looking into one case."""
    family, seed = words
    own = draw(family, int(seed))
    plan = own.case.plan
    print(plan, own.case.dialect, own.case.bus, own.case.recorder, sep="\n")
    print([(fault.row.name, fault.cell, fault.value, fault.onset_s) for fault in plan.faults])
    told = tell(own.case)
    for event in told.events:
        at_s = (event.t or 0.0) - own.case.recorder.start_t
        print(f"{at_s:10.1f}  {event.kind} {event.cell or ''}  {event.value} / {event.limit}")
    print({cause: round(share, 3) for cause, share in told.causes.items()})


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
