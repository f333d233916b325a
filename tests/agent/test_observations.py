"""What a person tells: every proposed test can be answered, and answers move the right causes."""

import argparse

import pytest

from ninebot_bms.registers import by_name as registers
from packtap import kinds
from packtap.analysis.defects import DEFECTS, SIGNS
from packtap.analysis.diagnosis import diagnose
from packtap.analysis.evidence import Evidence
from packtap.analysis.next_test import HAZARDS, TESTS
from packtap.analysis.observation_rows import OBSERVATIONS, by_key, read_observation
from packtap.analysis.observations import UNKNOWN, Context, Observation, Outcome
from packtap.analysis.requirements import REQUIREMENTS, judged_over, lacking
from packtap.cli import main
from packtap.cli.told import add_told_arguments, observations_help
from packtap.model import Cause, Event, EventState, Severity, Value
from stories import HEALTHY, snapshot

Printed = pytest.CaptureFixture[str]

#: A pack of ten cells whose board reports 37 V.
TEN = Context(cells=10, pack_v=37.0)
#: A number for every outcome of the rows that are measured.
NUMBERS: dict[str, dict[str, float]] = {
    "pack_terminal_v": {"nothing": 0, "low": 20, "high": 43, "differs": 33, "sound": 36.8},
    "charger_voltage_v": {"low": 38, "high": 43.5, "right": 42},
    "age_years": {"old": 6, "middle": 3, "young": 1},
    "months_unused": {"long": 8, "some": 2, "short": 0},
}


def answer_of(row: Observation, outcome: Outcome) -> str:
    """Return what somebody answers who sees this."""
    if row.number is None:
        return row.read(outcome.name)
    return row.read(str(NUMBERS[row.key][outcome.name]))


def evidence(*kinds_raised: str) -> Evidence:
    found = Evidence()
    found.take(
        Event(f"p/{k}/00/s/1", 1.0, "p", k, Severity.WARNING, EventState.RAISED, None)
        for k in kinds_raised
    )
    found.exposure.cells, found.exposure.pack_v = TEN.cells, TEN.pack_v
    return found


def probabilities(found: Evidence) -> dict[Cause, float]:
    return {entry.cause: entry.probability for entry in diagnose(found).causes}


EVERY_OUTCOME = [
    pytest.param(row, outcome, id=f"{row.key}={outcome.name}")
    for row in OBSERVATIONS
    for outcome in row.outcomes
]


# The table.


def test_every_outcome_is_described_and_its_probabilities_sum_to_one() -> None:
    names = {defect.name for defect in DEFECTS}
    for row in OBSERVATIONS:
        assert row.why, row.key
        assert row.asks, row.key
        assert row.told_by <= {*kinds.by_name, *SIGNS}
        assert not row.outcomes[-1].given, "the last outcome takes what the others leave"
        assert sum(outcome.usual for outcome in row.outcomes) == pytest.approx(1)
        for outcome in row.outcomes:
            assert set(outcome.given) <= names, row.key
        for defect in DEFECTS:
            chances = row.chances(defect)
            assert sum(chances) == pytest.approx(1)
            assert all(0 < chance < 1 for chance in chances), (row.key, defect.name)


@pytest.mark.parametrize(("row", "outcome"), EVERY_OUTCOME)
def test_every_outcome_can_be_told(row: Observation, outcome: Outcome) -> None:
    assert row.outcome(answer_of(row, outcome), TEN) is outcome


@pytest.mark.parametrize(("row", "outcome"), EVERY_OUTCOME)
def test_an_answer_moves_the_cause_that_it_speaks_for_and_sums_stay_one(
    row: Observation, outcome: Outcome
) -> None:
    """The defect that makes an answer most likely gains, the one that makes it least loses."""
    found = evidence()
    before = probabilities(found)
    found.observe(row.key, answer_of(row, outcome))
    after = probabilities(found)
    assert sum(after.values()) == pytest.approx(1)
    weights = dict.fromkeys(Cause, 0.0)
    shares = dict.fromkeys(Cause, 0.0)
    for defect in DEFECTS:
        weights[defect.cause] += defect.share * row.probability(outcome, defect)
        shares[defect.cause] += defect.share
    likely = {cause: weights[cause] / shares[cause] for cause in Cause}
    best, worst = max(likely, key=likely.__getitem__), min(likely, key=likely.__getitem__)
    assert after[best] >= before[best] - 1e-12
    assert after[worst] <= before[worst] + 1e-12


