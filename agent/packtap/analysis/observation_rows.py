"""The rows of what a person sees or measures, floor 2. What a row is: `observations`."""

from types import MappingProxyType
from typing import Final

from packtap.analysis.observations import Context, Number, Observation, Outcome, nearest, yes_or_no

__all__ = ["OBSERVATIONS", "by_key", "read_observation"]

#: Cells outside of these at rest are empty or overcharged. Source: events.md sections 2 and 6.
_EMPTY_V, _OVERFULL_V = 2.8, 4.25
#: Below this there is no voltage, whatever the pack.
_NOTHING_V: Final = 5.0
#: Multimeter (1 %), divider of the board (0.5 %), sag of the meter's leads: none of a volt.
_DIFFERS_V, _DIFFERS_SHARE = 1.0, 0.03
#: A charger of lithium cells ends at 4.2 V a cell; its own tolerance is 1 %.
_CHARGER_LOW_V, _CHARGER_HIGH_V = 4.05, 4.26

_FIRE: Final = (
    "A lithium pack that is swollen, hot, smells or smokes can catch fire without another warning. "
    "Get people away from it, do not charge, ride, open or carry it indoors; if it smokes or burns "
    "call the fire brigade."
)


def _terminal(volts: float, context: Context) -> str | None:
    if volts < _NOTHING_V:
        return "nothing"
    if context.cells is None:
        return None
    if volts < _EMPTY_V * context.cells:
        return "low"
    if volts > _OVERFULL_V * context.cells:
        return "high"
    if context.pack_v is not None:
        allowed_v = max(_DIFFERS_V, _DIFFERS_SHARE * context.pack_v)
        if abs(volts - context.pack_v) > allowed_v:
            return "differs"
    return "sound"


def _charger(volts: float, context: Context) -> str | None:
    if volts < _NOTHING_V:
        return "low"
    if context.cells is None:
        return None
    if volts < _CHARGER_LOW_V * context.cells:
        return "low"
    return "high" if volts > _CHARGER_HIGH_V * context.cells else "right"


def _age(years: float, context: Context) -> str:
    del context
    return "young" if years < 2 else "middle" if years <= 4 else "old"


def _unused(months: float, context: Context) -> str:
    del context
    return "long" if months >= 3 else "some" if months >= 1 else "short"


def _outcome(name: str, words: str, usual: float, /, danger: str = "", **given: float) -> Outcome:
    return Outcome(name, words, usual, MappingProxyType(given), danger)


