"""When a pack will be late: what is possible is never ruled out, and what is certain is used."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ninebot_bms.emulator import Busy
from ninebot_bms.pack_rhythm import LATEST_S, Question, Rhythm

PACE_S = 0.0002
SIZE = 10


def told(rhythm: Rhythm, busy: Busy, asked: float, extra_s: float = 0.0) -> float:
    """Let the pack be asked; return by how much it was late."""
    free = busy.free_at(asked)
    if free - asked < 0.001:
        rhythm.note_prompt(asked, free)
    else:
        rhythm.note_late(free + extra_s)
    return free - asked


def question_at(at: float) -> Question:
    return Question(at, at + 0.001, SIZE, PACE_S)


def taught(phase_s: float = 0.03, seconds: float = 30.0) -> tuple[Rhythm, Busy, float]:
    """Return a rhythm that has heard a pack for so long, the pack, and the time."""
    rng = random.Random(4)
    busy = Busy(phase_s=phase_s)
    rhythm = Rhythm()
    at = 1.0
    while at < seconds:
        told(rhythm, busy, at)
        at += rng.uniform(0.3, 0.7)
    return rhythm, busy, at


@settings(deadline=None, max_examples=60)
@given(
    phase_s=st.floats(0, 0.2),
    period_s=st.floats(0.20035, 0.20055),
    seed=st.integers(0, 10_000),
    skew_s=st.floats(-0.0002, 0.0005),
)
def test_a_late_reply_is_never_a_surprise_when_the_pack_keeps_its_rhythm(
    phase_s: float, period_s: float, seed: int, skew_s: float
) -> None:
    rng = random.Random(seed)
    busy = Busy(phase_s=phase_s, period_s=period_s)
    rhythm = Rhythm()
    at = 100.0
    for _ in range(80):
        at += rng.uniform(0.1, 3.0)
        free = busy.free_at(at)
        if free == at:
            rhythm.note_prompt(at, at)
        elif free - at > 0.0035:
            whole = [(at, at + LATEST_S + 0.02)]
            assert rhythm.risk(question_at(at), whole) > 0
            rhythm.note_late(free + skew_s)
    assert rhythm.surprises == 0


def test_nothing_is_known_at_first_and_much_after_half_a_minute() -> None:
    assert Rhythm().doubt == 1.0
    rhythm, _, at = taught()
    assert rhythm.doubt < 0.1
    assert rhythm.surprises == 0
    assert not rhythm.wants_to_hear(at)


def test_risk_is_there_where_a_late_reply_would_come_and_nowhere_else() -> None:
    rhythm, busy, at = taught(seconds=60.0)
    late = next(
        t / 1000
        for t in range(int(at * 1000), 10**9)
        if 0.01 < busy.free_at(t / 1000) - t / 1000 < 0.02
    )
    free = busy.free_at(late)
    meets = [(free + 0.001, free + 0.003)]
    passes = [(free + 0.03, free + 0.031)]
    assert rhythm.risk(question_at(late), meets) == 1.0
    assert rhythm.risk(question_at(late), passes) == 0
    assert rhythm.lateness(question_at(late)) > 0.9
    assert rhythm.risk(question_at(free + 0.01), [(free + 0.03, free + 0.05)]) == 0
    assert rhythm.lateness(question_at(free + 0.01)) == 0


def test_what_is_known_fades_with_time() -> None:
    rhythm, _, at = taught()
    before = rhythm.doubt
    assert rhythm.wants_to_hear(at + 600.0)
    assert rhythm.doubt > 4 * before
    assert rhythm.wants_to_hear(at + 1e6)
    assert rhythm.doubt == 1.0


def test_a_pack_that_is_never_late_is_not_feared() -> None:
    rhythm = Rhythm()
    for number in range(200):
        rhythm.note_prompt(number * 0.37, number * 0.37)
    assert rhythm.doubt == 0
    assert not rhythm.wants_to_hear(100.0)
    assert rhythm.risk(question_at(100.0), [(100.0, 100.1)]) == 0
    rhythm.note_prompt(101.0, 101.0)
    assert rhythm.surprises == 0
    rhythm.note_late(102.0)  # it can be, after all
    assert rhythm.surprises == 1
    assert 0 < rhythm.doubt < 0.2


def test_a_pack_that_is_late_at_random_surprises_again_and_again() -> None:
    rng = random.Random(5)
    rhythm = Rhythm()
    for number in range(100):
        at = number * 0.51
        if rng.random() < 0.3:
            rhythm.note_late(at + rng.uniform(0.005, 0.035))
        else:
            rhythm.note_prompt(at, at)
    assert rhythm.surprises > 5


def test_a_reply_that_waited_for_the_esc_too_is_no_surprise_but_a_much_later_one_is() -> None:
    rhythm, busy, at = taught(seconds=60.0)
    assert rhythm.is_proven
    end = next(
        busy.free_at(t / 1000)
        for t in range(int(at * 1000), 10**9)
        if busy.free_at(t / 1000) - t / 1000 > 0.03
    )
    rhythm.note_late(end + 0.0058)
    assert rhythm.surprises == 0
    rhythm.note_late(end + 0.02 + 2 * busy.period_s)
    assert rhythm.surprises == 1
    assert not rhythm.is_proven


def test_a_prompt_reply_that_cannot_be_is_a_surprise() -> None:
    rhythm, busy, at = taught(seconds=60.0)
    late = next(
        t / 1000
        for t in range(int(at * 1000), 10**9)
        if busy.free_at(t / 1000) - t / 1000 > 0.01 and busy.free_at(t / 1000) - t / 1000 < 0.02
    )
    rhythm.note_prompt(late, late)
    assert rhythm.surprises == 1
    assert rhythm.doubt < 1.0


def test_time_that_stands_still_changes_nothing() -> None:
    rhythm, _, at = taught()
    rhythm.wants_to_hear(at + 1)
    before = rhythm.doubt
    rhythm.wants_to_hear(at)
    assert rhythm.doubt == before


@pytest.mark.parametrize("period_s", [0.199, 0.202])
def test_a_pack_with_another_cycle_surprises_and_is_learned_with_more_doubt(
    period_s: float,
) -> None:
    rng = random.Random(6)
    busy = Busy(phase_s=0.1, period_s=period_s)
    rhythm = Rhythm()
    at = 1.0
    for _ in range(400):
        told(rhythm, busy, at)
        at += rng.uniform(0.1, 0.4)
    assert rhythm.surprises >= 1
    surprises = rhythm.surprises
    for _ in range(200):
        told(rhythm, busy, at)
        at += rng.uniform(0.1, 0.4)
    assert rhythm.surprises <= surprises + 1
