"""Bench visits meet the goals, and real scooters raise no alarm, through the same code as live."""

from pathlib import Path

import pytest

from packtap.model import Severity
from recorded import RECORDED_FRAMES, VECTORS
from score import Outcome, run, score, score_file

LABELS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.json"))


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [score_file(label) for label in LABELS]


def test_there_are_visits_of_sound_and_of_faulty_packs(outcomes: list[Outcome]) -> None:
    assert len(outcomes) == 25
    assert 0 < sum(outcome.is_healthy for outcome in outcomes) < 25


def test_faults_are_found_named_and_explained_within_the_visit(outcomes: list[Outcome]) -> None:
    detected, named, cell, _, forbidden, cause, brier, delay_s = score(outcomes)
    assert detected is not None and detected >= 0.97
    assert named is not None and named >= 0.95
    assert cell is not None and cell >= 0.99
    assert forbidden is not None and forbidden <= 0.02
    assert cause is not None and cause >= 0.95
    assert brier is not None and brier <= 0.08
    assert delay_s is not None and delay_s <= 2.0


def test_no_sound_pack_raises_an_alarm_or_is_called_faulty(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.is_healthy:
            assert outcome.false_alarms == (), outcome.name
            assert outcome.said == "none", outcome.name


def test_no_faulty_pack_is_called_sound(outcomes: list[Outcome]) -> None:
    assert [o.name for o in outcomes if o.cause != "none" and o.said == "none"] == []


@pytest.mark.parametrize("name", RECORDED_FRAMES)
def test_a_genuine_recording_raises_what_is_true_of_it_and_nothing_else(name: str) -> None:
    true_of = {
        "m365_commercial_emulator": (["implausible_data"], "bms_board"),
        "m365_esc_no_bms": (["bms_comm_lost"], "bms_board"),
    }
    raised, causes = run(VECTORS / "recordings" / f"{name}.log.gz")
    kinds = [event.kind for event in raised if event.severity is not Severity.INFO]
    said = max(causes, key=lambda cause: causes[cause])
    assert (kinds, said) == true_of.get(name, ([], "none"))
