"""The numbers behind a kind of event, floor 2: one value a kind, however often it was raised."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from packtap.model import Event

__all__ = ["Measured"]

#: A sentence that is kept over restarts is bounded.
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured when a kind was raised; of several times, the strongest.

    Attributes:
        seen: what was seen, for people: cell, value, limit and unit in words.
        cell: 1-16, or None.
        value: what was measured.
        limit: what it was compared with; same unit.
        unit: of both, "" if there is none.
        t: seconds; None for input without times.
        times: how often it was raised.
        open_cells: cells on which it stands now, as a bit map (bit 0: none).
    """

    seen: str
    cell: int | None
    value: float | None
    limit: float | None
    unit: str
    t: float | None
    times: int
    open_cells: int

    @classmethod
    def of(cls, event: Event) -> "Measured":
        """Return the numbers of a kind that was raised for the first time."""
        seen = event.text.partition(". ")[0][:_LONGEST]
        return cls(
            seen, event.cell, event.value, event.limit, event.unit, event.t, 1, _bit(event.cell)
        )

    def with_raised(self, event: Event) -> "Measured":
        """Return them after the kind was raised once more."""
        fresh = Measured.of(event)
        strongest = fresh if fresh._excess > self._excess else self
        open_cells = self.open_cells | fresh.open_cells
        return replace(strongest, times=self.times + 1, open_cells=open_cells)

    def with_cleared(self, event: Event) -> "Measured":
        """Return them after the kind was cleared on a cell."""
        return replace(self, open_cells=self.open_cells & ~_bit(event.cell))

    def merged(self, later: "Measured") -> "Measured":
        """Return both together: the strongest, and all times."""
        strongest = later if later._excess > self._excess else self
        return replace(
            strongest,
            times=self.times + later.times,
            open_cells=self.open_cells | later.open_cells,
        )

    @property
    def _excess(self) -> float:
        if self.value is None or self.limit is None:
            return 0.0
        return abs(self.value - self.limit)

    def state(self) -> dict[str, object]:
        """Return everything as JSON can keep it."""
        return {
            "seen": self.seen,
            "cell": self.cell,
            "value": self.value,
            "limit": self.limit,
            "unit": self.unit,
            "t": self.t,
            "times": self.times,
            "open_cells": self.open_cells,
        }

    @classmethod
    def from_state(cls, state: object) -> "Measured | None":
        """Return what `state` described; None if it is not understood."""
        if not isinstance(state, Mapping):
            return None
        seen, unit, cell = state.get("seen"), state.get("unit"), state.get("cell")
        times, open_cells = state.get("times"), state.get("open_cells")
        if not isinstance(seen, str) or not isinstance(unit, str):
            return None
        if not isinstance(times, int) or not isinstance(open_cells, int):
            return None
        return cls(
            seen[:_LONGEST],
            cell if isinstance(cell, int) and 1 <= cell <= 16 else None,
            _number(state.get("value")),
            _number(state.get("limit")),
            unit,
            _number(state.get("t")),
            times,
            open_cells,
        )


def _bit(cell: int | None) -> int:
    return 1 << (cell or 0)


def _number(kept: object) -> float | None:
    if isinstance(kept, bool) or not isinstance(kept, int | float):
        return None
    return kept
