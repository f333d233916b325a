"""The rows: every register of the BMS, and the one of the ESC that concerns the battery, floor 0.

A row is the only description of a quantity; names, units and doubts are written here and nowhere
else. Word index n is byte 2n of the register file; both dialects share it.

Source: protocol.md section 5, with its evidence marks: C confirmed by two or more implementations
or by a decoded capture, S single source, D disputed, U unknown or not verified.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from ninebot_bms.registers_codecs import (
    CELL_MAP,
    CELLS,
    DATE,
    FIRMWARE,
    S16,
    SERIAL,
    TEMPERATURE,
    U8,
    U16,
    Codec,
    hex_bytes,
    number,
)

__all__ = ["ESC_REGISTERS", "REGISTERS", "Evidence", "Register"]


class Evidence(StrEnum):
    """How sure the meaning of a register or bit is."""

    CONFIRMED = "C"  #: two or more independent implementations, or a decoded capture
    SINGLE = "S"  #: one source
    DISPUTED = "D"  #: sources contradict each other; the doubt gives both readings
    UNKNOWN = "U"  #: meaning not known or not verified


@dataclass(frozen=True, slots=True)
class Register:
    """One row of the register table.

    Attributes:
        name: the quantity, from here to JSON key, column and panel; ends in its unit.
        index: first word, 0x00-0xFF.
        words: how many words the row spans; a half word has 1.
        codec: how the words hold the value.
        unit: of the value, "" for counts, texts and bits.
        evidence: of the meaning as decoded here.
        description: what the number is.
        doubt: what sources disagree about, or what is not known; "" if nothing.
        byte: 0 low, 1 high, for a row that is half a word; None for whole words.
    """

    name: str
    index: int
    words: int
    codec: Codec
    unit: str
    evidence: Evidence
    description: str
    doubt: str = ""
    byte: int | None = None

    @property
    def offset(self) -> int:
        """First byte in the register file."""
        return 2 * self.index + (self.byte or 0)

    @property
    def scale(self) -> Fraction:
        """Unit per count."""
        return self.codec.scale

    @property
    def type_name(self) -> str:
        """How the words are coded, as the table prints it."""
        return self.codec.name

    @property
    def value_type(self) -> type:
        """Python type of every value that is not None: int, float, str or tuple."""
        return self.codec.value_type


_C: Final = Evidence.CONFIRMED
_S: Final = Evidence.SINGLE
_D: Final = Evidence.DISPUTED
_U: Final = Evidence.UNKNOWN
_HUNDREDTH: Final = Fraction(1, 100)
_CENTI: Final = number("u16", scale=_HUNDREDTH)
_CENTI_SIGNED: Final = number("s16", scale=_HUNDREDTH)
#: Quantities that cannot be 0 in a live pack: there the fillers 0x0000 and 0xFFFF of a word that a
#: board does not support are told from a value.
_FILLERS: Final = frozenset({0x0000, 0xFFFF})
_NEVER_ZERO: Final = number("u16", absent=_FILLERS)
_CENTI_NEVER_ZERO: Final = number("u16", scale=_HUNDREDTH, absent=_FILLERS)
#: A pack that does not count reads 0 here (Z10).
_TENS_OR_ABSENT: Final = number("u32", scale=Fraction(10), absent=frozenset({0}))

_SET_POINT_DOUBT: Final = (
    "names from one vendor tool, unit not stated ({} presumed), mostly zero; the ESC never reads it"
)
_SENSOR_ORDER_DOUBT: Final = (
    "which sensor is number 1 is disputed: four readers take the low byte, two the high byte"
)
_BOTOX_LIMITS_DOUBT: Final = (
    "a BotoX board keeps maximum voltage, discharge and charge current in 0x1D-0x1F"
)
_BOTOX_ERRORS_DOUBT: Final = "a BotoX board keeps six error bytes, always 0, in 0x21-0x23"


def _set_point(index: int, name: str, unit: str, description: str) -> Register:
    doubt = _SET_POINT_DOUBT.format(unit)
    return Register(f"{name}_raw", index, 1, U16, "", _S, description, doubt)


def _temperature(number_: int, index: int, byte: int, evidence: Evidence, doubt: str) -> Register:
    half = "high" if byte else "low"
    return Register(
        f"temperature_{number_}_c",
        index,
        1,
        TEMPERATURE,
        "degC",
        evidence,
        f"sensor {number_} ({half} byte)",
        doubt,
        byte,
    )


REGISTERS: Final[tuple[Register, ...]] = (
    Register(
        "magic", 0x00, 1, U16, "", _C, "0x5A5A; 0xAAAA in a factory reset image",
        "a Z10 dump shows 0xA5A5",
    ),
    _set_point(0x01, "cell_overcharge", "mV", "protection: cell over-charge"),
    _set_point(0x02, "cell_overcharge_recovery", "mV", "protection: cell over-charge recovery"),
    _set_point(0x03, "cell_overdischarge", "mV", "protection: cell over-discharge"),
    _set_point(
        0x04, "cell_overdischarge_recovery", "mV", "protection: cell over-discharge recovery"
    ),
    _set_point(0x05, "balance_start", "mV", "balancing starts above"),
    _set_point(0x06, "balance_difference_start", "mV", "balancing starts at this difference"),
    _set_point(0x07, "balance_difference", "mV", "balancing difference"),
    _set_point(0x08, "overdischarge_current_1", "mA", "protection: over-discharge current 1"),
    _set_point(0x09, "overdischarge_time_1", "s", "protection: its time"),
    _set_point(0x0A, "overdischarge_current_2", "mA", "protection: over-discharge current 2"),
    _set_point(0x0B, "overdischarge_time_2", "s", "protection: its time"),
    _set_point(0x0C, "overcharge_current", "mA", "protection: over-charge current"),
    _set_point(0x0D, "overcharge_time", "s", "protection: its time"),
    Register(
        "charge_mos_setting", 0x0F, 1, U16, "", _S, "charge MOS setting",
        "name from one vendor tool; values not known",
    ),
    Register("serial", 0x10, 7, SERIAL, "", _C, "serial number, 14 characters"),
    Register(
        "firmware", 0x17, 1, FIRMWARE, "", _C, "firmware, high byte . nibble . nibble",
        "confirmed for three digits; one tool takes the top nibble for the board (0x1234: PCB 1, "
        "firmware 2.3.4)",
    ),
    Register("design_capacity_mah", 0x18, 1, _NEVER_ZERO, "mAh", _C, "design (factory) capacity"),
    Register(
        "full_capacity_mah", 0x19, 1, _NEVER_ZERO, "mAh", _C,
        "present full-charge capacity, not the charge level",
    ),
    Register(
        "design_voltage_v", 0x1A, 1, _CENTI_NEVER_ZERO, "V", _C, "design pack voltage",
        "BotoX (mV) and an ESPHome reader (/1000) take it for a cell voltage",
    ),
    Register("cycle_count", 0x1B, 1, U16, "", _C, "full cycles"),
    Register("charge_count", 0x1C, 1, U16, "", _C, "number of charges"),
    Register(
        "total_charged_mah", 0x1D, 2, _TENS_OR_ABSENT, "mAh", _C,
        "total charged capacity, low word first",
        f"0 on real Z10 packs; {_BOTOX_LIMITS_DOUBT}; one tool says operating time",
    ),
    Register(
        "overcurrent_count", 0x1F, 1, U8, "", _C, "over-current trips", _BOTOX_LIMITS_DOUBT, 0
    ),
    Register(
        "overdischarge_count", 0x1F, 1, U8, "", _C, "over-discharge trips", _BOTOX_LIMITS_DOUBT, 1
    ),
    Register(
        "manufacture_date", 0x20, 1, DATE, "", _C, "date of manufacture",
        "zero or impossible words are not reported",
    ),
    Register(
        "activation_date", 0x21, 1, DATE, "", _S, "fuse or activation date (set by command 0x57)",
        f"presumed to be coded like 0x20; {_BOTOX_ERRORS_DOUBT}",
    ),
    Register(
        "f_code", 0x22, 1, U16, "", _S, "\"F code\" of a vendor tool",
        f"meaning not known; {_BOTOX_ERRORS_DOUBT}",
    ),
    Register(
        "b_code", 0x23, 1, U16, "", _S, "\"B code\" of a vendor tool",
        f"meaning not known; {_BOTOX_ERRORS_DOUBT}",
    ),
    Register(
        "status", 0x30, 1, U16, "", _C, "status bits, see the status table",
        "bits 2 and 11-14 are disputed",
    ),
    Register(
        "remaining_capacity_mah", 0x31, 1, U16, "mAh", _C, "remaining capacity",
        "one tool takes it for signed",
    ),
    Register(
        "soc_pct", 0x32, 1, U16, "%", _C, "state of charge",
        "a reader for rental packs calls it unknown",
    ),
    Register(
        "current_a", 0x33, 1, _CENTI_SIGNED, "A", _C, "current, + discharge, - charge"
    ),
    Register(
        "voltage_v", 0x34, 1, _CENTI, "V", _C, "pack voltage",
        "a comment by CamiAlfa says V*10; the capture beside it is V*100",
    ),
    _temperature(1, 0x35, 0, _C, _SENSOR_ORDER_DOUBT),
    _temperature(2, 0x35, 1, _C, _SENSOR_ORDER_DOUBT),
    Register("balancing_cells", 0x36, 1, CELL_MAP, "", _C, "cells being balanced"),
    Register("undervoltage_cells", 0x37, 1, CELL_MAP, "", _C, "cells under their voltage limit"),
    Register("overvoltage_cells", 0x38, 1, CELL_MAP, "", _C, "cells over their voltage limit"),
    Register(
        "coulomb_capacity_mah", 0x39, 1, S16, "mAh", _C, "capacity by coulomb counter",
        "the sign is from one source: negative (0xFFF4 = -12) marks a failure",
    ),
    Register("voltage_capacity_mah", 0x3A, 1, U16, "mAh", _C, "capacity derived from voltage"),
    Register(
        "health_pct", 0x3B, 1, _NEVER_ZERO, "%", _C, "health; the vendor's app warns below 60",
        "new firmware reports a constant 98",
    ),
    Register(
        "unknown_3c_raw", 0x3C, 1, U16, "", _D, "not known",
        "lowest cell (4038 mV) in a Z10 converter; unknown in the tools",
    ),
    Register("cto_index", 0x3D, 1, U16, "", _S, "\"CTO index\"", "meaning not known"),
    Register(
        "displayed_soc_pct", 0x3E, 1, U16, "%", _C, "virtual (displayed) state of charge",
        "0 on older boards",
    ),
    Register(
        "unknown_3f_raw", 0x3F, 1, U16, "", _U, "not known",
        "a Z10 converter writes the cell count here",
    ),
    Register(
        "cell_voltages_mv", 0x40, 16, CELLS, "mV", _C, "cell voltages, cell 1 first",
        "15 or 16 words; unused slots read 0, one tool skips 0xFFFF",
    ),
    Register("activated", 0x50, 1, U16, "", _S, "has been activated (0 or 1)"),
    Register(
        "hardware_version", 0x51, 1, U16, "", _C, "board version (3 standard, 4 Pro rental)",
        "7 captured, meaning not known",
    ),
    _temperature(3, 0x52, 0, _S, "newer boards; order of the sensors not known"),
    _temperature(4, 0x52, 1, _S, "newer boards; order of the sensors not known"),
    _temperature(5, 0x53, 0, _S, "newer boards; order of the sensors not known"),
    _temperature(6, 0x53, 1, _S, "newer boards; order of the sensors not known"),
    Register("crypto_code", 0x60, 4, hex_bytes(8), "", _S, "crypto code", "use not known"),
    Register("mcu_id", 0x70, 6, hex_bytes(12), "", _C, "unique id of the MCU"),
    Register(
        "warning_code", 0x7B, 1, U8, "", _S,
        "warning: 2 SPI/AFE, 3 over-charge, 4 load, 5 jump to app, 6 password, 7 power-up pin",
        "use of the high byte not known", 0,
    ),
    Register(
        "verify_block_raw", 0x80, 1, U16, "", _S, "verify block written by newer ESCs",
        "length and content not known; first word only",
    ),
)  # fmt: skip

#: The error code stands in two places of the ESC. Source: protocol.md section 7.
ESC_REGISTERS: Final[tuple[Register, ...]] = (
    Register("esc_error_code", 0x1B, 1, U16, "", _C, "error code of the ESC"),
    Register(
        "esc_error_code", 0xB0, 1, U16, "", _C, "error code of the ESC, first word of its block"
    ),
)
