"""A pack on a technician's bench, or a scooter in use? Floor 2.

On the bench the pack's data plug is off the ESC, nothing draws current and the pack has been off
for long: what needs ten minutes of rest elsewhere holds there from the first reading. The traffic
alone tells: one master that asks for everything in turn, each request once a round. A scooter's ESC
asks for the six words from 0x30 alone, several times as often as anybody asks for cells.
Source: events.md sections 4 and 5 (the bench visit); protocol.md section 8.
"""

from typing import Final

from ninebot_bms import BusEvent, Seen, Snapshot
from ninebot_bms.frames import Dialect, Frame
from ninebot_bms.pairing import asks_pack

__all__ = ["Occasion"]

_ESC: Final = 0x20
#: Above this the pack works: no bench, or a charger was plugged in. Source: events.md section 7.
_QUIET_A: Final = 0.3
#: The ESC's request: six words from 0x30.
_STATE_INDEX: Final = 0x30
_CELL_INDEX: Final = 0x40


class Occasion:
    """Recognises a bench visit from the requests and the current.

    Args:
        bench: it is known to be a bench (the agent's mode).
    """

    def __init__(self, *, bench: bool = False) -> None:
        self._bench = bench
        self._esc_seen = False
        self._worked = False
        self._states = 0
        self._cells = 0

    @property
    def is_visit(self) -> bool:
        """Whether this looks like a pack alone on the bench."""
        if self._bench:
            return True
        if self._esc_seen or self._worked or not self._cells:
            return False
        # One round asks for both once; an ESC asks for the state alone in between. At the start
        # of a round one may be ahead of the other.
        return self._states <= self._cells + 1

    @property
    def is_rested(self) -> bool:
        """Whether the pack has been at rest for long, before the first reading."""
        return self.is_visit and not self._worked

    def rested(self) -> bool:
        """Say the same as `is_rested`, for those who want to ask later."""
        return self.is_rested

    def receive(self, event: BusEvent) -> None:
        """Take what happened on the bus."""
        if isinstance(event, Seen) and asks_pack(event.frame):
            self._take_request(event.frame)

    def update(self, snapshot: Snapshot) -> None:
        """Take what the pack reported."""
        current = snapshot.trusted("current_a")
        if isinstance(current, int | float) and abs(current) >= _QUIET_A:
            self._worked = True

    def _take_request(self, frame: Frame) -> None:
        if frame.is_heartbeat_request:
            self._esc_seen = True
            return
        if frame.dialect is Dialect.NINEBOT and frame.source == _ESC:
            self._esc_seen = True
        size = frame.requested_size or 0
        if frame.index == _STATE_INDEX:
            self._states += 1
        if frame.index <= _CELL_INDEX < frame.index + size // 2:
            self._cells += 1
