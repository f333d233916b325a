"""What a fault of a simulated scooter is, floor 2; `fault_rows` lists them.

One row a fault: which quantity of the model it changes, from which physical value (severity 0: just
a fault) to which (severity 1: as bad as it gets), the story in which it becomes visible, and what a
detector should say about it. The name is the event kind that it should raise; a name with a dash is
a variant of that kind. Values between the two ends are linear, or, where they span decades,
geometric.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from packtap.simulated.scooter import Scooter

__all__ = ["USUAL", "Fault", "FaultRow", "LineFaults", "RecorderFaults"]

USUAL: Final = 0.5  #: severity if nobody says


@dataclass(slots=True)
class LineFaults:
    """What is wrong between the pack and who listens.

    Attributes:
        is_silent: the board answers nothing.
        gaps_per_s: how often the contact opens while the scooter moves.
        gaps_at_rest_per_s: and while it does not.
        damaged_share: probability of a byte to be damaged.
        garbage_share: probability of a cycle in which the registers hold nonsense.
    """

    is_silent: bool = False
    gaps_per_s: float = 0.0
    gaps_at_rest_per_s: float = 0.0
    damaged_share: float = 0.0
    garbage_share: float = 0.0


@dataclass(slots=True)
class RecorderFaults:
    """What is wrong with the clock of who records.

    Attributes:
        steps: moments, and by how many seconds the clock steps then.
    """

    steps: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One kind of fault.

    Attributes:
        name: event kind, or event kind, dash, variant.
        what: what is physically wrong.
        unit: of its value; "" where severity changes nothing.
        mild: value at severity 0.
        severe: value at severity 1.
        story: the row of `day.STORIES` in which it shows.
        strike: changes the scooter at the moment of the onset.
        causes: of the diagnosis, the true one first, then what is accepted as well.
        within_s: after the onset a detector should have named it.
        onset_s: when it begins, if nobody says; 0: long before the first moment.
        per_cell: it sits at a group.
        also: kinds that it raises as well, or instead while the evidence is still thin.
        seconds: how much of the story is needed; None: as the story has it.
        soc_pct: charge at the start that it needs; None: as the story has it.
        plan: other set-up that it needs, fields of `Plan`.
        capture_only: shows in a recording only, not on a port.
    """

    name: str
    what: str
    unit: str
    mild: float
    severe: float
    story: str
    strike: Callable[["Scooter", "Fault"], None]
    causes: tuple[str, ...]
    within_s: float
    onset_s: float = 0.0
    per_cell: bool = False
    also: frozenset[str] = frozenset()
    seconds: float | None = None
    soc_pct: float | None = None
    plan: Mapping[str, int | float | str] = field(default_factory=lambda: MappingProxyType({}))
    capture_only: bool = False

    @property
    def kind(self) -> str:
        """The event kind."""
        return self.name.partition("-")[0]

    def value(self, severity: float) -> float:
        """Return the physical value of a severity 0-1."""
        if self.mild > 0 and self.severe > 0 and not 0.2 <= self.severe / self.mild <= 5:
            return float(self.mild * (self.severe / self.mild) ** severity)
        return self.mild + (self.severe - self.mild) * severity


@dataclass(frozen=True, slots=True)
class Fault:
    """One row at work.

    Attributes:
        row: which.
        cell: where; None: at no cell, or at the row's usual one.
        severity: 0-1.
        at_s: when it begins; None: as the row has it.
    """

    row: FaultRow
    cell: int | None = None
    severity: float = USUAL
    at_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.severity <= 1:
            raise ValueError(f"a severity is 0-1, not {self.severity:g}")
        if self.at_s is not None and not 0 <= self.at_s < math.inf:
            raise ValueError(f"a fault cannot begin at {self.at_s:g} s, before its start")
        if self.cell is not None and not self.row.per_cell:
            raise ValueError(f"{self.row.name} sits at no cell")

    def check(self, cells: int) -> None:
        """Raise if a pack of so many cells has no such cell.

        Raises:
            ValueError: there is no such cell.
        """
        if self.cell is not None and not 1 <= self.cell <= cells:
            raise ValueError(f"there is no cell {self.cell} in a pack of {cells}")

    def place(self, cells: int) -> int:
        """Return the cell at which it sits: the seventh if nobody says, or the last."""
        return min(7, cells) if self.cell is None else self.cell

    @property
    def onset_s(self) -> float:
        """When it begins."""
        return self.row.onset_s if self.at_s is None else self.at_s

    @property
    def value(self) -> float:
        """Its physical value."""
        return self.row.value(self.severity)
