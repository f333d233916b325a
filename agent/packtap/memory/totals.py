"""How much of a pack's life has been seen, in numbers that only grow, floor 2."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Final

from ninebot_bms import Snapshot
from packtap import kinds
from packtap.analysis.gauged import PackGauges

__all__ = ["Totals"]

#: A longer silence is a scooter that sleeps, or an agent that did not listen.
_LONGEST_STEP_H: Final = 30 / 3600
_QUIET_A: Final = 0.3
_OF_AGENT: Final = frozenset({"starts", "boots"})


@dataclass(slots=True)
class Totals:
    """Counters of one pack.

    Attributes:
        readings: snapshots.
        watched_h: hours in which it was read.
        rest_h: of them at rest.
        drawn_ah: charge drawn from it.
        charged_ah: charge put in.
        starts: of agents that have seen it.
        boots: of machines that have seen it.
        undated: points that were never dated, because their boot never knew the time.
        events: kind -> how often it was raised.
    """

    readings: int = 0
    watched_h: float = 0.0
    rest_h: float = 0.0
    drawn_ah: float = 0.0
    charged_ah: float = 0.0
    starts: int = 0
    boots: int = 0
    undated: int = 0
    events: Counter[str] = field(default_factory=Counter)
    _t: float | None = field(default=None, compare=False)
    _flowed: tuple[float, float] = field(default=(0.0, 0.0), compare=False)

    def look(self, snapshot: Snapshot) -> None:
        """Count a reading and the time since the one before."""
        self.readings += 1
        before, self._t = self._t, snapshot.t
        if before is None or snapshot.t is None:
            return
        step_h = (snapshot.t - before) / 3600
        if not 0 < step_h <= _LONGEST_STEP_H:
            return
        self.watched_h += step_h
        current = snapshot.trusted("current_a")
        if isinstance(current, int | float) and abs(current) < _QUIET_A:
            self.rest_h += step_h

    def count(self, gauges: PackGauges) -> None:
        """Count the charge that has flowed since the last time."""
        drawn, charged = gauges.drawn_ah, gauges.charged_ah
        # Other checks began anew.
        since = self._flowed if drawn >= self._flowed[0] and charged >= self._flowed[1] else (0, 0)
        self.drawn_ah += drawn - since[0]
        self.charged_ah += charged - since[1]
        self._flowed = (drawn, charged)

    def resume(self, gauges: PackGauges) -> None:
        """Take what the checks have counted so far as counted here already."""
        self._flowed = (gauges.drawn_ah, gauges.charged_ah)

    def absorb(self, other: "Totals") -> None:
        """Add what was counted before the pack's name was known."""
        for name in _NUMBERS:
            if name not in _OF_AGENT:  # the same agent has begun with both
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.events += other.events
        self._t, self._flowed = other._t, other._flowed

    def as_document(self) -> dict[str, object]:
        """Return it as JSON can keep it."""
        rounded: dict[str, object] = {name: round(getattr(self, name), 4) for name in _NUMBERS}
        return rounded | {"events": dict(self.events)}

    @classmethod
    def from_document(cls, document: object) -> "Totals":
        """Return what `as_document` described; what is not understood is left out."""
        totals = cls()
        if not isinstance(document, Mapping):
            return totals
        for name in _NUMBERS:
            value = document.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
                kind = type(getattr(totals, name))
                if isfinite(value):
                    setattr(totals, name, kind(value))
        events = document.get("events")
        if isinstance(events, Mapping):
            totals.events = Counter(
                {
                    kind: count
                    for kind, count in events.items()
                    if kind in kinds.by_name and type(count) is int and count > 0
                }
            )
        return totals


_NUMBERS: Final = tuple(
    each.name for each in fields(Totals) if each.name[0] != "_" and each.name != "events"
)
