"""What each fault does to a simulated scooter at the moment of its onset, floor 2.

One function a fault; it changes public attributes of the pack, its sense wires, its board, the line
or the recorder, by the physical value of the fault. `fault_rows` says which belongs to which.
"""

from typing import Final

from packtap.simulated.faults import USUAL, Fault
from packtap.simulated.pack_model import Cell
from packtap.simulated.scooter import Scooter
from packtap.simulated.sensing import LooseWire

__all__ = [
    "block_charge",
    "break_sensor",
    "chill",
    "die",
    "drain",
    "fade",
    "flag",
    "freeze",
    "garbage",
    "gauge_off",
    "gauge_stuck",
    "heat",
    "joint",
    "leak",
    "less_capacity",
    "less_charge",
    "loose_wire",
    "loosen_plug",
    "more_resistance",
    "noise",
    "open_wire",
    "overcharge",
    "overcharge_all",
    "overcharged",
    "pack_gain",
    "pull",
    "short",
    "silence",
    "step_clock",
    "wet",
]

#: Bits of a fault flag that no reading supports, by severity; bit 0 is cleared.
_FLAGS: Final = (0, 8, 13, 14)


def _cell(scooter: Scooter, fault: Fault) -> Cell:
    return scooter.pack.cells[fault.place(scooter.plan.cells) - 1]


def flag(scooter: Scooter, fault: Fault) -> None:
    """Show a fault flag."""
    bit = _FLAGS[min(int(fault.severity * len(_FLAGS)), len(_FLAGS) - 1)]
    if bit == 0:
        scooter.board.cleared |= 1
    else:
        scooter.board.forced |= 1 << bit


def block_charge(scooter: Scooter, _: Fault) -> None:
    """Keep the charge switch open."""
    scooter.board.blocks_charge = True
    # The charger's own pin tells that it is there, whatever kind of board it is.
    scooter.board.sees_charger = True


def silence(scooter: Scooter, _: Fault) -> None:
    """Answer nothing any more."""
    scooter.line.is_silent = True


def loosen_plug(scooter: Scooter, fault: Fault) -> None:
    """Let the data plug lose contact."""
    scooter.line.gaps_per_s = fault.value / 600
    scooter.line.gaps_at_rest_per_s = fault.value / 600


def noise(scooter: Scooter, fault: Fault) -> None:
    """Damage bytes on the line."""
    scooter.line.damaged_share = fault.value


def freeze(scooter: Scooter, fault: Fault) -> None:
    """Let the registers stand still."""
    if fault.severity < 0.35:
        scooter.board.are_cells_frozen = True
    else:
        scooter.board.is_frozen = True


def garbage(scooter: Scooter, fault: Fault) -> None:
    """Put nonsense into the registers now and then."""
    scooter.line.garbage_share = fault.value


def step_clock(scooter: Scooter, fault: Fault) -> None:
    """Set the recorder's clock."""
    scooter.recorder.steps.append((max(fault.onset_s, 1.0), fault.value))


def pack_gain(scooter: Scooter, fault: Fault) -> None:
    """Measure the pack voltage wrongly."""
    sign = scooter.random.choice((-1, 1))
    scooter.sensing.pack_gain = 1 + sign * fault.value / 100


def joint(scooter: Scooter, fault: Fault) -> None:
    """Add a resistance between the stack and the board."""
    scooter.pack.joint_ohm += fault.value / 1000


def less_charge(scooter: Scooter, fault: Fault) -> None:
    """Take charge from one group."""
    cell = _cell(scooter, fault)
    curve = scooter.pack.curve
    cell.soc_pct = curve.soc_pct(curve.volts(cell.soc_pct) - fault.value / 1000)


def less_capacity(scooter: Scooter, fault: Fault) -> None:
    """Take capacity from one group."""
    cell = _cell(scooter, fault)
    cell.ah *= fault.value
    cell.ohm *= fault.value**-0.7  # worn cells have more resistance, too


def more_resistance(scooter: Scooter, fault: Fault) -> None:
    """Add a resistance to one group's sense span."""
    _cell(scooter, fault).added_ohm += fault.value / 1000


def leak(scooter: Scooter, fault: Fault) -> None:
    """Put a soft short across one group."""
    _cell(scooter, fault).leak_ohm = fault.value


def die(scooter: Scooter, fault: Fault) -> None:
    """Let nothing be left of one group."""
    cell = _cell(scooter, fault)
    cell.is_open = True
    cell.left_v = fault.value / 1000


