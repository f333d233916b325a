"""The limits of the checks as the configuration sets them, floor 2.

Here, because the configuration stands below the checks and must not know them.
"""

from packtap.analysis.imbalance import ImbalanceLimits
from packtap.analysis.limits import CellLimits
from packtap.config import PackConfig

__all__ = ["cell_limits", "imbalance_limits"]


def cell_limits(pack: PackConfig) -> CellLimits:
    """Return the limits of one cell."""
    return CellLimits(
        overvoltage_mv=pack.cell_overvoltage_mv,
        overvoltage_clear_mv=pack.cell_overvoltage_clear_mv,
        undervoltage_mv=pack.cell_undervoltage_mv,
        undervoltage_clear_mv=pack.cell_undervoltage_clear_mv,
    )


def imbalance_limits(pack: PackConfig) -> ImbalanceLimits:
    """Return when charge counts as uneven, and when the pack counts as resting."""
    return ImbalanceLimits(
        raise_pct=pack.cell_imbalance_pct,
        clear_pct=pack.cell_imbalance_clear_pct,
        rest_current_a=pack.rest_current_a,
        rest_s=pack.rest_s,
    )
