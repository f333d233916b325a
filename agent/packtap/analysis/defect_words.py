"""The defects of `defects.DEFECTS` in words, as rows, floor 2: what it is, how it is confirmed.

Each row says the defect in one sentence for the customer, and the one check with which a qualified
technician confirms or excludes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["DEFECT_WORDS", "DefectWords"]


@dataclass(frozen=True, slots=True)
class DefectWords:
    """One row.

    Attributes:
        means: the defect, for a person.
        confirm: how a qualified technician confirms it.
    """

    means: str
    confirm: str


DEFECT_WORDS: Final[Mapping[str, DefectWords]] = MappingProxyType(
    {
        "board_silent": DefectWords(
            "the board answers nothing: no supply, or a dead processor",
            "voltage at the output terminals, another adapter, the wire moved by hand: if the "
            "pack has its voltage and stays silent, it is the board",
        ),
        "board_flag": DefectWords(
            "the board reports a fault that no reading supports",
            "all cells within 50 mV at rest, temperatures sound, and the flag stays after a "
            "full charge",
        ),
        "board_frozen": DefectWords(
            "the board repeats its last picture: its measuring has stopped",
            "readings that do not move when a charger is plugged in",
        ),
        "board_measures_wrongly": DefectWords(
            "the board measures the pack voltage wrongly",
            "meter at the output terminals against pack voltage and sum of cells",
        ),
        "board_garbage": DefectWords(
            "the board sends absurd values now and then: its firmware or memory is broken",
            "the same absurd values through another adapter",
        ),
        "board_sensor": DefectWords(
            "a temperature sensor, or its input on the board, is broken",
            "resistance of the thermistor, about 10 kOhm at 25 degC, with its plug off",
        ),
        "board_charge_switch": DefectWords(
            "the charge switch does not close although the cells may be charged",
            "a second charger, then voltage before and after the charge switch",
        ),
        "board_overcharges": DefectWords(
            "the board does not end the charge: all cells are too high",
            "charger voltage at its plug; do not charge again before that",
        ),
        "board_not_activated": DefectWords(
            "the board was never activated, or lost its memory: it shows the factory's serial",
            "label on the pack against the serial that it reports",
        ),
        "board_hidden": DefectWords(
            "a defect of the board that shows in none of its readings",
            "voltage at the output terminals under load",
        ),
        "cell_imbalanced": DefectWords(
            "one cell group is charged differently from the others",
            "voltage of that group after a full charge and some hours on the charger",
        ),
        "cell_overcharged": DefectWords(
            "one cell group overshoots at the end of the charge",
            "voltage of that group by meter; compare its capacity",
        ),
        "cell_weak": DefectWords(
            "one cell group has lost capacity: it is empty and full before the others",
            "capacity of that group against the others",
        ),
        "cell_resistance": DefectWords(
            "one cell group, or a weld inside it, has too much resistance: it sags under load",
            "voltage of that group under a known load; look at its welds",
        ),
        "cell_leaks": DefectWords(
            "one cell group discharges itself: an internal short",
            "voltage of that group over a night; such a pack is not charged any more",
        ),
        "cell_dead": DefectWords(
            "one cell group has collapsed",
            "voltage of that group by meter; such a pack is not charged any more",
        ),
        "cells_worn": DefectWords(
            "the whole pack is worn: it holds much less than it was made for",
            "a full discharge with a meter, against the design capacity",
        ),
        "sense_wire": DefectWords(
            "the wire with which the board sees two neighbouring cells is open or loose",
            "both groups by meter at the cells, then the balance plug and its wire",
        ),
        "power_joint": DefectWords(
            "a joint between the cells and the output has too much resistance",
            "voltage drop over each joint under load; look for heat marks",
        ),
        "data_plug": DefectWords(
            "the data plug has a loose contact",
            "replies come and go while the plug is moved",
        ),
        "data_line_broken": DefectWords(
            "nothing comes through the data wires",
            "continuity of both data wires and ground; another adapter, wires swapped",
        ),
        "scooter_line": DefectWords(
            "the pack answers here, the scooter does not hear it: the wire between them, or the "
            "controller",
            "continuity of both data wires and ground from the pack's plug to the controller; the "
            "pack in another scooter",
        ),
        "data_line_noisy": DefectWords(
            "the data line is disturbed: a bad ground or interference",
            "ground of the adapter; the same pack with short wires away from motor and charger",
        ),
        "charge_line": DefectWords(
            "the charging socket or its wire does not carry current",
            "charger voltage at the socket and behind it while it should charge",
        ),
        "sensor_lead": DefectWords(
            "the lead of a temperature sensor is broken",
            "resistance of the thermistor at the board's plug",
        ),
        "moisture": DefectWords(
            "water or corrosion between the sense wires",
            "look at the sense wires and the board; insulation after drying",
        ),
        "gauge": DefectWords(
            "the percentage is wrong, the cells are not",
            "resting voltage against the percentage, after a full charge",
        ),
        "balance_not_done": DefectWords(
            "the cells have not been balanced for long",
            "a full charge and some hours on the charger: the cells come together",
        ),
        "empty": DefectWords(
            "the whole pack is discharged below what its cells bear",
            "voltage a cell before the output switch; a specialist decides whether it may be "
            "charged",
        ),
        "sound": DefectWords(
            "nothing that was judged is wrong with the pack",
            "look at controller, plug, dashboard and charger",
        ),
        "charger": DefectWords(
            "the charger gives too little, not the pack takes too little",
            "voltage at the charger's own plug; another charger",
        ),
        "aged": DefectWords(
            "an old pack that says so itself",
            "full against design capacity, as the board reports them",
        ),
        "hot": DefectWords(
            "the pack is hot from its surroundings and the load",
            "read it again when it has cooled down",
        ),
        "cold": DefectWords(
            "the pack is cold",
            "read it again at room temperature",
        ),
        "recorder": DefectWords(
            "the clock or the wiring of the recorder, not the pack",
            "time of the recorder; its wires and ground",
        ),
    }
)
