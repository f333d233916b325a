"""What is not to be believed: each quirk shows where it should, and not on genuine packs."""

import pytest

from ninebot_bms.quirks import QUIRKS, Report, find_doubts
from ninebot_bms.registers import Value, by_name

#: A genuine M365 pack with ten cells, as an active reader sees it.
GENUINE: dict[str, Value] = {
    "magic": 0x5A5A,
    "serial": "3JAGJ17A8D3660",
    "firmware": "1.1.5",
    "design_capacity_mah": 7800,
    "design_voltage_v": 36.0,
    "manufacture_date": "2017-01-08",
    "status": 1,
    "soc_pct": 47,
    "current_a": 0.02,
    "voltage_v": 35.94,
    "coulomb_capacity_mah": 3697,
    "health_pct": 91,
    "displayed_soc_pct": 47,
    "cell_voltages_mv": (3594, 3595, 3593, 3594, 3596, 3594, 3592, 3594, 3595, 3593),
}
BOTOX: dict[str, Value] = {"serial": "BOTOX001", "firmware": "9.0.0"}
IVAN: dict[str, Value] = {
    "serial": "  IVAN100KWT  ",
    "voltage_v": 2.25,
    "cell_voltages_mv": (225,) * 15,
}


def names(times: dict[str, float | None] | None = None, /, **changed: Value) -> set[str]:
    """Doubts about the genuine pack with some values changed; ... leaves one out."""
    values = GENUINE | changed
    return {doubt.name for doubt in find_doubts(Report(values, times or {}))}


def test_a_genuine_pack_gives_no_doubt() -> None:
    assert names() == set()


def test_a_pack_of_which_nothing_was_read_gives_no_doubt() -> None:
    assert find_doubts(Report({}, {})) == ()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (IVAN, {"emulator-constants", "serial-placeholder", "sum-mismatch"}),
        (IVAN | {"current_a": None}, {"emulator-constants", "serial-placeholder"}),
        ({"cell_voltages_mv": (225,) * 10, "voltage_v": 2.25}, {"emulator-constants"}),
        ({"cell_voltages_mv": (3700,) * 10, "voltage_v": 37.0}, set()),
        ({"cell_voltages_mv": (3700,) * 10, "voltage_v": 42.0, "current_a": 9.0},
         {"emulator-constants"}),
        ({"cell_voltages_mv": (6000,) * 10, "voltage_v": 60.0}, {"emulator-constants"}),
        ({"cell_voltages_mv": (500, 500), "voltage_v": 1.0}, set()),
        ({"cell_voltages_mv": (225, None, 225), "voltage_v": 1.0}, set()),
        ({"serial": None}, {"serial-unreadable"}),
        ({"serial": "3GA0016A1A0001"}, {"serial-factory"}),
        ({"serial": "3JAGJ17A9D3660"}, {"serial-date-differs"}),
        ({"serial": "3JAGJ1708D3660"}, set()),
        ({"manufacture_date": None}, {"date-impossible"}),
        (BOTOX, {"serial-shared", "replacement-bms"}),
        ({"firmware": "9.0.0"}, {"replacement-bms"}),
        (BOTOX | {"status": 0}, {"serial-shared", "replacement-bms", "replacement-unbalanced"}),
        (BOTOX | {"manufacture_date": "2018-10-01"},
         {"serial-shared", "replacement-bms", "replacement-date"}),
        ({"status": 0}, set()),
        ({"status": 0x0140}, {"emulator-latched-status"}),
        ({"status": 0x0141}, set()),
        ({"magic": 0xAAAA}, {"factory-image"}),
        ({"health_pct": 98}, {"health-constant"}),
        ({"displayed_soc_pct": 0}, {"displayed-soc-unsupported"}),
        ({"displayed_soc_pct": 0, "soc_pct": 2}, set()),
        ({"displayed_soc_pct": 0, "soc_pct": None}, set()),
        ({"coulomb_capacity_mah": -12}, {"coulomb-counter-failed"}),
        ({"voltage_v": 37.0}, {"sum-mismatch"}),
        ({"voltage_v": 36.4}, set()),
        ({"voltage_v": 37.0, "current_a": 8.0}, set()),
        ({"voltage_v": None}, set()),
        ({"voltage_v": 37.0, "cell_voltages_mv": None}, set()),
    ],
)  # fmt: skip
def test_a_quirk_is_flagged_where_it_shows(changed: dict[str, Value], expected: set[str]) -> None:
    assert names(**changed) == expected


def test_an_emulator_is_known_before_its_cells_are_read() -> None:
    values = {name: value for name, value in IVAN.items() if name != "cell_voltages_mv"}
    found = {doubt.name for doubt in find_doubts(Report(values, {}))}
    assert found == {"emulator-constants", "serial-placeholder"}


def test_a_low_pack_of_a_vendor_is_not_an_emulator_before_its_cells_are_read() -> None:
    values: dict[str, Value] = {"serial": "3JAGJ17A8D3660", "voltage_v": 2.9}
    assert find_doubts(Report(values, {})) == ()


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"cell_voltages_mv": 10.0, "voltage_v": 11.0, "current_a": 11.0}, {"sum-mismatch"}),
        ({"cell_voltages_mv": 10.0, "voltage_v": 13.0, "current_a": 13.0}, set()),
        ({"cell_voltages_mv": 10.0, "voltage_v": 10.0, "current_a": 13.0}, set()),
        ({"cell_voltages_mv": None, "voltage_v": 13.0, "current_a": 13.0}, {"sum-mismatch"}),
    ],
)
def test_sum_and_pack_voltage_are_compared_only_if_read_together(
    times: dict[str, float | None], expected: set[str]
) -> None:
    assert names(times, voltage_v=37.0) == expected


def test_quirks_name_rows_of_the_register_table_and_have_names_of_their_own() -> None:
    doubts = [quirk.doubt for quirk in QUIRKS]
    assert len({doubt.name for doubt in doubts}) == len(doubts)
    for doubt in doubts:
        assert set(doubt.rows) <= set(by_name), doubt.name
        assert doubt.text
        assert doubt.name == doubt.name.lower().replace("_", "-")