OBSERVATIONS: Final[tuple[Observation, ...]] = (
    Observation(
        key="pack_terminal_v",
        asks="voltage at the pack's output terminals, by multimeter",
        why="a board that is dead or has cut the output shows nothing; an empty pack shows little "
        "or is cut off; a board that measures wrongly differs from the meter",
        outcomes=(
            _outcome("nothing", "no voltage at the terminals", 0.04, board_silent=0.55,
                     board_hidden=0.55, empty=0.6, cell_dead=0.35, power_joint=0.1,
                     data_line_broken=0.03, data_plug=0.03, board_flag=0.3),
            _outcome("low", "less than 2.8 V a cell at the terminals", 0.01, board_silent=0.05,
                     board_hidden=0.05, empty=0.37, cell_dead=0.15),
            _outcome("high", "more than 4.25 V a cell at the terminals", 0.003,
                     danger="The pack is overcharged: do not charge or use it, and keep it away "
                     "from anything that burns.",
                     board_overcharges=0.6, cell_overcharged=0.05, board_measures_wrongly=0.05),
            _outcome("differs", "the meter says something else than the board", 0.02,
                     board_measures_wrongly=0.85, power_joint=0.1, board_frozen=0.3,
                     board_garbage=0.5),
            _outcome("sound", "a sound voltage at the terminals", 0.927),
        ),
        number=Number("V", 0, 100, _terminal, "the number of cells is not known: add --cells N"),
        test="terminal_voltage",
        action="Measure the voltage at the pack's output terminals with a multimeter.",
        counts_if="there is no voltage, less than 2.8 V a cell, or another than the board says",
    ),
    Observation(
        key="replies_when_wire_moved",
        asks="do replies come or go while the data wire and its plug are moved by hand",
        why="a loose contact answers to the hand; a dead board does not",
        outcomes=yes_or_no(
            "replies come and go with the wire", "moving the wire changes nothing", 0.05,
            data_plug=0.95, data_line_broken=0.6, data_line_noisy=0.4, scooter_line=0.1,
            power_joint=0.15, board_silent=0.01,
        ),
        told_by=frozenset({"came_back"}),
        test="move_the_wire",
        action="Move the data wire and its plug by hand while packtap listens.",
        counts_if="replies come or go",
    ),
    Observation(
        key="another_adapter",
        asks="does the BMS answer with another adapter or cable, or its two data wires swapped",
        why="a silent board stays silent, a bad adapter or cable does not",
        outcomes=yes_or_no(
            "the BMS answers through another adapter", "another adapter changes nothing", 0.05,
            data_line_broken=0.5, data_plug=0.3, data_line_noisy=0.6, board_silent=0.01,
        ),
        test="another_adapter",
        action="Try another adapter or cable, and swap its two data wires.",
        counts_if="the BMS answers",
    ),
    Observation(
        key="charges",
        asks="does it charge when a charger is plugged in",
        why="a switch that does not close, a latched protection, an empty or locked pack",
        outcomes=(
            _outcome("no", "it does not charge", 0.05, board_charge_switch=0.97, charge_line=0.97,
                     board_flag=0.5, board_frozen=0.2, empty=0.6, cell_overcharged=0.6,
                     board_overcharges=0.6, cell_dead=0.5, sense_wire=0.3, board_silent=0.7,
                     charger=0.9),
            _outcome("yes", "it charges", 0.95),
        ),
        told_by=frozenset({"charge_blocked"}),
    ),
    Observation(
        key="wakes_with_charger",
        asks="does the BMS answer after a charger was plugged in for a minute",
        why="an empty pack cuts itself off and comes back with a charger",
        outcomes=yes_or_no(
            "the BMS answers after a minute on the charger", "a charger does not wake it", 0.05,
            empty=0.7, board_silent=0.1,
        ),
        test="wake_with_charger",
        action="Plug in a charger for a minute and stay beside it, then ask again.",
        counts_if="the BMS answers now",
    ),
    Observation(
        key="off_after_full_charge",
        asks="is one cell still off, or the percent still wrong, after a full charge of some hours",
        why="a full charge balances a sound pack and corrects its counter; a damaged cell stays",
        outcomes=yes_or_no(
            "still off after a full charge", "right again after a full charge", 0.05,
            cell_imbalanced=0.85, cell_weak=0.6, cell_leaks=0.8, cell_overcharged=0.8,
            balance_not_done=0.1, gauge=0.15, board_frozen=0.9, board_measures_wrongly=0.6,
        ),
        test="charge_fully",
        action="Charge it fully, leave it plugged in for some hours, and read it again.",
        counts_if="one cell is still off, or the percent still wrong",
    ),
    Observation(
        key="steady_after_drying",
        asks="have the readings come to rest after two days in a warm, dry place",
        why="a film of water goes; corrosion and every other defect stay",
        outcomes=yes_or_no(
            "steady after drying", "drying changed nothing", 0.05, moisture=0.85,
        ),
        test="dry",
        action="Let the pack lie warm and dry for two days, and read it again.",
        counts_if="the readings have come to rest",
    ),
    Observation(
        key="charger_voltage_v",
        asks="voltage at the charger's own plug with nothing connected, by multimeter",
        why="a charger that gives too little charges no pack; one that gives too much overcharges",
        outcomes=(
            _outcome("low", "the charger gives too little", 0.03, charger=0.9),
            _outcome("high", "the charger gives more than 4.26 V a cell", 0.01,
                     danger="Do not use this charger again: it overcharges the pack.",
                     cell_overcharged=0.1, board_overcharges=0.15),
            _outcome("right", "the charger's voltage is right", 0.96),
        ),
        number=Number("V", 0, 100, _charger, "the number of cells is not known: add --cells N"),
    ),
    Observation(
        key="shuts_off_riding",
        asks="does the scooter switch off while riding, above all uphill or when accelerating",
        why="a joint, a cell that collapses under load, a loose data plug, an output that opens",
        outcomes=yes_or_no(
            "switches off while riding", "does not switch off while riding", 0.06,
            power_joint=0.6, cell_resistance=0.5, cell_weak=0.4, cell_dead=0.6, data_plug=0.6,
            board_hidden=0.7, cell_imbalanced=0.25, cells_worn=0.2, data_line_noisy=0.2,
            sense_wire=0.3, gauge=0.2,
        ),
    ),
    Observation(
        key="turns_on",
        asks="does the scooter turn on",
        why="without an answering board or without voltage the scooter stays off",
        outcomes=(
            _outcome("no", "does not turn on", 0.15, board_silent=0.9, empty=0.85, cell_dead=0.4,
                     power_joint=0.3, data_line_broken=0.4, scooter_line=0.4, board_hidden=0.4,
                     board_flag=0.3, sound=0.1, gauge=0.03, cells_worn=0.03, aged=0.03,
                     charger=0.3),
            _outcome("yes", "turns on", 0.85),
        ),
        told_by=frozenset({"never_answered"}),
    ),
    Observation(
        key="visible_damage",
        asks="damage that is seen without opening anything: on plugs and wires, or on the case",
        why="burnt, bent or torn contacts make bad connections; a broken case lets water in and "
        "hurts cells",
        outcomes=(
            _outcome("plug", "a plug or wire is burnt, bent, torn or loose", 0.04, data_plug=0.4,
                     data_line_broken=0.4, scooter_line=0.4, power_joint=0.35, charge_line=0.4,
                     data_line_noisy=0.15, sensor_lead=0.05),
            _outcome("case", "the case is dented or cracked", 0.05, moisture=0.3, cell_dead=0.12,
                     cell_leaks=0.15, sense_wire=0.15, cell_resistance=0.08, power_joint=0.08),
            _outcome("no", "no damage is seen", 0.91),
        ),
    ),
    Observation(
        key="moisture_seen",
        asks="water, rust or green corrosion on plug or case; ridden in heavy rain or washed",
        why="water leaves traces, and people remember the rain",
        outcomes=yes_or_no(
            "traces of water", "no traces of water", 0.08, moisture=0.75, data_plug=0.2,
            charge_line=0.2, board_silent=0.15, board_charge_switch=0.1, cell_leaks=0.12,
            data_line_noisy=0.15, power_joint=0.12,
        ),
    ),
    Observation(
        key="swollen_or_hot",
        asks="is the pack swollen, hot, smelling or smoking",
        why="cells that are shorted, overcharged or discharged too deeply make gas and heat",
        outcomes=yes_or_no(
            "swollen, hot, smelling or smoking", "neither swollen nor hot", 0.01, _FIRE,
            cell_leaks=0.25, cell_overcharged=0.25, board_overcharges=0.25, cell_dead=0.2,
            empty=0.08, hot=0.7, power_joint=0.1, cell_resistance=0.1, moisture=0.05,
        ),
    ),
    Observation(
        key="dropped_or_crashed",
        asks="was it dropped, or in a crash",
        why="a blow tears welds, wires and plugs, and dents cells",
        outcomes=yes_or_no(
            "dropped or crashed", "no fall or crash", 0.1, sense_wire=0.3, cell_resistance=0.2,
            data_plug=0.25, data_line_broken=0.3, scooter_line=0.3, power_joint=0.25,
            cell_leaks=0.2, cell_dead=0.15, sensor_lead=0.25, charge_line=0.15,
        ),
    ),
    Observation(
        key="age_years",
        asks="age of the pack, years",
        why="cells wear out with time: a pack lives for 2-4 years; boards fail at any age",
        outcomes=(
            _outcome("old", "more than 4 years old", 0.25, cells_worn=0.6, aged=0.7,
                     cell_weak=0.45, cell_resistance=0.4, cell_leaks=0.35, cell_dead=0.4,
                     board_not_activated=0.05),
            _outcome("middle", "2 to 4 years old", 0.4, cells_worn=0.33, aged=0.27,
                     cell_weak=0.38, board_not_activated=0.15),
            _outcome("young", "less than 2 years old", 0.35),
        ),
        number=Number("years", 0, 40, _age),
    ),
    Observation(
        key="runs_short",
        asks="is the range much shorter than when it was new",
        why="the weakest cell ends the ride; a wrong percentage ends it early as well",
        outcomes=yes_or_no(
            "the range is much shorter", "the range is as it was", 0.15, cells_worn=0.95,
            aged=0.85, cell_weak=0.9, cell_imbalanced=0.8, cell_resistance=0.6, cell_leaks=0.6,
            cell_dead=0.7, gauge=0.5, balance_not_done=0.6, cold=0.7,
        ),
    ),
    Observation(
        key="drops_overnight",
        asks="does the percentage or voltage fall over a night or a few days without use",
        why="a cell with an internal short empties itself; water does the same from outside",
        outcomes=yes_or_no(
            "loses charge while parked", "keeps its charge while parked", 0.06, cell_leaks=0.85,
            moisture=0.3, gauge=0.3, cell_imbalanced=0.15, empty=0.3, cells_worn=0.12,
        ),
        told_by=frozenset({"self_discharge_cell"}),
    ),
    Observation(
        key="percent_jumps",
        asks="does the percentage jump or fall suddenly",
        why="a counter that has drifted jumps when a cell meets its limit; so does a weak cell",
        outcomes=yes_or_no(
            "the percentage jumps", "the percentage moves steadily", 0.06, gauge=0.7,
            cell_weak=0.5, cell_imbalanced=0.4, cell_resistance=0.3, cells_worn=0.3,
            board_garbage=0.5, cell_dead=0.3,
        ),
    ),
    Observation(
        key="months_unused",
        asks="months without use or charging before the trouble",
        why="a parked pack feeds its own board: within months it is empty",
        outcomes=(
            _outcome("long", "3 months or more without use", 0.08, empty=0.75, cell_dead=0.2,
                     cell_leaks=0.2, balance_not_done=0.3, gauge=0.25),
            _outcome("some", "1 to 3 months without use", 0.12, empty=0.15, gauge=0.2),
            _outcome("short", "in use until the trouble", 0.8),
        ),
        number=Number("months", 0, 240, _unused),
    ),
    Observation(
        key="works_elsewhere",
        asks="does this pack work in another scooter of the same model",
        why="if it does, the first scooter or its wiring is at fault, not the pack",
        outcomes=(
            _outcome("yes", "the pack works in another scooter", 0.05, sound=0.9, charger=0.9,
                     cold=0.9, hot=0.8, recorder=0.9, aged=0.85, data_line_broken=0.5,
                     scooter_line=0.9, data_plug=0.3, data_line_noisy=0.5, gauge=0.8,
                     balance_not_done=0.6, cells_worn=0.6, charge_line=0.4, cell_imbalanced=0.3,
                     cell_weak=0.4, cell_resistance=0.3, cell_leaks=0.4, board_charge_switch=0.5),
            _outcome("no", "the pack does not work in another scooter either", 0.95),
        ),
    ),
)  # fmt: skip

#: By the KEY of `--observe`.
by_key: Final = MappingProxyType({row.key: row for row in OBSERVATIONS})


def read_observation(text: str) -> tuple[Observation, str]:
    """Return what KEY=VALUE says: the row and the answer in its lasting form.

    Raises:
        ValueError: the key is not known, or the value is no answer to it; says what would be.
    """
    key, sign, value = text.partition("=")
    key = key.strip().lower().replace("-", "_")
    row = by_key.get(key)
    if row is None:
        near = nearest(key, list(by_key))
        hint = f"did you mean {near}? " if near else ""
        raise ValueError(f"{key!r} is nothing to observe: {hint}--observe help lists all")
    if not sign:
        raise ValueError(f"{key} needs a value: {key}={row.values}")
    return row, row.read(value)
