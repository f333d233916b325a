"""The beat of a dashboard is learned, and nothing is promised before it is certain."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninebot_bms.dashboard_beat import Beat


def beaten(period_s: float = 0.02, frames: int = 60, late_s: float = 0.0) -> tuple[Beat, float]:
    """Return a beat that has heard so many frames, and when the last of them began."""
    rng = random.Random(1)
    beat = Beat()
    at = 0.0
    for number in range(frames):
        at = 5.0 + number * period_s + (rng.uniform(0, late_s) if rng.random() < 0.1 else 0.0)
        assert beat.receive_frame(at) == 0
    return beat, at


@given(
    period_s=st.floats(0.009, 0.19),
    late=st.floats(0.0, 0.15),
    missing=st.sets(st.integers(60, 110), max_size=3),
    seed=st.integers(0, 999),
)
def test_no_frame_of_a_regular_dashboard_comes_before_it_is_expected(
    period_s: float, late: float, missing: set[int], seed: int
) -> None:
    rng = random.Random(seed)
    beat = Beat()
    for number in range(120):
        at = 3.0 + number * period_s + rng.choice((0.0, 0.0, 0.0, late)) * period_s
        if number in missing:
            continue
        if beat.is_understood(at - 0.3 * period_s):
            ahead = 1
            while number - ahead in missing:
                ahead += 1
            assert beat.expected(ahead) <= at + 0.02 * period_s
        beat.receive_frame(at)


def test_the_period_is_found_and_understood_after_fifty_frames() -> None:
    beat, at = beaten(frames=49)
    assert not beat.is_understood(at)
    beat.receive_frame(at + 0.02)
    assert beat.is_understood(at + 0.03)
    assert beat.period_s == pytest.approx(0.02)
    assert beat.expected() == pytest.approx(at + 0.04)


def test_a_frame_that_does_not_come_ends_the_certainty() -> None:
    beat, at = beaten()
    assert beat.is_understood(at + 0.03)
    assert not beat.is_understood(at + 0.033)
    assert beat.receive_frame(at + 0.04) == 1
    assert beat.is_understood(at + 0.05)


def test_too_many_missing_frames_end_it_until_they_come_again() -> None:
    beat, at = beaten()
    for _number in range(6):
        at += 0.04
        assert beat.receive_frame(at) == 1
    assert not beat.is_understood(at + 0.01)
    for _number in range(60):
        at += 0.02
        beat.receive_frame(at)
    assert beat.is_understood(at + 0.01)


def test_frames_that_come_early_are_no_beat() -> None:
    beat, at = beaten()
    rng = random.Random(2)
    for _ in range(30):
        at += rng.uniform(0.012, 0.03)
        beat.receive_frame(at)
    assert not beat.is_understood(at + 0.005)


@pytest.mark.parametrize("step", [0.002, 0.5], ids=["too fast", "too slow"])
def test_what_leaves_no_gap_or_is_no_dashboard_has_no_period(step: float) -> None:
    beat = Beat()
    for number in range(80):
        beat.receive_frame(number * step)
    assert beat.period_s is None
    assert not beat.is_understood(80 * step)
    with pytest.raises(ValueError, match="not known yet"):
        beat.expected()


def test_frames_at_random_have_no_period() -> None:
    rng = random.Random(3)
    beat = Beat()
    at = 0.0
    for _ in range(300):
        at += rng.uniform(0.001, 0.05)
        beat.receive_frame(at)
        assert not beat.is_understood(at + 0.001)


def test_a_long_silence_begins_anew_but_keeps_the_pace_of_the_esc() -> None:
    beat, at = beaten()
    for number in range(3):
        beat.receive_answer(number, number + 0.0026, 12)
    assert beat.receive_frame(at + 10.0) == 0
    assert beat.period_s is None
    assert beat.pace_s == pytest.approx(0.0002)


def test_the_pace_of_the_esc_is_learned_within_reason() -> None:
    beat = Beat()
    assert beat.pace_s is None
    for number in range(3):
        beat.receive_answer(number, number + 0.0026, 12)
    assert beat.pace_s == pytest.approx(0.0002)
    for seconds in (0.0, -1.0, 5.0):
        beat.receive_answer(9.0, 9.0 + seconds, 12)
    assert beat.pace_s == pytest.approx(0.0002)
    for number in range(20):
        beat.receive_answer(number, number + 12 * 0.00002 + 0.0002, 12)
    assert beat.pace_s == pytest.approx(10 / 115200)


def test_a_frame_that_seems_older_than_the_last_one_is_passed_over() -> None:
    beat, at = beaten()
    before = beat.expected()
    assert beat.receive_frame(at - 0.001) == 0
    assert beat.expected() == before
