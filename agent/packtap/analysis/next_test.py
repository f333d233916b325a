"""What to do to learn more, as rows, floor 2.

A test is either read by packtap from the traffic (`shows` says which kinds it lets packtap judge)
or by a person: those are the rows of `observation_rows` that have an action, and `--observe` takes
their result. The diagnosis proposes the one that is expected to tell most about the cause. No test
opens the pack or writes to the BMS, and none works a pack that is in danger.

Probabilities are estimates from the physics of each defect; what a row does not name comes out
positive by accident (5 %).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from packtap.analysis.defects import Defect
from packtap.analysis.observation_rows import OBSERVATIONS
from packtap.analysis.observations import Observation

__all__ = ["HAZARDS", "TESTS", "PossibleTest"]

_BY_ACCIDENT: Final = 0.05
#: While one of these is known, nobody is sent to charge or ride the pack.
HAZARDS: Final = frozenset(
    {
        "cell_overvoltage",
        "cell_undervoltage",
        "dead_cell",
        "deep_discharge",
        "self_discharge_cell",
        "open_balance_wire",
        "moisture_suspected",
        "over_temperature",
        "swollen_or_hot",
    }
)
#: Tests that charge the pack or draw from it.
_WORKING: Final = frozenset(
    {"plug_in_charger", "charge_fully", "wake_with_charger", "ride", "ride_empty"}
)


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
        given: probability of a positive result by name of defect, where packtap reads it.
        observation: how a person tells the result; None: nobody has to.
    """

    name: str
    action: str
    positive_means: str
    on_bench: bool
    shows: frozenset[str] = frozenset()
    given: Mapping[str, float] = field(default_factory=dict)
    observation: Observation | None = None

    @property
    def works_the_pack(self) -> bool:
        """Whether it charges the pack or draws from it."""
        return self.name in _WORKING

    @property
    def answer(self) -> str | None:
        """How a person tells the result: KEY=VALUE; None: packtap sees it itself."""
        row = self.observation
        return None if row is None else f"{row.key}={row.values}"

    def chances(self, defect: Defect) -> tuple[float, ...]:
        """Return the probability of every result if this is the defect; they sum to one."""
        if not self.shows and self.observation is not None:
            return self.observation.chances(defect)
        positive = self.given.get(defect.name, _BY_ACCIDENT)
        return positive, 1 - positive

    def as_document(self) -> dict[str, object]:
        """Return it as JSON keys and values."""
        return {
            "name": self.name,
            "action": self.action,
            "counts_if": self.positive_means,
            "observe": self.answer,
        }


def _row(
    name: str,
    action: str,
    positive_means: str,
    *shows: str,
    on_bench: bool,
    observe: str = "",
    **given: float,
) -> PossibleTest:
    observation = next((row for row in OBSERVATIONS if row.key == observe), None)
    return PossibleTest(
        name,
        action,
        positive_means,
        on_bench,
        frozenset(shows),
        MappingProxyType(given),
        observation,
    )


#: Read from the traffic.
_BY_PACKTAP: Final = (
    _row(
        "plug_in_charger",
        "Plug in a charger for two minutes while packtap reads.",
        "no charge current flows, or the readings do not move",
        "charge_blocked",
        on_bench=True, observe="charges",
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
)  # fmt: skip

TESTS: Final[tuple[PossibleTest, ...]] = (
    *(
        PossibleTest(row.test, row.action, row.counts_if, row.on_bench, observation=row)
        for row in OBSERVATIONS
        if row.test
    ),
    *_BY_PACKTAP,
)