@pytest.mark.parametrize("row", OBSERVATIONS, ids=lambda row: row.key)
def test_an_answer_that_nobody_knows_moves_nothing(row: Observation) -> None:
    found = evidence("bms_comm_lost")
    before = probabilities(found)
    found.observe(row.key, row.read(UNKNOWN))
    assert probabilities(found) == before
    assert any("nobody could tell" in line for line in diagnose(found).answers)


def test_an_observation_that_is_in_no_table_is_refused_with_the_nearest_key() -> None:
    with pytest.raises(ValueError, match="did you mean another_adapter"):
        read_observation("another_adaptor=yes")
    with pytest.raises(ValueError, match="needs a value: charges=no"):
        read_observation("charges")
    with pytest.raises(ValueError, match="visible_damage: plug"):
        read_observation("visible_damage=very")
    with pytest.raises(ValueError, match="from 0 to 100"):
        read_observation("pack_terminal_v=-3")
    with pytest.raises(ValueError, match="from 0 to 100"):
        read_observation("pack_terminal_v=nan")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("charges=NO", "no"),
        ("charges = n", "no"),
        ("swollen-or-hot=true", "yes"),
        ("pack_terminal_v=36,5", "36.5"),
        ("pack_terminal_v=36.5V", "36.5"),
        ("age_years=?", UNKNOWN),
    ],
)
def test_answers_are_read_as_people_write_them(text: str, answer: str) -> None:
    assert read_observation(text)[1] == answer


def test_a_voltage_without_a_number_of_cells_is_not_judged_and_says_so() -> None:
    found = Evidence()
    found.observe("pack_terminal_v", "36.5")
    before = probabilities(Evidence())
    assert probabilities(found) == before
    assert "--cells" in diagnose(found).answers[0]
    found.observe("pack_terminal_v", "0.3")
    assert probabilities(found)[Cause.BMS_BOARD] > before[Cause.BMS_BOARD]


def test_what_the_traffic_has_told_is_not_counted_twice() -> None:
    found = evidence("charge_blocked")
    before = probabilities(found)
    found.observe("charges", "no")
    assert probabilities(found) == before
    found.observe("charges", "yes")
    assert probabilities(found) != before


# The next test can be answered.


def test_every_test_that_a_person_reads_has_its_observation() -> None:
    for test in TESTS:
        assert test.shows or test.observation is not None, test.name
        if test.observation is not None:
            assert test.answer is not None
            assert by_key[test.observation.key] is test.observation


def test_a_proposed_test_is_answered_and_not_proposed_again() -> None:
    """Whatever is answered, each test comes once, and in the end there is none left to do."""
    for result in (0, -1):
        found = evidence("bms_comm_lost")
        asked: list[str] = []
        while (test := diagnose(found, on_bench=True).next_test) is not None:
            assert test.name not in asked
            asked.append(test.name)
            if test.observation is None:
                found.judged |= test.shows
            else:
                row = test.observation
                found.observe(row.key, answer_of(row, row.outcomes[result]))
        assert asked


def test_each_test_of_a_person_is_done_once_it_is_answered() -> None:
    for test in TESTS:
        if test.observation is None:
            continue
        found = evidence("bms_comm_lost", "cell_imbalance")
        found.observe(test.observation.key, UNKNOWN)
        proposed = diagnose(found, on_bench=True).next_test
        assert proposed is None or proposed.name != test.name