def short(scooter: Scooter, fault: Fault) -> None:
    """Put a hard short across one group."""
    _cell(scooter, fault).shorted_to_v = fault.value / 1000


def _node(scooter: Scooter, fault: Fault) -> int:
    """Return the sense node above the cell; the topmost one is no wire between two cells."""
    return min(fault.place(scooter.plan.cells), scooter.plan.cells - 1)


def open_wire(scooter: Scooter, fault: Fault) -> None:
    """Break a sense wire."""
    error_v = scooter.random.choice((-1, 1)) * fault.value / 1000
    scooter.sensing.loose.append(LooseWire(_node(scooter, fault), error_v))


def loose_wire(scooter: Scooter, fault: Fault) -> None:
    """Let a sense wire open when shaken."""
    error_v = scooter.random.choice((-1, 1)) * scooter.random.uniform(0.6, 4.0)
    scooter.sensing.loose.append(LooseWire(_node(scooter, fault), error_v, is_steady=False))
    scooter.sensing.shakes = fault.value / 600
    scooter.sensing.shakes_at_rest = fault.value / 600


def wet(scooter: Scooter, fault: Fault) -> None:
    """Put a film of moisture across sense nodes."""
    inner = scooter.plan.cells - 1
    width = min(inner, scooter.random.randint(4, 6))
    first = scooter.random.randint(1, inner - width + 1)
    for node in range(first, first + width):
        scooter.sensing.wet[node] = fault.value * scooter.random.uniform(0.7, 1.3)
    scooter.sensing.jumps_k = scooter.random.choice((0.0, 15.0))


def overcharge(scooter: Scooter, fault: Fault) -> None:
    """Put the group so far above the others that it ends the charge too high."""
    scooter.board.ends_charge = False
    _cell(scooter, fault).soc_pct += fault.value


def overcharge_all(scooter: Scooter, fault: Fault) -> None:
    """Plug in the wrong charger, and let the board not end it."""
    scooter.board.ends_charge = False
    scooter.charger_v = fault.value / 1000 * scooter.plan.cells


def overcharged(scooter: Scooter, fault: Fault) -> None:
    """Leave one group overcharged."""
    _cell(scooter, fault).soc_pct = scooter.pack.curve.soc_pct(fault.value / 1000)


def drain(scooter: Scooter, fault: Fault) -> None:
    """Drain the whole pack."""
    curve = scooter.pack.curve
    fallen_pct = curve.soc_pct(fault.value / 1000) - scooter.pack.mean_pct
    usual_ah = sum(cell.ah for cell in scooter.pack.cells) / scooter.plan.cells
    for cell in scooter.pack.cells:
        # The same charge is a larger share of a smaller group.
        cell.soc_pct += fallen_pct * usual_ah / cell.ah
    scooter.board.set_gauge(0.0)


_HOT_DAY_C: Final = 52.0


def heat(scooter: Scooter, fault: Fault) -> None:
    """Warm the pack up."""
    # It has been in the sun for hours already.
    scooter.pack.celsius = _HOT_DAY_C
    scooter.pack.warmed_to_c = fault.value


def chill(scooter: Scooter, fault: Fault) -> None:
    """Make it winter."""
    scooter.pack.ambient_c = fault.value
    scooter.pack.celsius = fault.value


def pull(scooter: Scooter, fault: Fault) -> None:
    """Let the controller draw without a limit."""
    scooter.rider.pulls_a = fault.value


def break_sensor(scooter: Scooter, fault: Fault) -> None:
    """Bring a sensor to its end stop."""
    place = scooter.random.randint(0, 1)
    scooter.sensing.sensors_raw[place] = 0 if fault.severity < USUAL else 255


def gauge_off(scooter: Scooter, fault: Fault) -> None:
    """Put the gauge wrong."""
    shown, off = scooter.board.shown_pct, fault.value
    # A percentage has an end at either side: away from the nearer one.
    is_low = shown - off > 0 and (shown + off > 100 or scooter.random.random() < USUAL)
    scooter.board.gauge_off_pct = -off if is_low else off


def gauge_stuck(scooter: Scooter, _: Fault) -> None:
    """Let the gauge stand still."""
    scooter.board.is_gauge_stuck = True


def fade(scooter: Scooter, fault: Fault) -> None:
    """Take capacity from the whole pack."""
    for cell in scooter.pack.cells:
        cell.ah *= fault.value
        cell.ohm *= fault.value**-0.7
    scooter.board.full_mah = scooter.plan.design_capacity_mah
