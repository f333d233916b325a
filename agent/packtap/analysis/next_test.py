"""What a person can do to learn more, as rows, floor 2.

One row a test: what to do, whether it can be done with the pack alone on the bench, and how likely
it comes out positive under each defect. The diagnosis proposes the one that is expected to tell
most about the cause. No test opens the pack or writes to the BMS.

Probabilities are estimates from the physics of each defect; what a row does not name comes out
positive by accident (5 %).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from packtap.analysis.defects import Defect

__all__ = ["TESTS", "PossibleTest"]

_BY_ACCIDENT: Final = 0.05


@dataclass(frozen=True, slots=True)
class PossibleTest:
    """One row.

    Attributes:
        name: snake_case, stable.
        action: what to do, for people.
        positive_means: what to look for.
        on_bench: can be done with the pack alone.
        shows: kinds of event that it lets packtap judge; once judged, the test is done. Empty: a
            person reads the result.
        given: probability of a positive result by name of defect.
    """

    name: str
    action: str
    positive_means: str
    on_bench: bool
    shows: frozenset[str]
    given: Mapping[str, float]

    def positive(self, defect: Defect) -> float:
        """Return how likely the result is positive if this is the defect."""
        return self.given.get(defect.name, _BY_ACCIDENT)


def _row(
    name: str, action: str, positive_means: str, *shows: str, on_bench: bool, **given: float
) -> PossibleTest:
    return PossibleTest(
        name, action, positive_means, on_bench, frozenset(shows), MappingProxyType(given)
    )


TESTS: Final[tuple[PossibleTest, ...]] = (
    _row(
        "terminal_voltage",
        "Measure the voltage at the pack's output terminals with a multimeter.",
        "no voltage, or less than 2.8 V a cell",
        on_bench=True,
        board_silent=0.6, board_hidden=0.6, empty=0.97, cell_dead=0.5, power_joint=0.1,
    ),
    _row(
        "move_the_wire",
        "Move the data wire and its plug by hand while packtap listens.",
        "replies come or go",
        on_bench=True,
        data_plug=0.95, data_line_broken=0.6, data_line_noisy=0.4, power_joint=0.15,
        sensor_lead=0.05,
    ),
    _row(
        "another_adapter",
        "Try another adapter or cable, and swap its two data wires.",
        "the BMS answers",
        on_bench=True,
        data_line_broken=0.5, data_plug=0.3, data_line_noisy=0.6,
    ),
    _row(
        "plug_in_charger",
        "Plug in a charger for two minutes while packtap reads.",
        "no charge current flows, or the readings do not move",
        "charge_blocked",
        on_bench=True,
        board_charge_switch=0.97, charge_line=0.97, board_flag=0.5, board_frozen=0.8, empty=0.6,
        cell_overcharged=0.6, board_overcharges=0.6, cell_dead=0.5, sense_wire=0.3,
    ),
    _row(
        "read_two_minutes",
        "Read the pack alone on the bench for two minutes.",
        "cells, sum or flags are off",
        "bms_fault_flag", "frozen_readings", "implausible_data", "voltage_sum_mismatch",
        "cell_imbalance", "open_balance_wire", "temp_sensor_fault",
        on_bench=True,
        board_flag=0.95, board_frozen=0.95, board_garbage=0.95, board_measures_wrongly=0.95,
        board_sensor=0.95, sensor_lead=0.95, cell_imbalanced=0.95, sense_wire=0.95,
        moisture=0.9, cell_dead=0.95, cell_leaks=0.5, balance_not_done=0.9,
    ),
    _row(
        "ride",
        "Ride for ten minutes with some hills while packtap reads the cells.",
        "one cell or the pack voltage follows the current",
        "high_resistance_cell", "high_resistance_connection", "bms_comm_intermittent",
        on_bench=False,
        cell_resistance=0.95, power_joint=0.95, data_plug=0.8, cell_weak=0.4, board_hidden=0.5,
    ),
    _row(
        "ride_empty",
        "Ride from full to a quarter while packtap reads the cells.",
        "one cell falls behind, or the pack gives much less than it claims",
        "weak_cell", "capacity_fade",
        on_bench=False,
        cell_weak=0.95, cells_worn=0.95, cell_resistance=0.3, gauge=0.3, cell_imbalanced=0.3,
    ),
    _row(
        "rest_overnight",
        "Leave it at rest overnight with packtap connected.",
        "one cell drifts away from the others",
        "self_discharge_cell",
        on_bench=True,
        cell_leaks=0.95, moisture=0.3,
    ),
    _row(
        "charge_fully",
        "Charge it fully, leave it plugged in for some hours, and read it again.",
        "one cell is still off, or the percent still wrong",
        on_bench=True,
        cell_imbalanced=0.85, cell_weak=0.6, cell_leaks=0.8, cell_overcharged=0.8,
        balance_not_done=0.1, gauge=0.15, board_frozen=0.9,
    ),
    _row(
        "dry",
        "Let the pack lie warm and dry for two days, and read it again.",
        "the readings have come to rest",
        on_bench=True,
        moisture=0.85,
    ),
    _row(
        "wake_with_charger",
        "Plug in a charger for a minute, then ask again.",
        "the BMS answers now",
        on_bench=True,
        empty=0.7, board_silent=0.1,
    ),
)  # fmt: skip
