"""Who a pack says it is, and what its serial says about that, floor 0.

Layout of a vendor serial, 14 characters::

    M M M M M Y Y m d N N N N N

- M: model and variant; 3J = M365.
- Y: year, two digits: 17 = 2017.
- m: month, A = January .. L = December.
- d: day, 1-9, then A = 10 onward without I and O: T = 27, X = 31.
- N: number.

The date is no vendor document: it was derived from all five packs that publish serial and date
word, which agree. Newer BP.. and BF.. serials may differ, so they give no date.
Source: protocol.md sections 7, 9 and 10.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Final

from ninebot_bms.registers_codecs import Value

__all__ = [
    "FACTORY_SERIAL",
    "Identity",
    "SerialKind",
    "identify",
    "is_factory_serial",
    "serial_date",
    "serial_kind",
]

#: What a pack says that was never given a serial; the ESC shows error 23.
FACTORY_SERIAL: Final = "3GA0016A1A0001"

_MONTHS: Final = "ABCDEFGHIJKL"
_DAYS: Final = "123456789ABCDEFGHJKLMNPQRSTUVWX"
_DATED: Final = re.compile(r"[0-9A-Z]{5}(\d\d)([A-L])([1-9A-HJ-NP-X])[0-9A-Z]{5}", re.ASCII)
_UNDATED_PREFIXES: Final = ("BP", "BF")
_REPLACEMENT_PREFIX: Final = "BOTOX"
_SERIAL_LENGTH: Final = 14
#: A string of fewer different characters is filler ("00000000000000"), not a number.
_MIN_DIFFERENT: Final = 4


class SerialKind(StrEnum):
    """What a serial is good for."""

    VENDOR = "vendor"  #: 14 letters and digits: names one pack
    FACTORY = "factory"  #: the default of a pack never given one
    REPLACEMENT = "replacement"  #: the constant of a replacement BMS (BOTOX001)
    PLACEHOLDER = "placeholder"  #: printable, but no vendor's number
    UNREADABLE = "unreadable"  #: read, and blank or not ASCII


@dataclass(frozen=True, slots=True)
class Identity:
    """What a pack reported about itself; None where it has not.

    Attributes:
        serial: as reported.
        kind: what the serial is good for; None while it is unread.
        serial_date: the date that the serial encodes.
        manufacture_date: the date word 0x20.
        firmware: as in "1.1.5".
    """

    serial: str | None
    kind: SerialKind | None
    serial_date: date | None
    manufacture_date: date | None
    firmware: str | None


def serial_date(serial: str) -> date | None:
    """Return the date that a vendor serial encodes; None if it encodes none."""
    if serial.startswith(_UNDATED_PREFIXES) or is_factory_serial(serial):
        return None
    match = _DATED.fullmatch(serial)
    if match is None:
        return None
    year, month, day = match.groups()
    try:
        return date(2000 + int(year), _MONTHS.index(month) + 1, _DAYS.index(day) + 1)
    except ValueError:  # 31 February
        return None


def is_factory_serial(serial: str) -> bool:
    """Whether this is the serial of a pack that was never given one."""
    return serial == FACTORY_SERIAL


@lru_cache(maxsize=64)  # asked of the same serial with every snapshot
def serial_kind(serial: str | None) -> SerialKind:
    """Return what a serial that has been read is good for.

    Args:
        serial: as `decode_block` gives it; None = blank or not printable ASCII.
    """
    if serial is None or not serial.strip():
        return SerialKind.UNREADABLE
    if is_factory_serial(serial):
        return SerialKind.FACTORY
    if serial.startswith(_REPLACEMENT_PREFIX):
        return SerialKind.REPLACEMENT
    is_number = serial.isascii() and serial.isalnum() and len(serial) == _SERIAL_LENGTH
    if not is_number or len(set(serial)) < _MIN_DIFFERENT:
        return SerialKind.PLACEHOLDER
    return SerialKind.VENDOR


def identify(values: Mapping[str, Value]) -> Identity:
    """Gather what register values say about who the pack is.

    Args:
        values: by row name, as a snapshot holds them.
    """
    serial, made, firmware = (
        values.get(name) for name in ("serial", "manufacture_date", "firmware")
    )
    text = serial if isinstance(serial, str) else None
    return Identity(
        serial=text,
        kind=serial_kind(text) if "serial" in values else None,
        serial_date=None if text is None else serial_date(text),
        manufacture_date=date.fromisoformat(made) if isinstance(made, str) else None,
        firmware=firmware if isinstance(firmware, str) else None,
    )