def test_nobody_is_sent_to_charge_or_ride_a_pack_in_danger() -> None:
    working = {test.name for test in TESTS if test.works_the_pack}
    assert working >= {"charge_fully", "plug_in_charger", "wake_with_charger", "ride"}
    assert any(
        (test := diagnose(evidence(kind)).next_test) is not None and test.works_the_pack
        for kind in ("cell_imbalance", "bms_fault_flag", "bms_comm_lost", "soc_miscalibration")
    ), "without danger they are proposed"
    for hazard in HAZARDS & kinds.by_name.keys():
        for other in ("cell_imbalance", "bms_fault_flag", "charge_blocked"):
            proposed = diagnose(evidence(hazard, other)).next_test
            assert proposed is None or not proposed.works_the_pack
    told = evidence("cell_imbalance")
    told.observe("swollen_or_hot", "yes")
    proposed = diagnose(told).next_test
    assert proposed is None or not proposed.works_the_pack


def test_a_swollen_pack_is_said_loudly() -> None:
    found = evidence()
    found.observe("swollen_or_hot", "yes")
    (words,) = diagnose(found).danger
    assert "fire brigade" in words
    found.observe("swollen_or_hot", "no")
    assert diagnose(found).danger == ()


# Evidence with numbers.


def test_a_raised_kind_is_said_with_the_numbers_of_its_strongest_occurrence() -> None:
    found = Evidence()
    kind = kinds.by_name["high_resistance_cell"]
    for cell, value in ((7, 12.0), (7, 27.3), (2, 10.1)):
        text = kind.sentence(cell, value, 9.8)
        found.take(
            [
                Event(
                    "x", 5.0, "p", kind.name, kind.severity, EventState.RAISED, cell, value, 9.8,
                    kind.unit, text,
                )
            ]
        )  # fmt: skip
    said = diagnose(found).said["high_resistance_cell"]
    assert said.startswith("Cell 7 has 27.3 mohm more than the others (limit 9.8 mohm)")
    assert "also cell 2" in said
    assert "raised 3 times" in said


def test_a_quiet_kind_says_over_how_much_it_was_judged() -> None:
    found = Evidence(judged={"cell_imbalance", "bms_fault_flag"})
    for second in range(90):
        found.look(snapshot(float(second), current_a=0.0, status=1, cell_voltages_mv=HEALTHY))
    said = diagnose(found).said
    assert said["no cell_imbalance"] == (
        "no cell imbalance: judged over 90 readings of the cells at rest"
    )
    assert said["no bms_fault_flag"] == "no bms fault flag: judged over 90 readings"


def test_what_could_not_be_judged_says_what_it_lacks_and_how_much_more() -> None:
    found = Evidence()
    values: dict[str, Value] = {
        **dict.fromkeys(registers, 1),
        "current_a": 0.1,
        "cell_voltages_mv": HEALTHY,
        "full_capacity_mah": 10_000,
    }
    for second in range(0, 601, 5):
        found.look(snapshot(float(second), **values))
    lacks = diagnose(found).lacks
    assert "80 min more of unbroken rest" in lacks["self_discharge_cell"]
    assert "12 % more" in lacks["weak_cell"]
    assert "under load" in lacks["high_resistance_cell"]
    nothing = diagnose(Evidence()).lacks
    assert "not known: cell voltages" in nothing["dead_cell"]
    assert "capacity" in lacking("weak_cell", _with_rows("cell_voltages_mv", "current_a").exposure)


def _with_rows(*rows: str) -> Evidence:
    found = Evidence()
    found.exposure.rows |= set(rows)
    return found


def test_every_kind_has_a_requirement() -> None:
    assert set(REQUIREMENTS) == set(kinds.by_name)
    for kind in kinds.by_name:
        assert lacking(kind, Evidence().exposure)
        assert judged_over(kind, Evidence().exposure) == ""


# The options.


def test_the_list_of_observations_names_all_of_them_in_80_columns(capsys: Printed) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", "--observe", "help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.rstrip("\n") == observations_help()
    assert max(map(len, printed.splitlines())) <= 80
    assert all(f"  {row.key}=" in printed for row in OBSERVATIONS)
    assert "open a pack" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--observe", "chargs=no"], "did you mean charges"),
        (["--observe", "charges=perhaps"], "no|yes"),
        (["--cells", "40"], "1 to 16"),
        (["--esc-error", "9"], "10-50"),
    ],
)
def test_a_wrong_option_is_said_and_exits_2(words: list[str], said: str, capsys: Printed) -> None:
    parser = argparse.ArgumentParser()
    add_told_arguments(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
