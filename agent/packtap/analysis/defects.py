"""The defects that packtap tells apart, as rows, floor 2.

A cause of the diagnosis (`packtap.model.Cause`) is many defects: "board" is one that is silent, or
frozen, or measures wrongly. Each defect is one row: its cause, its share of the cause's prior, and
how likely each kind of event is to be raised at least once if this is the defect and the kind could
be judged. What a row does not name happens only by accident (`BY_ACCIDENT`). One table serves both
ways: a kind that was raised multiplies a defect by its probability, a kind that was judged and not
raised by one minus it.

Kinds are those of `packtap.kinds`; besides them stand *signs*, finer evidence that is no event of
its own (which flag the board shows, a factory serial, many cells instead of one). Signs count only
when they show.

Shares are estimates: no public repair statistics go below the seven causes. They matter only where
readings leave defects of several causes open. Probabilities of the main kind of a defect are those
that a detector meets (events.md section 5: a plain implementation finds about 0.95); side effects
are estimated from the reasons given in each row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from packtap.model import Cause

__all__ = ["BY_ACCIDENT", "DEFECTS", "SIGNS", "Defect"]

#: Probability of a kind or sign that a defect does not cause: false alarms, and second defects, in
#: one capture or a month of memory. The detectors are made for less than 0.02 false alarms a day
#: over all kinds; two defects at once are rarer still.
BY_ACCIDENT: Final[Mapping[str, float]] = MappingProxyType(
    {
        "bus_noise": 0.05,  # collisions and plugging on a sound bus, once in hours
        "under_temperature": 0.03,  # the weather
        "over_temperature": 0.01,
        "timestamp_anomaly": 0.03,  # the recorder
        "bms_fault_flag": 0.001,
        "bms_comm_intermittent": 0.001,
        "bms_comm_lost": 0.001,
        "over_current": 0.01,
        "capacity_fade": 0.003,  # age, beside any other defect
        "capacity_told": 0.1,  # age, beside any other defect
        "cell_imbalance": 0.001,
        "soc_miscalibration": 0.001,
        "": 0.0004,  # every other one
    }
)

#: What a sign means; it is shown as evidence.
SIGNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "flag_config_invalid": "status bit 0 is cleared",
        "flag_over_discharge": "status bit 8 is set",
        "flag_over_temperature": "status bit 10 is set",
        "flag_charge_error": "status bit 13 is set",
        "flag_deep_undervoltage": "status bit 14 is set",
        "capacity_told": "the board itself says that the pack holds less than 0.8 of its design",
        "emulator": "an emulator answers instead of a BMS",
        "factory_serial": "the serial is the factory's default",
        "many_cells_high": "three cells or more are too high",
        "many_cells_low": "three cells or more are too low",
        "noise_heavy": "over all, more than one in a hundred frames is damaged",
        "never_answered": "no reply to any request",
        "came_back": "replies came back after a silence",
        "esc_silent": "the scooter shows an error of communication (21, 42)",
        "esc_silent_answered": "the scooter shows an error of communication (21, 42), yet the pack "
        "answers here",
        "esc_config": "the scooter shows an error of the BMS configuration (22, 43)",
        "esc_serial": "the scooter shows a default serial (23, 44)",
        "esc_voltage": "the scooter shows a voltage out of range (19, 20, 24)",
        "esc_temperature": "the scooter shows a battery temperature error (39, 41)",
        "esc_deep": "the scooter shows a deep under-voltage (45, 46)",
        "esc_charge": "the scooter shows a charging error (16, 17, 38)",
    }
)


@dataclass(frozen=True, slots=True)
class Defect:
    """One row.

    Attributes:
        name: snake_case, stable.
        cause: which of the seven causes it belongs to.
        share: of the prior of its cause; the shares of one cause sum to one.
        why: the reasoning or source behind the numbers.
        given: probability of seeing each kind or sign at least once.
    """

    name: str
    cause: Cause
    share: float
    why: str
    given: Mapping[str, float]

    def probability(self, evidence: str) -> float:
        """Return how likely a kind or sign is to be seen if this is the defect."""
        accident = BY_ACCIDENT.get(evidence, BY_ACCIDENT[""])
        return self.given.get(evidence, accident)


def _row(name: str, cause: Cause, share: float, why: str, /, **given: float) -> Defect:
    return Defect(name, cause, share, why, MappingProxyType(given))


_BOARD: Final = Cause.BMS_BOARD
_CELLS: Final = Cause.CELL_DAMAGE
_CONNECTION: Final = Cause.CONNECTION

DEFECTS: Final[tuple[Defect, ...]] = (
    _row(
        "board_silent", _BOARD, 0.24,
        "a board without supply or with a dead processor answers nothing, without any precursor",
        bms_comm_lost=0.97, bms_comm_intermittent=0.01, never_answered=0.6, esc_silent=0.9,
        esc_silent_answered=0.003, came_back=0.03,
    ),
    _row(
        "board_flag", _BOARD, 0.29,
        "a latched protection or lost configuration shows a flag that no reading supports; a "
        "latched protection can hold the charge switch open",
        bms_fault_flag=0.97, flag_config_invalid=0.4, flag_over_discharge=0.25,
        flag_over_temperature=0.15, flag_charge_error=0.25, flag_deep_undervoltage=0.25,
        charge_blocked=0.4, esc_config=0.5, esc_deep=0.2, esc_temperature=0.2,
    ),
    _row(
        "board_frozen", _BOARD, 0.09,
        "the measuring chip or the main loop hangs: the last picture is repeated; a stuck percent "
        "and a current that charges nothing come with it",
        frozen_readings=0.97, soc_miscalibration=0.05, bms_fault_flag=0.05, implausible_data=0.03,
        voltage_sum_mismatch=0.1, charge_blocked=0.1,
    ),
    _row(
        "board_measures_wrongly", _BOARD, 0.09,
        "pack-voltage divider or chip reference off: the sum of fine cells disagrees, at any "
        "current",
        voltage_sum_mismatch=0.97, implausible_data=0.05, bms_fault_flag=0.08, esc_voltage=0.4,
    ),
    _row(
        "board_garbage", _BOARD, 0.08,
        "broken firmware or memory: valid checksums around absurd words, flags among them",
        implausible_data=0.97, bms_fault_flag=0.2, frozen_readings=0.03, emulator=0.3,
        flag_config_invalid=0.1, temp_sensor_fault=0.05, voltage_sum_mismatch=0.05,
    ),
    _row(
        "board_sensor", _BOARD, 0.08,
        "thermistor or its input on the board: one channel at an end stop or constant",
        temp_sensor_fault=0.97, bms_fault_flag=0.15, flag_over_temperature=0.1,
        charge_blocked=0.05, esc_temperature=0.7,
    ),
    _row(
        "board_charge_switch", _BOARD, 0.06,
        "charge transistor or its driver: the charger is seen, nothing flows, all cells fine",
        charge_blocked=0.95, bms_fault_flag=0.2, flag_charge_error=0.2, esc_charge=0.5,
    ),
    _row(
        "board_overcharges", _BOARD, 0.02,
        "charge is not ended: every group too high together, the spread stays small",
        cell_overvoltage=0.95, many_cells_high=0.95, bms_fault_flag=0.4, flag_charge_error=0.4,
        charge_blocked=0.1,
    ),
    _row(
        "board_not_activated", _BOARD, 0.02,
        "the factory's serial: never activated, or its memory was reset (ESC error 23)",
        factory_serial=0.97, bms_fault_flag=0.3, flag_config_invalid=0.3, implausible_data=0.05,
        esc_serial=0.9,
    ),
    _row(
        "board_hidden", _BOARD, 0.03,
        "a defect that shows in no register (an output switch that opens under load)",
        esc_voltage=0.3, esc_silent=0.1, esc_silent_answered=0.03,
    ),
    _row(
        "cell_imbalanced", _CELLS, 0.20,
        "one group holds less or more charge than the others; boards that look at the spread "
        "clear bit 0 at 100 mV, and the high or low group meets a limit first",
        cell_imbalance=0.97, bms_fault_flag=0.25, flag_config_invalid=0.25, weak_cell=0.05,
        cell_overvoltage=0.1, cell_undervoltage=0.08, flag_over_discharge=0.05,
        soc_miscalibration=0.02,
    ),
    _row(
        "cell_overcharged", _CELLS, 0.08,
        "one group overshoots at the top of the charge, which then locks",
        cell_overvoltage=0.97, cell_imbalance=0.7, bms_fault_flag=0.5, flag_charge_error=0.4,
        charge_blocked=0.05,
    ),
    _row(
        "cell_weak", _CELLS, 0.18,
        "one group lost capacity: it is ahead of the others on the way down and up",
        weak_cell=0.95, cell_imbalance=0.4, cell_undervoltage=0.3, high_resistance_cell=0.1,
        bms_fault_flag=0.12, flag_over_discharge=0.1, soc_miscalibration=0.05, capacity_fade=0.2,
    ),
    _row(
        "cell_resistance", _CELLS, 0.16,
        "a worn group or a weld inside its sense span: deviation follows the current",
        high_resistance_cell=0.95, weak_cell=0.05, cell_undervoltage=0.15, bms_fault_flag=0.08,
        cell_imbalance=0.05,
    ),
    _row(
        "cell_leaks", _CELLS, 0.12,
        "a soft internal short: the group drifts down at rest, hours after hours",
        self_discharge_cell=0.95, cell_imbalance=0.6, cell_undervoltage=0.1, bms_fault_flag=0.1,
    ),
    _row(
        "cell_dead", _CELLS, 0.14,
        "a group collapsed; the pack voltage lost the same amount, protection may know or not (a "
        "cell below 1.5 V is ignored by some chips)",
        dead_cell=0.85, cell_undervoltage=0.97, cell_imbalance=0.6, bms_fault_flag=0.5,
        flag_over_discharge=0.4, flag_deep_undervoltage=0.4, flag_config_invalid=0.2,
        charge_blocked=0.05, esc_voltage=0.3, esc_deep=0.3, soc_miscalibration=0.05,
    ),
    _row(
        "cells_worn", _CELLS, 0.12,
        "the whole pack lost capacity",
        capacity_fade=0.95, soc_miscalibration=0.05, capacity_told=0.3,
    ),
    _row(
        "sense_wire", _CONNECTION, 0.34,
        "an open balance wire: two neighbours mirror each other, and limits and flags follow",
        open_balance_wire=0.97, cell_imbalance=0.15, cell_overvoltage=0.3, cell_undervoltage=0.3,
        implausible_data=0.15, bms_fault_flag=0.5, flag_over_discharge=0.4,
        flag_deep_undervoltage=0.4, flag_config_invalid=0.3, moisture_suspected=0.03,
        charge_blocked=0.05, flag_charge_error=0.2, esc_silent=0.1, esc_silent_answered=0.1,
    ),
    _row(
        "power_joint", _CONNECTION, 0.18,
        "a joint between stack and board: the pack sags more than the sum of its cells",
        high_resistance_connection=0.97, voltage_sum_mismatch=0.15, bms_comm_intermittent=0.15,
        bms_comm_lost=0.03, over_temperature=0.03, esc_voltage=0.3,
    ),
    _row(
        "data_plug", _CONNECTION, 0.18,
        "a loose contact of the data line: gaps that come and go with vibration, torn frames",
        bms_comm_intermittent=0.96, bms_comm_lost=0.5, bus_noise=0.5, noise_heavy=0.1,
        came_back=0.97,
        esc_silent=0.7, esc_silent_answered=0.3, never_answered=0.03, implausible_data=0.02,
    ),
    _row(
        "data_line_broken", _CONNECTION, 0.16,
        "nothing comes through any more: from the outside the same as a silent board",
        bms_comm_lost=0.97, never_answered=0.6, bus_noise=0.05, esc_silent=0.9, came_back=0.05,
        esc_silent_answered=0.05,
    ),
    _row(
        "scooter_line", _CONNECTION, 0.04,
        "the wire from the pack to the controller, or the controller's input: whoever taps the "
        "pack gets its answers, the scooter does not",
        esc_silent=0.9, esc_silent_answered=0.9,
    ),
    _row(
        "data_line_noisy", _CONNECTION, 0.04,
        "interference or a bad ground: damaged frames, the intact ones are healthy",
        bus_noise=0.97, noise_heavy=0.7, bms_comm_intermittent=0.3, bms_comm_lost=0.02,
        implausible_data=0.05, came_back=0.3,
    ),
    _row(
        "charge_line", _CONNECTION, 0.03,
        "a contact of the charging socket that lets the voltage through but no current",
        charge_blocked=0.95, esc_charge=0.3,
    ),
    _row(
        "sensor_lead", _CONNECTION, 0.03,
        "a broken lead of a thermistor: the end stop of an open input",
        temp_sensor_fault=0.95, bms_fault_flag=0.1, charge_blocked=0.05, esc_temperature=0.5,
    ),
    _row(
        "moisture", Cause.MOISTURE, 1.0,
        "a film across several sense nodes and sensors: they wander together, limits follow",
        moisture_suspected=0.97, cell_imbalance=0.4, open_balance_wire=0.15,
        temp_sensor_fault=0.4, implausible_data=0.05, bms_fault_flag=0.25, cell_overvoltage=0.08,
        cell_undervoltage=0.08, flag_config_invalid=0.15, bms_comm_intermittent=0.05,
        self_discharge_cell=0.05, voltage_sum_mismatch=0.05,
    ),
    _row(
        "gauge", Cause.CALIBRATION, 0.9,
        "the charge counter drifted or was never learnt: percent against rest voltage",
        soc_miscalibration=0.97, capacity_fade=0.1, bms_fault_flag=0.01,
    ),
    _row(
        "balance_not_done", Cause.CALIBRATION, 0.1,
        "a pack that was never charged to the end has not been balanced",
        cell_imbalance=0.9, bms_fault_flag=0.1, flag_config_invalid=0.1, cell_overvoltage=0.1,
    ),
    _row(
        "empty", Cause.DEEP_DISCHARGE, 1.0,
        "the whole pack below the lock-out: every group low, charge refused, in the end silent",
        deep_discharge=0.97, cell_undervoltage=0.95, many_cells_low=0.95, bms_fault_flag=0.9,
        flag_over_discharge=0.7, flag_deep_undervoltage=0.8, cell_imbalance=0.15,
        charge_blocked=0.1, bms_comm_lost=0.15, never_answered=0.1, esc_deep=0.7, esc_voltage=0.4,
        esc_silent=0.3, soc_miscalibration=0.05,
    ),
    _row(
        "sound", Cause.NONE, 0.885, "nothing is wrong with the pack; the scooter may have a defect",
        esc_silent_answered=0.2,
    ),
    _row(
        "charger", Cause.NONE, 0.005,
        "a charger that gives too little: the pack sees it and takes nothing",
        charge_blocked=0.3, esc_charge=0.1,
    ),
    _row(
        "aged", Cause.NONE, 0.03,
        "an old pack whose board tells the truth about it",
        capacity_fade=0.5, capacity_told=0.95,
    ),
    _row(
        "hot", Cause.NONE, 0.02,
        "hot surroundings and load: both sensors rise together, the board says so",
        over_temperature=0.97, bms_fault_flag=0.7, flag_over_temperature=0.7,
        esc_temperature=0.7,
    ),
    _row("cold", Cause.NONE, 0.02, "winter", under_temperature=0.9),
    _row(
        "recorder", Cause.NONE, 0.04,
        "the recorder's clock or wiring, not the pack",
        timestamp_anomaly=0.9, bus_noise=0.1,
    ),
)  # fmt: skip
