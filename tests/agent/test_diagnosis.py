"""The ranking of causes: sums to one, starts from the report, moves with what was (not) seen."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packtap import kinds
from packtap.analysis.defects import BY_ACCIDENT, DEFECTS, SIGNS
from packtap.analysis.diagnosis import FAULT_PRIOR, RankedCause, diagnose
from packtap.analysis.evidence import Evidence, esc_sign
from packtap.analysis.next_test import TESTS
from packtap.model import Cause, Event, EventState, Severity
from stories import HEALTHY, snapshot

KINDS = [kind.name for kind in kinds.KINDS]


def event(kind: str, cell: int | None = None, state: EventState = EventState.RAISED) -> Event:
    return Event(f"pack/{kind}/00/s/1", 1.0, "pack", kind, Severity.WARNING, state, cell)


def evidence(*raised: str, quiet: str = "", signs: str = "", reported: bool = False) -> Evidence:
    """Return evidence; `quiet` and `signs` name kinds and signs, separated by blanks."""
    found = Evidence(signs=set(signs.split()), judged=set(quiet.split()), fault_reported=reported)
    found.take(event(kind) for kind in raised)
    return found


def ranked(found: Evidence) -> dict[Cause, RankedCause]:
    return {entry.cause: entry for entry in diagnose(found).causes}


def top(found: Evidence) -> Cause:
    return diagnose(found).causes[0].cause


@given(
    st.sets(st.sampled_from(KINDS)),
    st.sets(st.sampled_from(KINDS)),
    st.sets(st.sampled_from(sorted(SIGNS))),
    st.booleans(),
    st.booleans(),
)
def test_probabilities_sum_to_one_once_whatever_was_seen(
    raised: set[str], judged: set[str], signs: set[str], reported: bool, on_bench: bool
) -> None:
    found = evidence(*raised, quiet=" ".join(judged), signs=" ".join(signs), reported=reported)
    result = diagnose(found, on_bench=on_bench)
    assert sum(entry.probability for entry in result.causes) == pytest.approx(1)
    assert {entry.cause for entry in result.causes} == set(Cause)
    probabilities = [entry.probability for entry in result.causes]
    assert probabilities == sorted(probabilities, reverse=True)
    assert set(result.cannot_judge) == set(KINDS) - raised - judged


def test_nothing_seen_leaves_none_on_top() -> None:
    entry = diagnose(Evidence()).causes[0]
    assert entry.cause is Cause.NONE
    assert entry.probability == pytest.approx(0.5)


def test_a_reported_fault_and_nothing_else_keeps_the_prior_of_the_report() -> None:
    found = ranked(evidence(reported=True))
    for cause, prior in FAULT_PRIOR.items():
        assert found[cause].probability == pytest.approx(prior, abs=0.005)


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (evidence("bms_fault_flag"), Cause.BMS_BOARD),
        (evidence("bms_comm_lost"), Cause.BMS_BOARD),
        (evidence("bms_comm_lost", signs="came_back"), Cause.CONNECTION),
        (evidence("bms_comm_intermittent", "bms_comm_lost", signs="came_back"), Cause.CONNECTION),
        (evidence("cell_imbalance"), Cause.CELL_DAMAGE),
        (evidence("cell_imbalance", "bms_fault_flag", signs="flag_config_invalid"),
         Cause.CELL_DAMAGE),
        (evidence("bms_fault_flag", signs="flag_config_invalid", quiet="cell_imbalance dead_cell"),
         Cause.BMS_BOARD),
        (evidence("cell_undervoltage", "dead_cell", "bms_fault_flag"), Cause.CELL_DAMAGE),
        (evidence("cell_overvoltage"), Cause.CELL_DAMAGE),
        (evidence("cell_overvoltage", signs="many_cells_high"), Cause.BMS_BOARD),
        (evidence("open_balance_wire", "cell_undervoltage", "bms_fault_flag"), Cause.CONNECTION),
        (evidence("moisture_suspected", "cell_imbalance", "temp_sensor_fault"), Cause.MOISTURE),
        (evidence("soc_miscalibration"), Cause.CALIBRATION),
        (evidence("deep_discharge", "cell_undervoltage", "bms_fault_flag"), Cause.DEEP_DISCHARGE),
        (evidence("bus_noise"), Cause.NONE),
        (evidence("bus_noise", signs="noise_heavy"), Cause.CONNECTION),
        (evidence("over_temperature", "bms_fault_flag", signs="flag_over_temperature"), Cause.NONE),
        (evidence("bms_fault_flag", signs="flag_over_temperature", quiet="over_temperature"),
         Cause.BMS_BOARD),
        (evidence("under_temperature", "timestamp_anomaly"), Cause.NONE),
        (evidence(signs="factory_serial"), Cause.BMS_BOARD),
    ],
)  # fmt: skip
def test_evidence_moves_the_ranking(found: Evidence, cause: Cause) -> None:
    assert top(found) is cause


def test_a_silent_pack_leaves_board_and_line_both_possible() -> None:
    found = ranked(evidence("bms_comm_lost", signs="never_answered"))
    assert 0.6 < found[Cause.BMS_BOARD].probability < 0.95
    assert found[Cause.CONNECTION].probability > 0.05
    assert found[Cause.NONE].probability < 0.001


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_was_judged_and_stayed_quiet_never_speaks_for_its_defects(kind: str) -> None:
    before, after = ranked(Evidence()), ranked(evidence(quiet=kind))
    assert after[Cause.NONE].probability >= before[Cause.NONE].probability - 0.02


def test_everything_quiet_means_a_sound_pack() -> None:
    found = evidence(quiet=" ".join(KINDS))
    assert diagnose(found).causes[0].probability > 0.92
    assert top(found) is Cause.NONE
    assert diagnose(found).next_test is None


def test_an_event_that_was_cleared_is_evidence_all_the_same_and_no_more() -> None:
    found = evidence("cell_imbalance")
    before = diagnose(found)
    found.take([event("cell_imbalance", state=EventState.CLEARED)])
    after = diagnose(found)
    assert (after.causes, after.next_test) == (before.causes, before.next_test)
    assert after.said["cell_imbalance"] == before.said["cell_imbalance"] + "; over since"


def test_many_cells_beyond_a_limit_are_a_sign_of_their_own() -> None:
    found = Evidence()
    found.take([event("cell_overvoltage", 1), event("cell_overvoltage", 1)])
    found.take([event("cell_overvoltage", 2)])
    assert found.signs == set()
    found.take([event("cell_overvoltage", 9)])
    assert found.signs == {"many_cells_high"}


def test_flags_are_signs_once_they_are_an_event() -> None:
    found = Evidence()
    found.look(snapshot(1.0, status=0x2000))
    assert found.signs == set()
    found.take([event("bms_fault_flag")])
    found.look(snapshot(2.0, status=0x2000))
    assert found.signs == {"flag_config_invalid", "flag_charge_error"}


def test_a_scooter_that_shows_an_error_is_a_reported_fault() -> None:
    found = Evidence()
    found.report_error(21)
    assert found.fault_reported
    assert found.signs == {"esc_silent"}
    assert esc_sign(10) is None


def test_evidence_is_the_same_after_a_restart() -> None:
    found = evidence("cell_imbalance", "bms_fault_flag", quiet="dead_cell", signs="emulator")
    found.take([event("cell_undervoltage", 3)])
    found.look(snapshot(5.0, current_a=0.1, voltage_v=38.0, cell_voltages_mv=HEALTHY))
    found.report_error(22)
    found.observe("charges", "no")
    state = json.loads(json.dumps(found.state()))
    assert Evidence.from_state(state) == found
    assert diagnose(Evidence.from_state(state)) == diagnose(found)


def test_a_state_that_is_not_understood_is_no_evidence() -> None:
    assert Evidence.from_state({}) == Evidence()
    strange = {
        "cells": {"unheard_of": 1, "dead_cell": "x"},
        "signs": 3,
        "judged": None,
        "esc_error": "21",
        "measured": {"unheard_of": {}, "dead_cell": 7, "weak_cell": {"seen": 1, "unit": 2}},
        "told": {"no_sign": "x", "emulator": 4},
        "observed": {"unheard_of": "yes", "charges": "blue", "age_years": "x", "turns_on": 3},
        "exposure": {"readings": -1, "rest_s": "long", "cells": True, "rows": ["nothing", 4]},
    }
    assert Evidence.from_state(strange) == Evidence()


def test_evidence_is_named_for_and_against() -> None:
    found = ranked(evidence("cell_imbalance", quiet="frozen_readings"))
    assert found[Cause.CELL_DAMAGE].evidence_for == ("cell_imbalance",)
    assert "cell_imbalance" in found[Cause.BMS_BOARD].evidence_against


def test_every_defect_is_described_by_kinds_and_signs_that_exist() -> None:
    names = {*KINDS, *SIGNS}
    for defect in DEFECTS:
        assert set(defect.given) <= names, defect.name
        assert all(0 < p < 1 for p in defect.given.values())
        assert defect.why
    assert set(BY_ACCIDENT) <= names | {""}
    for cause in Cause:
        shares = [defect.share for defect in DEFECTS if defect.cause is cause]
        assert sum(shares) == pytest.approx(1), cause
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)


def test_every_kind_is_the_main_sign_of_some_defect() -> None:
    unexplained = {
        kind for kind in KINDS if max(defect.probability(kind) for defect in DEFECTS) < 0.8
    }
    assert unexplained <= {"over_current"}


# The next test.


def test_every_test_is_about_kinds_and_defects_that_exist() -> None:
    names = {defect.name for defect in DEFECTS}
    for test in TESTS:
        assert set(test.given) <= names
        assert test.shows <= set(KINDS)
        for defect in DEFECTS:
            chances = test.chances(defect)
            assert sum(chances) == pytest.approx(1), (test.name, defect.name)
            assert all(0 < chance < 1 for chance in chances), (test.name, defect.name)


def test_on_the_bench_nobody_is_sent_for_a_ride() -> None:
    found = evidence(quiet="bms_fault_flag frozen_readings implausible_data voltage_sum_mismatch "
                     "cell_imbalance open_balance_wire temp_sensor_fault")  # fmt: skip
    for on_bench in (False, True):
        proposed = diagnose(found, on_bench=on_bench).next_test
        assert proposed is not None
        assert proposed.on_bench or not on_bench


def test_for_a_silent_pack_the_wire_is_moved_or_the_voltage_measured() -> None:
    proposed = diagnose(evidence("bms_comm_lost"), on_bench=True).next_test
    assert proposed is not None
    assert proposed.name in ("move_the_wire", "terminal_voltage", "another_adapter")


def test_what_the_traffic_has_told_is_not_proposed() -> None:
    told = evidence(quiet="charge_blocked")
    assert "plug_in_charger" in {test.name for test in TESTS}
    proposed = diagnose(told, on_bench=True).next_test
    assert proposed is None or proposed.name != "plug_in_charger"


def test_a_healthy_reading_is_no_sign() -> None:
    found = Evidence()
    found.look(snapshot(1.0, status=1, cell_voltages_mv=HEALTHY))
    assert (found.signs, found.cells, found.judged) == (set(), {}, set())
