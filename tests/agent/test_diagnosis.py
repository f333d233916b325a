"""The ranking of causes: sums to one, starts from the report, moves with evidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packtap import kinds
from packtap.analysis.diagnosis import FAULT_PRIOR, LIKELIHOODS, rank_causes
from packtap.model import Cause, Event, EventState, Severity

KINDS = [kind.name for kind in kinds.KINDS]


def event(kind: str, state: EventState = EventState.RAISED) -> Event:
    return Event(f"pack/{kind}/00/s/1", 1.0, "pack", kind, Severity.WARNING, state)


def top(*kinds_seen: str, fault_reported: bool = False) -> Cause:
    return rank_causes(map(event, kinds_seen), fault_reported=fault_reported)[0].cause


@given(st.sets(st.sampled_from(KINDS)), st.booleans())
def test_probabilities_sum_to_one_once_whatever_was_seen(seen: set[str], reported: bool) -> None:
    ranked = rank_causes(map(event, seen), fault_reported=reported)
    assert sum(entry.probability for entry in ranked) == pytest.approx(1)
    assert {entry.cause for entry in ranked} == set(Cause)
    probabilities = [entry.probability for entry in ranked]
    assert probabilities == sorted(probabilities, reverse=True)


def test_nothing_seen_leaves_none_on_top() -> None:
    ranked = rank_causes([])
    assert ranked[0].cause is Cause.NONE
    assert ranked[0].probability == pytest.approx(0.5)


def test_a_reported_fault_and_nothing_else_keeps_the_prior_of_the_report() -> None:
    ranked = {entry.cause: entry.probability for entry in rank_causes([], fault_reported=True)}
    for cause, prior in FAULT_PRIOR.items():
        assert ranked[cause] == pytest.approx(prior, abs=0.005)


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (("bms_fault_flag",), Cause.BMS_BOARD),
        (("bms_comm_lost",), Cause.BMS_BOARD),
        (("cell_imbalance",), Cause.CELL_DAMAGE),
        (("cell_undervoltage", "bms_fault_flag"), Cause.CELL_DAMAGE),
        (("bus_noise",), Cause.NONE),
    ],
)
def test_evidence_moves_the_ranking(seen: tuple[str, ...], cause: Cause) -> None:
    assert top(*seen) is cause


def test_a_cleared_event_alone_is_no_second_piece_of_evidence() -> None:
    both = rank_causes([event("cell_imbalance"), event("cell_imbalance", EventState.CLEARED)])
    assert both == rank_causes([event("cell_imbalance")])


def test_every_kind_has_its_row_of_likelihoods_over_every_cause() -> None:
    assert [row.kind for row in LIKELIHOODS] == KINDS
    for row in LIKELIHOODS:
        assert set(row.given) == set(Cause)
        assert all(0 < p < 1 for p in row.given.values())
        assert row.why


def test_evidence_is_named_for_and_against() -> None:
    ranked = {entry.cause: entry for entry in rank_causes([event("cell_imbalance")])}
    assert ranked[Cause.CELL_DAMAGE].evidence_for == ("cell_imbalance",)
    assert ranked[Cause.BMS_BOARD].evidence_against == ("cell_imbalance",)
