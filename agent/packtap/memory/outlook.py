"""When will a cell reach a limit, if it goes on like this? Floor 2.

Two trends lead to an event: a cell drifts away from the others in charge (`cell_imbalance`), or its
resistance grows (`high_resistance_cell`). The cell that gets there first is named, with the 90 %
interval of the time. Three answers hold no number, and each is an answer:

* *no trend*: the slopes are known well enough that one which would reach a limit within 90 days
  would show, and none does; or the limit is more than two years away.
* *insufficient data*: they are not. A slope counts as known when it stands out by `_SIGMAS`
  standard errors, and its standard error falls with the number of points and the time they span.
  How many more hours at rest it takes is found by adding further points, one in six hours and each
  as good as those so far, until the least certain cell's slope is known well enough.
* *the time is not known*: without a clock no trend leads anywhere.

Ten cells and two quantities are looked at each hour, so chance alone would "find" a trend every
day if two standard errors were enough; 3.3 leave one in some fifty packs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, sqrt
from typing import Final

from packtap.analysis.imbalance import ImbalanceLimits
from packtap.analysis.resistance import ResistanceLimits
from packtap.memory.pack_memory import PackMemory
from packtap.memory.quantities import by_name
from packtap.memory.trend import GAP_H, Fit, Trend

__all__ = ["Outlook", "fit_of", "outlook"]

_SIGMAS: Final = 3.3
#: Half width of the 90 % interval.
_INTERVAL: Final = 1.645
#: Fewer points, or all within three days, are no trend: the weather changes as fast.
_LEAST_POINTS: Final = 6
_LEAST_SPAN_H: Final = 72.0
#: A trend that reaches the limit within this time must be able to show.
_SOON_H: Final = 2160.0
#: What is further away than this is not a forecast.
_LATEST_H: Final = 17_520.0
#: A limit that is nearly reached needs no better knowledge than this share of it.
_LEAST_MARGIN: Final = 0.25
_MOST_STEPS: Final = 400
#: What a point of a pack that nothing is known of is expected to be good to.
_EXPECTED_PCT: Final = 0.2
_DAY_H: Final = 24.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """The answer.

    Attributes:
        text: for people.
        hours: until the limit; 0: it has been reached; None: no number.
        low_h: lower end of the 90 % interval.
        high_h: upper end.
        cell: which; None without a number.
        kind: event kind of the limit.
        rest_hours_needed: hours at rest before a trend can be told; 0: none.
    """

    text: str
    hours: float | None = None
    low_h: float | None = None
    high_h: float | None = None
    cell: int | None = None
    kind: str | None = None
    rest_hours_needed: float | None = None


def outlook(
    memory: PackMemory,
    now_h: float | None,
    imbalance: ImbalanceLimits,
    resistance: ResistanceLimits,
) -> Outlook:
    """Return when the first cell reaches a limit.

    Args:
        memory: of the pack.
        now_h: UTC hours since 1970; None while they are not known.
        imbalance: has the limit of the rest deviation.
        resistance: has that of the resistance.
    """
    if now_h is None:
        return Outlook("the time is not known yet, so no trend can be told")
    limits = {
        "rest_pct": ("cell_imbalance", imbalance.raise_pct),
        "extra_mohm": ("high_resistance_cell", resistance.limit_mohm(_median_mohm(memory))),
    }
    found = [
        reached
        for quantity, (kind, limit) in limits.items()
        for reached in _crossings(memory, quantity, kind, limit, now_h)
    ]
    soonest = min(found, key=lambda each: each.hours or 0.0, default=None)
    if soonest is not None and (soonest.hours or 0.0) <= _LATEST_H:
        return soonest
    needed_h = _needed_h(memory, imbalance.raise_pct)
    if needed_h > 0:
        text = f"insufficient data: needs {needed_h:.0f} more hours at rest"
        return Outlook(text, rest_hours_needed=needed_h)
    if soonest is not None:
        return Outlook("no cell reaches a limit within two years", rest_hours_needed=0.0)
    return Outlook("no trend towards a limit", rest_hours_needed=0.0)


def fit_of(quantity: str, trend: Trend) -> Fit | None:
    """Return the line through a trend, with the errors of its quantity; None if there is none."""
    row = by_name[quantity]
    fit = trend.fit(row.floor, row.share)
    is_told = fit is not None and fit.points >= _LEAST_POINTS and fit.span_h >= _LEAST_SPAN_H
    return fit if is_told else None


def _median_mohm(memory: PackMemory) -> float:
    """Return the resistance of the median cell; 0, which gives the lowest limit, if unknown."""
    return next(iter(memory.latest("median_mohm").values()), 0.0)


def _crossings(
    memory: PackMemory, quantity: str, kind: str, limit: float, now_h: float
) -> Iterator[Outlook]:
    """Yield each cell whose trend leads to the limit, or is beyond it."""
    for cell, trend in memory.trends(quantity).items():
        fit = fit_of(quantity, trend)
        if fit is None or not fit.is_significant(_SIGMAS):
            continue
        # A cell that is too strong does no harm; a charge may lead away to either side.
        heads_up = fit.slope > 0
        if quantity == "extra_mohm" and not heads_up:
            continue
        crossing = fit.crossing(limit if heads_up else -limit, _INTERVAL)
        if crossing is not None:
            yield _told(cell, kind, tuple(max(0.0, t_h - now_h) for t_h in crossing))


def _told(cell: int, kind: str, hours: tuple[float, ...]) -> Outlook:
    best, low, high = hours
    if best == 0.0:
        text = f"cell {cell} has reached the limit of {kind} by its trend"
    else:
        text = (
            f"cell {cell} reaches the limit of {kind} in about {_long(best)} if it goes on like "
            f"this (9 in 10: {_long(low)} to {_long(high)})"
        )
    return Outlook(text, best, low, high, cell, kind)


def _long(hours: float) -> str:
    return f"{hours:.0f} h" if hours < 2 * _DAY_H else f"{hours / _DAY_H:.0f} days"


def _needed_h(memory: PackMemory, limit: float) -> float:
    """Return hours at rest that the least certain cell still needs."""
    trends = memory.trends("rest_pct")
    if not trends:
        return _steps(0.0, 0.0, 0, _EXPECTED_PCT, limit / _SOON_H / _SIGMAS) * GAP_H
    row = by_name["rest_pct"]
    worst = 0.0
    for trend in trends.values():
        fit = trend.fit(row.floor, row.share)
        level = abs(trend.points[-1].value) if fit is None else abs(fit.level)
        wanted = max(limit - level, _LEAST_MARGIN * limit) / _SOON_H / _SIGMAS
        if fit is None:
            steps = _steps(0.0, 0.0, len(trend.points), _EXPECTED_PCT, wanted)
        elif fit.slope_error <= wanted and fit_of("rest_pct", trend) is not None:
            steps = 0
        else:
            end_h = trend.points[-1].t_h - fit.t_h
            steps = _steps(fit.slope_error, end_h, fit.points, fit.error, wanted)
        worst = max(worst, steps * GAP_H)
    return worst


def _steps(slope_error: float, end_h: float, points: int, error: float, wanted: float) -> int:
    """Return how many more points, `GAP_H` apart, bring the slope's error down to `wanted`.

    Args:
        slope_error: so far; 0: there is no slope yet.
        end_h: time from the mean of the points so far to the last one.
        points: so far.
        error: of each further one.
        wanted: error of the slope.
    """
    spread = (error / slope_error) ** 2 if slope_error > 0 else 0.0
    count, mean, at = float(points), 0.0, end_h
    for step in range(_MOST_STEPS):
        is_long = points + step >= _LEAST_POINTS and at + end_h >= _LEAST_SPAN_H
        if is_long and (error / sqrt(spread) if spread > 0 else inf) <= wanted:
            return step
        at += GAP_H
        count += 1
        off = at - mean
        mean += off / count
        spread += off * (at - mean)
    return _MOST_STEPS
