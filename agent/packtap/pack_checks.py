"""All checks of one pack, in the order in which they need each other, floor 2.

What cannot be true reaches no other check; a picture that stands still is judged no further; and a
stronger finding silences what it explains.
"""

from collections.abc import Callable, Iterator

from ninebot_bms import Snapshot
from packtap.analysis.arbiter import Arbiter
from packtap.analysis.cells import CellChecks
from packtap.analysis.charge import ChargeCheck, ChargeLimits
from packtap.analysis.check import Check
from packtap.analysis.configured import configured
from packtap.analysis.finding import Finding
from packtap.analysis.frozen import FrozenCheck, FrozenLimits
from packtap.analysis.gauged import PackGauges
from packtap.analysis.occasion import Occasion
from packtap.analysis.overcurrent import CurrentLimits, OverCurrentCheck
from packtap.analysis.plausibility import Plausibility, PlausibilityLimits
from packtap.analysis.soc_jump import SocJumpCheck, SocJumpLimits
from packtap.analysis.status_flags import StatusFlagCheck
from packtap.analysis.temperature import TemperatureCheck, TemperatureLimits
from packtap.config import PackConfig
from packtap.model import Event

__all__ = ["PackChecks"]


class PackChecks:
    """The checks of one pack; a swapped pack gets new ones.

    Args:
        pack: its limits.
        occasion: says whether the pack has been at rest since long before the first reading.
        damaged: how many damaged frames the bus has carried.
    """

    def __init__(self, pack: PackConfig, occasion: Occasion, damaged: Callable[[], int]) -> None:
        self.pack = pack
        self._occasion = occasion
        self._plausibility = Plausibility(configured(PlausibilityLimits, pack), damaged)
        self._arbiter = Arbiter()
        self._frozen = FrozenCheck(configured(FrozenLimits, pack))
        self._cells = CellChecks(pack, occasion.rested)
        self._soc_jump = SocJumpCheck(configured(SocJumpLimits, pack))
        self._checks: tuple[Check, ...] = (
            StatusFlagCheck(),
            TemperatureCheck(configured(TemperatureLimits, pack)),
            OverCurrentCheck(configured(CurrentLimits, pack)),
            ChargeCheck(configured(ChargeLimits, pack)),
            self._soc_jump,
            self._cells,
        )

    @property
    def judged(self) -> set[str]:
        """Kinds that have been judged so far, raised or not."""
        kinds = {kind for check in self._checks for kind in check.judged}
        return kinds | self._plausibility.judged | self._frozen.judged

    @property
    def gauges(self) -> PackGauges:
        """The numbers behind the verdicts on cells and pack, as they are now."""
        return self._cells.gauges

    def reopen(self, event: Event) -> None:
        """Take an event that is open although these checks do not know it."""
        self._frozen.reopen(event)
        self._soc_jump.reopen(event)
        self._cells.reopen(event)

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Take the next snapshot; yield what stands after all checks have seen it."""
        # What cannot be true is withheld from all others.
        clean, findings = self._plausibility.screen(snapshot)
        self._occasion.update(clean)
        findings += self._frozen.update(clean)
        # A picture that stands still says nothing about the pack any more.
        if not self._frozen.is_suspect:
            for check in self._checks:
                findings += check.update(clean)
        return self._arbiter.review(findings, clean)
