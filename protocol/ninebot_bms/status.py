"""The bits of the status word 0x30, floor 0.

A non-zero status is no fault: bit 0 *set* means healthy, and bit 9 is set on every full pack
(0x0201, 0x0241). M365 and ES2 packs show exactly 0x0001 in every captured frame: bits 1, 3, 5 and 7
stay 0 on old firmware, so charge and discharge come from the sign of the current, never from here.
Bits 11-14 conflict between the vendor's header (11, 12) and the wiki (13, 14) without overlap, so
all four are named.

Source: protocol.md section 6; events.md section 2 (which bits are faults).
"""

from dataclasses import dataclass
from typing import Final

from ninebot_bms.registers_rows import Evidence

__all__ = ["STATUS_FLAGS", "StatusFlag", "fault_flags", "status_flags"]


@dataclass(frozen=True, slots=True)
class StatusFlag:
    """One bit of the status word.

    Attributes:
        bit: 0-15.
        name: what a set bit says.
        meaning: for people.
        evidence: of the meaning.
        doubt: what sources disagree about; "" if nothing.
        fault_name: what is wrong when the bit is at `fault_level`; None: no fault either way.
        fault_level: the level that is a fault, 0 or 1.
    """

    bit: int
    name: str
    meaning: str
    evidence: Evidence
    doubt: str = ""
    fault_name: str | None = None
    fault_level: int = 1

    @property
    def mask(self) -> int:
        """The bit as a number."""
        return 1 << self.bit

    @property
    def fault(self) -> bool:
        """Whether one of its two levels is a fault."""
        return self.fault_name is not None


_C: Final = Evidence.CONFIRMED
_S: Final = Evidence.SINGLE
_D: Final = Evidence.DISPUTED

STATUS_FLAGS: Final[tuple[StatusFlag, ...]] = (
    StatusFlag(
        0,
        "config_valid",
        "configuration and password (check code) valid; cleared: ESC error 22",
        _C,
        "a BotoX board clears it on any chip error or a cell spread above 100 mV",
        "config_invalid",
        0,
    ),
    StatusFlag(1, "activated", "battery activated", _C, "stays 0 on old firmware"),
    StatusFlag(
        2,
        "charge_protection",
        "charge protection",
        _D,
        "or discharge MOS on: if it toggles with riding, it is the MOS",
    ),
    StatusFlag(3, "charge_mos_on", "charge MOS enabled", _C, "stays 0 on old firmware"),
    StatusFlag(4, "write_lock_open", "register write lock open", _C, "polarity uncertain"),
    StatusFlag(5, "discharging", "discharging", _C, "stays 0 on old firmware"),
    StatusFlag(6, "charging", "charging; the ESC disables riding", _C),
    StatusFlag(7, "charger_connected", "charger inserted", _C, "stays 0 on old firmware"),
    StatusFlag(
        8,
        "over_discharge",
        "over-discharge or discharge error",
        _C,
        "names differ",
        "over_discharge",
    ),
    StatusFlag(
        9,
        "over_voltage",
        "over-voltage: the ESC reduces regenerative braking; normal on a full pack, no fault",
        _C,
    ),
    StatusFlag(10, "over_temperature", "over-temperature", _C, fault_name="over_temperature"),
    StatusFlag(11, "test_mode", "test mode", _S, "the wiki does not know it"),
    StatusFlag(12, "powered_on", "vehicle powered on", _S, "the wiki does not know it"),
    StatusFlag(13, "charge_error", "charge error", _S, "wiki only", "charge_error"),
    StatusFlag(
        14,
        "deep_undervoltage",
        "deep under-voltage; ESC errors 45 and 46",
        _S,
        "wiki; ESC error texts quote it",
        "deep_undervoltage",
    ),
)


def status_flags(status: int) -> tuple[str, ...]:
    """Return the names of the bits that are set, lowest bit first."""
    return tuple(flag.name for flag in STATUS_FLAGS if status & flag.mask)


def fault_flags(status: int) -> tuple[str, ...]:
    """Return what the status word says is wrong, lowest bit first; empty: nothing."""
    return tuple(
        flag.fault_name
        for flag in STATUS_FLAGS
        if flag.fault_name is not None and (status >> flag.bit & 1) == flag.fault_level
    )
