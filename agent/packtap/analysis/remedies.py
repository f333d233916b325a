"""What a cause means to a technician, as rows, floor 2.

One row a cause: what a qualified technician checks, by eye, with a multimeter and at connectors;
what a repair takes; how the defect is kept from coming back. `DEFECT_WORDS` (in `defect_words`)
says the single defects. Repairs name parts by what they are priced as; prices are configuration
(`packtap.config.prices`). Sources: the repair report that the priors come from (parts, labour,
lifespan); events.md section 3; protocol.md sections 9-11 for what can be measured where.

Everything that needs an open pack is marked as such, and is for qualified people only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from packtap.model import Cause

__all__ = [
    "LIFESPAN_YEARS",
    "REMEDIES",
    "SAFETY",
    "TITLES",
    "Difficulty",
    "Part",
    "Remedy",
    "Repair",
]

#: What a pack lives for. Source: the repair report's estimate; no measurement.
LIFESPAN_YEARS: Final = (2, 4)

#: The notice that stands on every diagnosis.
SAFETY: Final = (
    "A lithium pack can burn. Only qualified people open a pack; never bridge, pierce or heat it.",
    "Swollen, hot, smelling or smoking: get away from it, let nobody charge it, and call the fire "
    "brigade if it smokes or burns.",
)


class Part(StrEnum):
    """What a repair is priced by."""

    BOARD = "board"
    PACK = "pack"
    LABOUR = "labour"


class Difficulty(StrEnum):
    """Who can do it."""

    EASY = "easy: no tools"
    SERVICE = "service: plugs and wiring outside of the pack"
    SPECIALIST = "specialist: the pack is opened"


@dataclass(frozen=True, slots=True)
class Repair:
    """One way to mend it.

    Attributes:
        words: what is done.
        parts: what has to be paid; empty: nothing.
        difficulty: who can do it.
        charges: it charges the pack: not for a pack in danger.
    """

    words: str
    parts: tuple[Part, ...]
    difficulty: Difficulty
    charges: bool = False


@dataclass(frozen=True, slots=True)
class Remedy:
    """One row.

    Attributes:
        visual: what is looked at.
        multimeter: what is measured.
        connector: what is checked at plugs and wires.
        repairs: ways to mend it, the usual one first.
        prevention: how it is kept from coming back.
    """

    visual: tuple[str, ...]
    multimeter: tuple[str, ...]
    connector: tuple[str, ...]
    repairs: tuple[Repair, ...]
    prevention: tuple[str, ...]


#: A cause as a person says it.
TITLES: Final[Mapping[Cause, str]] = MappingProxyType(
    {
        Cause.BMS_BOARD: "BMS board",
        Cause.CELL_DAMAGE: "Damaged cells",
        Cause.CONNECTION: "Bad connection",
        Cause.MOISTURE: "Moisture",
        Cause.CALIBRATION: "Calibration",
        Cause.DEEP_DISCHARGE: "Deep discharge",
        Cause.NONE: "No defect of the pack",
    }
)

_CHARGING: Final = (
    "Charge between 5 and 40 degC, with the maker's charger, and not unattended.",
    "Do not ride the pack empty; charge it before it is put away, and every two months while it "
    "is not used.",
)

REMEDIES: Final[Mapping[Cause, Remedy]] = MappingProxyType(
    {
        Cause.BMS_BOARD: Remedy(
            visual=(
                "Case, plugs and vents: scorch marks, swelling, traces of water.",
                "Opened by a specialist: burnt parts, lifted pads, corrosion on the board.",
            ),
            multimeter=(
                "Output terminals: sound voltage, nothing, or another than the board reports.",
                "Opened by a specialist: stack voltage before the board against its output; the "
                "board's 3.3 V supply.",
            ),
            connector=("Data plug: seat, bent pins, continuity of ground and of both data wires.",),
            repairs=(
                Repair("replace the BMS board", (Part.BOARD, Part.LABOUR), Difficulty.SPECIALIST),
                Repair("replace the pack", (Part.PACK, Part.LABOUR), Difficulty.SERVICE),
            ),
            prevention=(
                "Keep water and shocks away from the pack; do not hose the scooter down.",
                "Use only firmware that is made for this pack.",
            ),
        ),
        Cause.CELL_DAMAGE: Remedy(
            visual=(
                "Case: swelling, dents, smell.",
                "Opened by a specialist: leaking or swollen cells, discoloured weld tabs.",
            ),
            multimeter=(
                "Opened by a specialist: every group at the balance plug, at rest and under a "
                "known load, against what packtap shows.",
            ),
            connector=(
                "Power plug and its wires: heat marks. A bad joint looks like a weak cell only "
                "to whoever measures from outside.",
            ),
            repairs=(
                Repair("replace the pack", (Part.PACK, Part.LABOUR), Difficulty.SERVICE),
                Repair("replace the cell group", (Part.LABOUR,), Difficulty.SPECIALIST),
            ),
            prevention=(
                *_CHARGING,
                "Charge fully, and leave it plugged in for some hours, once a month: that "
                "balances the cells.",
            ),
        ),
        Cause.CONNECTION: Remedy(
            visual=("Plugs and wires: burnt, bent, torn or loose contacts, green corrosion.",),
            multimeter=(
                "Continuity of data wires and ground while they are moved.",
                "Voltage drop over the power plug under load: more than 0.1 V is a bad contact.",
            ),
            connector=(
                "Unplug and plug in again; clean the contacts; try another cable or adapter.",
                "Opened by a specialist: balance plug and its wires, welds and solder joints "
                "between stack and board.",
            ),
            repairs=(
                Repair("clean or replace plug and wires", (Part.LABOUR,), Difficulty.SERVICE),
                Repair("mend the wire or joint in the pack", (Part.LABOUR,), Difficulty.SPECIALIST),
            ),
            prevention=(
                "Fix wires so that nothing pulls on plugs; keep plugs dry.",
                "Have plugs that get warm looked at before they burn.",
            ),
        ),
        Cause.MOISTURE: Remedy(
            visual=(
                "Water, rust, white or green corrosion at plugs, case seam and vents.",
                "Opened by a specialist: residue between the sense wires and on the board.",
            ),
            multimeter=(
                "Opened by a specialist: insulation between the sense wires after drying.",
            ),
            connector=("Open plugs that were wet: dry them, clean them, look for corrosion.",),
            repairs=(
                Repair("dry it, clean it, seal the case", (Part.LABOUR,), Difficulty.SPECIALIST),
                Repair(
                    "corroded: replace the BMS board",
                    (Part.BOARD, Part.LABOUR),
                    Difficulty.SPECIALIST,
                ),
            ),
            prevention=(
                "Do not ride through deep water, do not wash with a jet; keep seals and plug caps.",
                "Let a wet scooter dry before it is charged.",
            ),
        ),
        Cause.CALIBRATION: Remedy(
            visual=("Nothing to see: the cells are fine, the count of charge is not.",),
            multimeter=("Terminal voltage at rest against the percentage on the display.",),
            connector=("Charger and its plug: does it charge to the end?",),
            repairs=(
                Repair(
                    "charge fully, leave it plugged in for some hours, ride it low once",
                    (),
                    Difficulty.EASY,
                    charges=True,
                ),
                Repair("if it stays wrong: have it checked", (Part.LABOUR,), Difficulty.SERVICE),
            ),
            prevention=("Charge it to the end once a month; avoid topping up a little each time.",),
        ),
        Cause.DEEP_DISCHARGE: Remedy(
            visual=("Case: swelling, smell. Such a pack must not be charged any more.",),
            multimeter=(
                "Voltage before the output switch, by a specialist: below 2.5 V a cell the cells "
                "are damaged for good.",
            ),
            connector=("What has drained it: lamp, tracker or controller that stayed on.",),
            repairs=(
                Repair("replace the pack", (Part.PACK, Part.LABOUR), Difficulty.SERVICE),
                Repair(
                    "recovered under supervision, if the cells allow it",
                    (Part.LABOUR,),
                    Difficulty.SPECIALIST,
                ),
            ),
            prevention=_CHARGING,
        ),
        Cause.NONE: Remedy(
            visual=("Scooter, not pack: dashboard, controller, motor cable, charger.",),
            multimeter=("Charger: voltage at its own plug; about 4.2 V a cell.",),
            connector=("Plugs between pack, controller and dashboard: seat and contacts.",),
            repairs=(Repair("none on the pack", (), Difficulty.EASY),),
            prevention=_CHARGING,
        ),
    }
)
