"""Which cause explains what was seen? Floor 2.

Naive Bayes over the causes of `packtap.model.Cause`: a prior, and for every kind of event that was
raised one row of likelihoods. Probabilities sum to one.

Priors: a reported "BMS fault" (a fault flag, or a BMS that does not answer) starts from the repair
report: board 60 %, cells 25 %, connections 10 %, the rest split as in events.md section 3. Without
one, `none` has one half and the rest is shared in the same proportions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from packtap.model import Cause, Event, EventState

__all__ = ["FAULT_PRIOR", "LIKELIHOODS", "Likelihood", "RankedCause", "rank_causes"]

#: Prior given a reported BMS fault and nothing else. Source: events.md section 3.
FAULT_PRIOR: Final[Mapping[Cause, float]] = MappingProxyType(
    {
        Cause.BMS_BOARD: 0.60,
        Cause.CELL_DAMAGE: 0.25,
        Cause.CONNECTION: 0.10,
        Cause.MOISTURE: 0.03,
        Cause.CALIBRATION: 0.015,
        Cause.DEEP_DISCHARGE: 0.005,
        Cause.NONE: 0.0,
    }
)

_NONE_PRIOR: Final = 0.5  # without a reported fault


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely an event of one kind is under each cause.

    Attributes:
        kind: row of `packtap.kinds`.
        given: probability of seeing it at least once, by cause.
        why: the reasoning or source behind the numbers.
    """

    kind: str
    given: Mapping[Cause, float]
    why: str


def _row(kind: str, why: str, **given: float) -> Likelihood:
    return Likelihood(kind, MappingProxyType({Cause(name): p for name, p in given.items()}), why)


LIKELIHOODS: Final[tuple[Likelihood, ...]] = (
    _row(
        "bms_fault_flag",
        "both boards and bad groups set it (BotoX clears bit 0 at 100 mV of spread); sound "
        "packs never do",
        bms_board=0.7, cell_damage=0.5, connection=0.3, moisture=0.3, calibration=0.1,
        deep_discharge=0.8, none=0.001,
    ),
    _row(
        "bms_comm_lost",
        "a silent BMS is a board suspicion first, a line second; an empty pack is silent too",
        bms_board=0.4, cell_damage=0.03, connection=0.35, moisture=0.1, calibration=0.01,
        deep_discharge=0.3, none=0.001,
    ),
    _row(
        "bus_noise",
        "collisions are normal on the one-wire bus of a sound scooter; a loose line adds to them",
        bms_board=0.2, cell_damage=0.2, connection=0.4, moisture=0.25, calibration=0.2,
        deep_discharge=0.2, none=0.2,
    ),
    _row(
        "cell_overvoltage",
        "one cell too high: that cell or its balancing; a sense wire or the board can mimic it",
        bms_board=0.1, cell_damage=0.25, connection=0.08, moisture=0.08, calibration=0.05,
        deep_discharge=0.001, none=0.0005,
    ),
    _row(
        "cell_undervoltage",
        "a weak, shorted or dead group, an empty pack, or a sense wire that reads low",
        bms_board=0.03, cell_damage=0.5, connection=0.1, moisture=0.08, calibration=0.02,
        deep_discharge=0.95, none=0.005,
    ),
    _row(
        "cell_imbalance",
        "a difference of charge at rest is in the cells; wires and moisture can mimic it",
        bms_board=0.02, cell_damage=0.6, connection=0.08, moisture=0.1, calibration=0.08,
        deep_discharge=0.2, none=0.003,
    ),
)  # fmt: skip

_BY_KIND: Final = {row.kind: row for row in LIKELIHOODS}
_FAULT_REPORTED: Final = frozenset({"bms_fault_flag", "bms_comm_lost"})


@dataclass(frozen=True, slots=True)
class RankedCause:
    """One cause, its probability (0-1) and the kinds of event that speak for or against it."""

    cause: Cause
    probability: float
    evidence_for: tuple[str, ...]
    evidence_against: tuple[str, ...]


def rank_causes(
    events: Iterable[Event], *, fault_reported: bool = False
) -> tuple[RankedCause, ...]:
    """Return all causes, most probable first; their probabilities sum to one.

    Args:
        events: what was raised; an event that was cleared since is evidence all the same.
        fault_reported: somebody, or the dashboard, said "BMS fault".
    """
    seen = {event.kind for event in events if event.state is EventState.RAISED}
    if fault_reported or seen & _FAULT_REPORTED:
        # Even a reported fault leaves a little room for a sound pack (ESC, plug, dashboard).
        weights = {cause: max(p, 0.001) for cause, p in FAULT_PRIOR.items()}
    else:
        weights = {cause: p * (1 - _NONE_PRIOR) for cause, p in FAULT_PRIOR.items()}
        weights[Cause.NONE] = _NONE_PRIOR
    rows = [_BY_KIND[kind] for kind in sorted(seen) if kind in _BY_KIND]
    for row in rows:
        for cause in Cause:
            weights[cause] *= row.given[cause]
    total = sum(weights.values())
    ranked = [
        RankedCause(cause, weight / total, *_evidence(cause, rows))
        for cause, weight in weights.items()
    ]
    return tuple(sorted(ranked, key=lambda entry: entry.probability, reverse=True))


def _evidence(cause: Cause, rows: Iterable[Likelihood]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    speaks_for: list[str] = []
    speaks_against: list[str] = []
    for row in rows:
        typical = sum(row.given.values()) / len(row.given)
        (speaks_for if row.given[cause] >= typical else speaks_against).append(row.kind)
    return tuple(speaks_for), tuple(speaks_against)
