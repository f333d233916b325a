"""Which error does the scooter itself show? Floor 2.

On a bus that carries the ESC's own registers (the dashboard's wire, with an app connected) its
error code goes by: register 0x1B, and the first word of 0xB0. Two equal readings in a row are
believed, since one damaged frame can pass the checksum. Codes that concern neither pack nor its
line (hall sensors, throttle) say nothing here. Source: protocol.md sections 7 and 8. The
dashboard's own frame 0x64 carries a code on some models by a single source: it is not read.
"""

from typing import Final

from ninebot_bms import BusEvent, DecodeError, Seen, decode_esc
from ninebot_bms.frames import ESC

__all__ = ["EscErrorReader"]

#: Codes of battery, its communication, configuration, temperature, charge. Source: section 7.
_BATTERY_CODES: Final = frozenset({16, 17, *range(19, 25), 36, 37, 38, 39, *range(41, 51)})


class EscErrorReader:
    """Takes bus events, gives an error code once it is certain."""

    def __init__(self) -> None:
        self._last: int | None = None

    def receive(self, event: BusEvent) -> int | None:
        """Return the code if this event confirms one that concerns the battery."""
        if not isinstance(event, Seen):
            return None
        frame = event.frame
        if frame.source != ESC or not frame.is_read_reply:
            return None
        try:
            code = decode_esc(frame.index, frame.payload).get("esc_error_code")
        except DecodeError:
            return None
        if not isinstance(code, int):
            return None
        before, self._last = self._last, code
        return code if code == before and code in _BATTERY_CODES else None
