"""Error codes of the scooter, floor 0: which frames show one, what it means, what it is about.

The ESC (the motor controller) keeps one code; 0 is none. It is seen on the line to the dashboard:

    Xiaomi   55 AA | 08 21 64 00 | flags bars light beeps speed ERROR | ck ck
    Ninebot  5A A5 | 06 20 21 64 00 | flags bars light beeps speed ERROR | ck ck

- the M365 sends the first four bytes only: no code there (genuine recordings);
- and in the ESC's own registers 0x1B and 0xB0, when an app reads them.

Source: protocol.md sections 7 (codes; 10-24, 39, 40 confirmed by several lists) and 8 (frames).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ninebot_bms.frames import ESC, Frame
from ninebot_bms.registers import decode_esc, esc_block_of

__all__ = ["ESC_ERRORS", "EscError", "esc_error_of"]

_DASHBOARD: Final = 0x21
_SHOW: Final = 0x64
_ERROR_BYTE: Final = 5


@dataclass(frozen=True, slots=True)
class EscError:
    """One row.

    Attributes:
        code: as the display shows it; long and short beeps of a scooter without one.
        meaning: what it says, for people.
        battery: it concerns the battery; the others are the controller's and the dashboard's own.
        topic: what about the battery: silent, config, serial, voltage, temperature, deep, charge;
            "" where the lists only say that it is the BMS.
    """

    code: int
    meaning: str
    battery: bool = True
    topic: str = ""


_ROWS: Final = (
    EscError(10, "no communication with the dashboard", battery=False),
    EscError(11, "the controller's own", battery=False),
    EscError(12, "the controller's own", battery=False),
    EscError(16, "charge switch of the battery abnormal", topic="charge"),
    EscError(17, "charge switch of the external battery abnormal", topic="charge"),
    EscError(19, "battery voltage out of range", topic="voltage"),
    EscError(20, "voltage of the external battery out of range", topic="voltage"),
    EscError(21, "no communication with the BMS", topic="silent"),
    EscError(22, "configuration of the BMS not valid (status bit 0)", topic="config"),
    EscError(23, "BMS with its default serial, not activated", topic="serial"),
    EscError(24, "supply voltage out of range", topic="voltage"),
    EscError(36, "of the BMS, meaning unknown"),
    EscError(37, "of the BMS, meaning unknown"),
    EscError(38, "too much charge current", topic="charge"),
    EscError(39, "battery temperature: sensor or overheating", topic="temperature"),
    EscError(40, "the controller is too hot", battery=False),
    EscError(41, "external battery too hot (the motor on some rental models)", topic="temperature"),
    EscError(42, "no communication with the external BMS", topic="silent"),
    EscError(43, "configuration of the external BMS not valid", topic="config"),
    EscError(44, "external BMS with its default serial", topic="serial"),
    EscError(45, "deep under-voltage of the battery (status bit 14)", topic="deep"),
    EscError(46, "deep under-voltage of the external battery", topic="deep"),
    EscError(47, "of the BMS, meaning unknown"),
    EscError(48, "of the BMS, meaning unknown"),
    EscError(49, "firmware of the BMS does not match"),
    EscError(50, "firmware of the external BMS does not match"),
)

#: Codes that are known; any other one says nothing about the battery.
ESC_ERRORS: Final[Mapping[int, EscError]] = MappingProxyType({row.code: row for row in _ROWS})


def esc_error_of(frame: Frame) -> int | None:
    """Return the error code that a frame shows: 0 is none; None: this frame does not say."""
    if frame.command == _SHOW and frame.target == _DASHBOARD and frame.source in (None, ESC):
        return frame.payload[_ERROR_BYTE] if len(frame.payload) > _ERROR_BYTE else None
    block = esc_block_of(frame)
    code = None if block is None else decode_esc(block.index, block.data).get("esc_error_code")
    return code if isinstance(code, int) else None
