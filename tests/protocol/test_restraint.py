"""A guest leaves off asking: after collisions for seconds, after harm for minutes."""

import pytest

from ninebot_bms.restraint import Restraint


def test_a_collision_silences_for_seconds_and_longer_each_time() -> None:
    restraint = Restraint(seed=1)
    waits = []
    for number in range(12):
        now = 1000.0 * number
        restraint.note_collision(now, is_silence=False)
        waits.append(restraint.silent_until - now)
    assert 0.5 <= waits[0] <= 1.5
    assert all(0.5 * 2**number <= wait for number, wait in enumerate(waits[:6]))
    assert 30 <= waits[-1] <= 90
    assert restraint.collisions == restraint.backoffs == 12
    assert not restraint.is_resting
    assert "a collision: backing off for" in (restraint.reason or "")


def test_two_guests_do_not_wait_equally_long() -> None:
    waits = set()
    for seed in range(10):
        restraint = Restraint(seed)
        restraint.note_damage(0.0)
        waits.add(round(restraint.silent_until, 3))
    assert len(waits) == 10


def test_clean_reads_forgive_collisions() -> None:
    restraint = Restraint(seed=1)
    for _ in range(6):
        restraint.note_collision(0.0, is_silence=False)
    for _ in range(20):
        restraint.note_clean()
    restraint.note_collision(0.0, is_silence=False)
    assert restraint.silent_until <= 1.5


def test_no_echo_three_times_means_minutes_of_rest_twice_as_long_the_next_time() -> None:
    restraint = Restraint(seed=1)
    rests = []
    for start in (0.0, 10_000.0, 20_000.0, 30_000.0, 40_000.0, 50_000.0):
        for number in range(3):
            restraint.note_collision(start + number, is_silence=True)
        assert restraint.is_resting
        rests.append(restraint.silent_until - start - 2)
    assert rests == [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]
    assert "nothing that is sent comes back" in (restraint.reason or "")


def test_an_echo_in_between_forgets_the_missing_ones() -> None:
    restraint = Restraint(seed=1)
    for _ in range(10):
        restraint.note_collision(0.0, is_silence=True)
        restraint.note_echo()
    assert not restraint.is_resting


def test_five_questions_without_a_reply_mean_that_nobody_relays_them() -> None:
    restraint = Restraint()
    for _ in range(4):
        restraint.note_unanswered(0.0)
    restraint.note_clean()
    for _ in range(4):
        restraint.note_unanswered(0.0)
    assert restraint.silent_until < 0
    restraint.note_unanswered(0.0)
    assert restraint.is_resting
    assert "does not relay" in (restraint.reason or "")


def test_three_surprises_in_five_minutes_are_a_pack_that_nobody_understands() -> None:
    restraint = Restraint()
    for now in (0.0, 400.0, 800.0, 1100.0):
        restraint.note_surprise(now)
        assert not restraint.is_resting
    restraint.note_surprise(1099.0)
    assert restraint.is_resting
    assert "cannot be foreseen" in (restraint.reason or "")


def test_frames_lost_behind_own_reads_end_the_asking() -> None:
    restraint = Restraint()
    for number in range(400):
        restraint.note_frames(number * 0.02, 0, is_behind_ours=number % 25 == 0)
    assert restraint.noise == 0
    for number in range(4):
        assert not restraint.is_resting
        restraint.note_frames(10.0 + number, 1, is_behind_ours=True)
    assert restraint.is_resting
    assert "lost behind packtap's reads" in (restraint.reason or "")


@pytest.mark.parametrize("every", [50, 20])
def test_noise_that_is_there_anyway_is_not_taken_for_own_harm(every: int) -> None:
    restraint = Restraint()
    for number in range(20_000):
        is_lost = number % every == 0
        restraint.note_frames(number * 0.02, int(is_lost), is_behind_ours=number % 19 == 0)
    assert not restraint.is_resting
    assert restraint.trouble is None


def test_a_wire_on_which_much_is_damaged_is_not_asked_on() -> None:
    restraint = Restraint()
    for number in range(500):
        restraint.note_frames(number * 0.02, int(number % 5 == 0), is_behind_ours=False)
    assert restraint.noise > 0.1
    assert "arrives damaged" in (restraint.trouble or "")


def test_a_few_frames_lost_at_the_very_beginning_are_no_noise() -> None:
    restraint = Restraint()
    restraint.note_frames(0.0, 3, is_behind_ours=False)
    assert restraint.trouble is None
