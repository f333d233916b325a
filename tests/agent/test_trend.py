"""Points over months, the line through them, and when it reaches a limit."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packtap.memory.trend import GAP_H, MOST_POINTS, Point, Trend, student

POINT = st.builds(
    Point,
    st.floats(450_000, 600_000),
    st.floats(-100, 100),
    st.floats(0.01, 10),
)


def weighted_mean(points: tuple[Point, ...] | list[Point]) -> tuple[float, float, float]:
    weights = [point.error**-2 for point in points]
    total = sum(weights)
    return (
        total,
        sum(w * p.t_h for w, p in zip(weights, points, strict=True)) / total,
        sum(w * p.value for w, p in zip(weights, points, strict=True)) / total,
    )


@given(st.lists(POINT, min_size=1, max_size=150))
def test_however_many_points_come_the_number_is_bounded_and_the_mean_is_kept(
    points: list[Point],
) -> None:
    trend = Trend()
    for point in points:
        trend.add(point)
    kept = tuple(trend.points)
    assert len(kept) <= MOST_POINTS
    assert [point.t_h for point in kept] == sorted(point.t_h for point in kept)
    for now, before in zip(weighted_mean(kept), weighted_mean(points), strict=True):
        assert math.isclose(now, before, rel_tol=1e-6, abs_tol=1e-6)


def test_points_within_hours_of_each_other_are_one() -> None:
    trend = Trend()
    trend.add(Point(500_000.0, 1.0, 0.1))
    trend.add(Point(500_000.0 + GAP_H / 2, 2.0, 0.1))
    trend.add(Point(500_000.0 + 10 * GAP_H, 5.0, 0.1))
    first, second = trend.points
    assert (first.t_h, first.value) == (500_000.0 + GAP_H / 4, 1.5)
    assert first.error == pytest.approx(0.1 / math.sqrt(2))
    assert second.value == 5.0


def test_two_years_of_points_keep_the_last_month_finer_than_the_first() -> None:
    trend = Trend()
    for day in range(730):
        trend.add(Point(500_000.0 + 24 * day, 0.0, 0.1))
    kept = [point.t_h for point in trend.points]
    gaps = [later - earlier for earlier, later in itertools.pairwise(kept)]
    assert sum(gaps[-5:]) < sum(gaps[:5])
    assert kept[0] < 500_000.0 + 24 * 60
    assert kept[-1] > 500_000.0 + 24 * 727


def line(slope: float, *, points: int = 40, error: float = 0.2, seed: int = 1) -> Trend:
    rng = random.Random(seed)
    trend = Trend()
    for index in range(points):
        t_h = 500_000.0 + 12 * index
        trend.add(Point(t_h, 1.0 + slope * 12 * index + rng.gauss(0, error), error))
    return trend


@pytest.mark.parametrize("slope", [-0.01, 0.0, 0.003])
def test_a_line_is_found_within_its_own_error(slope: float) -> None:
    off = []
    for seed in range(200):
        fit = line(slope, seed=seed).fit(floor=0.0, share=0.0)
        assert fit is not None
        off.append((fit.slope - slope) / fit.slope_error)
    assert abs(sum(off)) / len(off) < 0.25
    inside = sum(abs(each) < 1.645 for each in off)
    assert 170 <= inside <= 196  # 90 % of 200 are 180


def test_a_day_that_lies_far_off_does_not_turn_the_line() -> None:
    trend = line(0.0)
    trend.add(Point(500_000.0 + 12 * 40, 30.0, 0.2))
    fit = trend.fit(floor=0.1, share=0.0)
    assert fit is not None
    assert abs(fit.at(500_480.0) - 1.0) < 3.0
    assert not fit.is_significant(3.3)


def test_residuals_beyond_the_errors_make_the_slope_less_certain() -> None:
    def claimed(error: float) -> Trend:
        return Trend(Point(p.t_h, p.value, error) for p in line(0.0, error=1.0).points)

    honest, boastful = (claimed(error).fit(0.0, 0.0) for error in (1.0, 0.1))
    assert honest is not None
    assert boastful is not None
    assert 0.5 < boastful.slope_error / honest.slope_error < 1.5


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_fewer_than_three_points_no_line_is_drawn(count: int) -> None:
    assert line(0.01, points=count).fit(0.1, 0.1) is None


def test_points_of_one_time_give_no_line() -> None:
    at_once = Trend([Point(500_000.0, value, 0.1) for value in (1.0, 2.0, 3.0, 4.0)])
    assert at_once.fit(0.1, 0.1) is None


def test_the_interval_is_bounded_only_where_the_slope_is_significant() -> None:
    steep, flat = line(0.01).fit(0.0, 0.0), line(0.0).fit(0.0, 0.0)
    assert steep is not None
    assert flat is not None
    crossing = steep.crossing(8.0, 1.645)
    assert crossing is not None
    best, low, high = crossing
    assert low < best < high
    assert abs(best - 500_700.0) < 100
    assert flat.crossing(8.0, 1.645) is None or flat.is_significant(1.645)


@pytest.mark.parametrize(
    ("freedom", "expected"), [(4, 2.132), (6, 1.943), (10, 1.812), (30, 1.697), (1000, 1.646)]
)
def test_few_points_ask_for_more_as_the_tables_of_student_say(
    freedom: int, expected: float
) -> None:
    assert student(1.645, freedom) == pytest.approx(expected, rel=0.005)
