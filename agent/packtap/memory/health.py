"""The derived rows of one pack, from what is remembered of it, floor 2."""

from collections.abc import Mapping
from math import inf
from typing import Final

from packtap import derived
from packtap.analysis.configured import configured
from packtap.analysis.imbalance import ImbalanceLimits
from packtap.analysis.resistance import ResistanceLimits
from packtap.config import PackConfig
from packtap.memory.outlook import Outlook, fit_of, outlook
from packtap.memory.pack_memory import PackMemory
from packtap.memory.quantities import by_name
from packtap.memory.trend import WEEK_H
from packtap.wire import HealthValue

__all__ = ["Health", "has_changed"]

_PACK: Final = 0
#: Row of a slope -> the quantity whose trend it is.
_SLOPES: Final = {
    "cell_rest_deviation_slope_pct_per_week": "rest_pct",
    "cell_resistance_slope_mohm_per_week": "extra_mohm",
}


class Health:
    """Works the rows out; lines are fitted anew when there are new points, or an hour later."""

    def __init__(self) -> None:
        self._fitted_at: tuple[int, int | None, PackConfig] | None = None
        self._fitted: dict[str, HealthValue] = {}

    def rows(
        self, memory: PackMemory, now_h: float | None, pack: PackConfig
    ) -> dict[str, HealthValue]:
        """Return the value of every derived row; None: not known.

        Args:
            memory: of the pack; always the same one.
            now_h: UTC hours since 1970; None while they are not known.
            pack: the limits that it is judged by.
        """
        moment = (memory.revision, None if now_h is None else int(now_h), pack)
        if moment != self._fitted_at:
            self._fitted_at = moment
            limits = configured(ImbalanceLimits, pack), configured(ResistanceLimits, pack)
            self._fitted = _slopes(memory) | _outlook(outlook(memory, now_h, *limits))
        return _now(memory) | self._fitted


def has_changed(before: Mapping[str, HealthValue], now: Mapping[str, HealthValue]) -> bool:
    """Return whether a row has changed by more than its noise, or has become known or unknown."""
    return any(
        _differs(before.get(row.name), now.get(row.name), row.noise) for row in derived.DERIVED
    )


def _differs(before: HealthValue, now: HealthValue, noise: float) -> bool:
    if noise == inf:
        return False
    if isinstance(before, list) and isinstance(now, list):
        return len(before) != len(now) or any(
            _differs(old, new, noise) for old, new in zip(before, now, strict=True)
        )
    if isinstance(before, int | float) and isinstance(now, int | float):
        return abs(now - before) > noise
    return before != now


def _now(memory: PackMemory) -> dict[str, HealthValue]:
    median = memory.latest("median_mohm").get(_PACK)
    extra = memory.latest("extra_mohm") if median is not None else {}
    resistance = {cell: (median or 0.0) + mohm for cell, mohm in extra.items()}
    capacity = memory.latest("capacity_mah").get(_PACK)
    return {
        "cell_resistance_mohm": _of_cells("cell_resistance_mohm", memory, resistance),
        "cell_rest_deviation_pct": _of_cells(
            "cell_rest_deviation_pct", memory, memory.latest("rest_pct")
        ),
        "cell_drift_pct_per_h": _of_cells(
            "cell_drift_pct_per_h", memory, memory.latest("drift_pct_per_h")
        ),
        "capacity_estimate_mah": _number("capacity_estimate_mah", capacity),
        "capacity_estimate_error_mah": _number(
            "capacity_estimate_error_mah", _capacity_error(memory, capacity)
        ),
        "identity_doubt": memory.identity.doubt,
    }


def _capacity_error(memory: PackMemory, capacity: float | None) -> float | None:
    error = memory.latest_error("capacity_mah", _PACK)
    if capacity is None or error is None:
        return None
    row = by_name["capacity_mah"]
    return float((error**2 + row.floor**2 + (row.share * capacity) ** 2) ** 0.5)


def _slopes(memory: PackMemory) -> dict[str, HealthValue]:
    return {
        name: _of_cells(
            name,
            memory,
            {
                cell: fit.slope * WEEK_H
                for cell, trend in memory.trends(quantity).items()
                if (fit := fit_of(quantity, trend)) is not None
            },
        )
        for name, quantity in _SLOPES.items()
    }


def _outlook(told: Outlook) -> dict[str, HealthValue]:
    return {
        "time_to_limit_h": _number("time_to_limit_h", told.hours),
        "time_to_limit_low_h": _number("time_to_limit_low_h", told.low_h),
        "time_to_limit_high_h": _number("time_to_limit_high_h", told.high_h),
        "time_to_limit_cell": told.cell,
        "time_to_limit_kind": told.kind,
        "rest_hours_needed_h": _number("rest_hours_needed_h", told.rest_hours_needed),
        "outlook": told.text,
    }


def _of_cells(name: str, memory: PackMemory, values: Mapping[int, float]) -> HealthValue:
    if not values:
        return None
    return [_number(name, values.get(cell)) for cell in range(1, memory.cells + 1)]


def _number(name: str, value: float | None) -> float | None:
    return derived.by_name[name].rounded(value)
