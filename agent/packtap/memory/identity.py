"""Is it the same pack still? Floor 2.

Two packs can show one serial (a board copied from another, or exchanged), and then their histories
would be taken for one. What can only grow must not fall, and what the maker wrote once must not
change. A damaged frame can pass the checksum, so a contradiction is believed when the same value
has been read twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ninebot_bms import Snapshot

__all__ = ["IDENTITY", "Identity", "IdentityRow"]

_MOST_TEXT: Final = 64


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """One thing that a pack says of itself.

    Attributes:
        name: of the register row, or `cell_count`.
        words: for people.
        contradicts: whether the second value cannot follow the first.
    """

    name: str
    words: str
    contradicts: Callable[[float | str, float | str], bool]


def _never(before: float | str, now: float | str) -> bool:
    del before, now
    return False


def _changed(before: float | str, now: float | str) -> bool:
    return before != now


def _fell(before: float | str, now: float | str) -> bool:
    return isinstance(before, int | float) and isinstance(now, int | float) and now < before


#: Firmware may be brought up to date, so it contradicts nothing.
IDENTITY: Final[tuple[IdentityRow, ...]] = (
    IdentityRow("firmware", "firmware", _never),
    IdentityRow("design_capacity_mah", "design capacity", _changed),
    IdentityRow("manufacture_date", "date of manufacture", _changed),
    IdentityRow("cell_count", "number of cells", _changed),
    IdentityRow("cycle_count", "cycle count", _fell),
    IdentityRow("total_charged_mah", "total charge", _fell),
)
_NAMES: Final = frozenset(row.name for row in IDENTITY)


class Identity:
    """What a pack has said of itself.

    Attributes:
        known: name of a row of `IDENTITY` -> value that is believed.
        doubt: why this may be another board, in words; None if nothing says so.
    """

    __slots__ = ("_seen_once", "doubt", "known")

    def __init__(self) -> None:
        self.known: dict[str, float | str] = {}
        self.doubt: str | None = None
        self._seen_once: dict[str, float | str] = {}

    def look(self, snapshot: Snapshot) -> bool:
        """Take what a snapshot newly says; return whether anything is new."""
        is_new = False
        for row in IDENTITY:
            value = _value(snapshot, row.name)
            if value is not None:
                is_new |= self._take(row, value)
        return is_new

    def absorb(self, other: "Identity") -> None:
        """Take what the same pack has said before its name was known."""
        for row in IDENTITY:
            if row.name in other.known:
                self._seen_once[row.name] = other.known[row.name]
                self._take(row, other.known[row.name])
        self.doubt = self.doubt or other.doubt

    def _take(self, row: IdentityRow, value: float | str) -> bool:
        before = self.known.get(row.name)
        if before == value:
            self._seen_once.pop(row.name, None)
            return False
        if before is not None and row.contradicts(before, value):
            if self._seen_once.get(row.name) != value:
                self._seen_once[row.name] = value
                return False
            self.doubt = (
                f"the {row.words} was {before} and is {value} now: another board under this "
                "serial (exchanged or copied), so what was remembered may be another pack's"
            )
        self._seen_once.pop(row.name, None)
        self.known[row.name] = value
        return True

    def as_document(self) -> dict[str, object]:
        """Return it as JSON can keep it."""
        return {"known": dict(self.known), "doubt": self.doubt}

    @classmethod
    def from_document(cls, document: object) -> "Identity":
        """Return what `as_document` described; what is not understood is left out."""
        identity = cls()
        if not isinstance(document, Mapping):
            return identity
        known, doubt = document.get("known"), document.get("doubt")
        if isinstance(known, Mapping):
            identity.known = {
                name: value
                for name, value in known.items()
                if name in _NAMES
                and isinstance(value, int | float | str)
                and not isinstance(value, bool)
            }
        if isinstance(doubt, str):
            identity.doubt = doubt
        return identity


def _value(snapshot: Snapshot, name: str) -> float | str | None:
    if name == "cell_count":
        return snapshot.cell_count
    value = snapshot.trusted(name) if name in snapshot.fresh else None
    if isinstance(value, str):
        return value[:_MOST_TEXT]
    return value if isinstance(value, int | float) else None
