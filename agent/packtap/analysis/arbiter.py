"""Which of several findings about the same cells is the true one? Floor 2.

A stronger finding explains weaker ones: a cell whose sense wire is open is neither empty nor
imbalanced, a dead cell need not also be called low. While the stronger one stands, the weaker is
not raised, and if it was raised before, it is cleared.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ninebot_bms import Snapshot
from packtap.analysis.finding import Finding

__all__ = ["Arbiter", "explained_by", "explained_in_pack"]

#: Stronger kind -> what it explains on the cells that it names (a wire: on both its cells).
_SAME_CELL: Final[Mapping[str, frozenset[str]]] = {
    "open_balance_wire": frozenset(
        {
            "cell_imbalance",
            "cell_overvoltage",
            "cell_undervoltage",
            "dead_cell",
            "weak_cell",
            "high_resistance_cell",
            "self_discharge_cell",
        }
    ),
    "dead_cell": frozenset(
        {"cell_imbalance", "cell_undervoltage", "weak_cell", "high_resistance_cell"}
    ),
}
#: Stronger kind -> what it explains in the whole pack.
_WHOLE_PACK: Final[Mapping[str, frozenset[str]]] = {
    # A wet harness: no reading of a cell stands for the cell.
    "moisture_suspected": frozenset(
        {
            "open_balance_wire",
            "cell_imbalance",
            "cell_overvoltage",
            "cell_undervoltage",
            "weak_cell",
            "high_resistance_cell",
            "self_discharge_cell",
        }
    ),
    "deep_discharge": frozenset({"cell_undervoltage", "cell_imbalance", "self_discharge_cell"}),
    "open_balance_wire": frozenset({"voltage_sum_mismatch"}),
    "capacity_fade": frozenset({"soc_miscalibration"}),
}


def explained_by(kind: str) -> frozenset[str]:
    """Return the kinds that are not raised (on some cells, or at all) while this one stands."""
    return _SAME_CELL.get(kind, frozenset()) | _WHOLE_PACK.get(kind, frozenset())


def explained_in_pack(kind: str) -> frozenset[str]:
    """Return the kinds that this one explains wherever they were raised."""
    return _WHOLE_PACK.get(kind, frozenset())


class Arbiter:
    """Sees all findings of one snapshot together, and lets those pass that stand."""

    def __init__(self) -> None:
        self._standing: dict[tuple[str, int | None], None] = {}

    def review(self, findings: Iterable[Finding], snapshot: Snapshot) -> Iterator[Finding]:
        """Yield the findings that stand, and the end of those that a stronger one explains."""
        findings = list(findings)
        for finding in findings:
            key = (finding.kind, finding.cell)
            if finding.present:
                self._standing[key] = None
            else:
                self._standing.pop(key, None)
        explained = [key for key in self._standing if self._is_explained(*key)]
        for key in explained:
            del self._standing[key]
        for finding in findings:
            if not finding.present or (finding.kind, finding.cell) in self._standing:
                yield finding
        for kind, cell in explained:
            yield Finding(kind, False, snapshot.t, cell)

    def _is_explained(self, kind: str, cell: int | None) -> bool:
        for stronger, named in self._standing:
            if kind in _WHOLE_PACK.get(stronger, ()):
                return True
            if kind in _SAME_CELL.get(stronger, ()) and cell is not None and named is not None:
                reach = (named, named + 1) if stronger == "open_balance_wire" else (named,)
                if cell in reach:
                    return True
        return False
