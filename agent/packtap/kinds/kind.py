"""One kind of event as a value, floor 1."""

from dataclasses import dataclass
from typing import Final

from packtap.config import PackConfig
from packtap.model import Severity

__all__ = ["PACK", "SERVICE", "STOP", "Kind"]

#: The default limits, which the words of the rows state.
PACK: Final = PackConfig()

#: Words that several kinds share.
STOP: Final = "Stop using and charging the scooter; keep it away from anything that burns."
SERVICE: Final = "Have the pack checked by qualified service."


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event.

    Attributes:
        name: the name on the wire, in the store and in every panel.
        severity: how much it matters.
        per_cell: an event of this kind names one cell.
        needs: register rows without which it cannot be judged.
        unit: of value and limit; "" where the kind has no number.
        limits: keys of the table `[pack]` that set its numbers.
        raised: when it is raised, in words, with the default limits; an event carries the limit
            that was used.
        cleared: when it is cleared, in words.
        seen: template of the sentence that says what was seen ({cell} {value} {limit} {detail}).
        meaning: what that means.
        action: what to do. Never tells a layman to open a pack.
        cooldown_s: its end is told once its condition has been absent for so long; None: for the
            `cooldown_s` of `[pack]`.
    """

    name: str
    severity: Severity
    per_cell: bool
    needs: tuple[str, ...]
    unit: str
    limits: tuple[str, ...]
    raised: str
    cleared: str
    seen: str
    meaning: str
    action: str
    cooldown_s: float | None = None

    def sentence(
        self,
        cell: int | None = None,
        value: float | None = None,
        limit: float | None = None,
        detail: str = "",
    ) -> str:
        """Return what was seen, what it means and what to do, for people."""
        seen = self.seen.format(
            cell=cell, value=_number(value), limit=_number(limit), detail=detail
        )
        return f"{seen}. {self.meaning} {self.action}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}".removesuffix(".0")
