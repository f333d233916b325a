"""A pack on a technician's bench, or a scooter in use? Floor 2.

On the bench the pack's data plug is off the ESC, nothing draws current and the pack has been off
for long: what needs ten minutes of rest elsewhere holds there from the first reading. The traffic
alone tells: one master that asks for everything in turn, each request once a round. A scooter's ESC
asks for the six words from 0x30 alone, several times as often as anybody asks for cells.
Source: events.md sections 4 and 5 (the bench visit); protocol.md section 8.
"""

from typing import Final

from ninebot_bms import BusEvent, Reply, Seen, Snapshot
from ninebot_bms.frames import Dialect
from ninebot_bms.pairing import asks_pack

__all__ = ["Occasion"]

_ESC: Final = 0x20
#: Above this the pack works: no bench, or a charger was plugged in. Source: events.md section 7.
_QUIET_A: Final = 0.3
#: The ESC's request: six words from 0x30.
_STATE_INDEX: Final = 0x30
_CELL_INDEX: Final = 0x40
#: A laptop reads the limit maps and health (0x36-0x3B) in every round; an app reads 0x36 alone, or
#: the whole of it now and then.
_MAP_INDEX: Final = 0x36
_MAP_WORDS: Final = 6
_MOST_ROUNDS: Final = 0.75
#: Without them, so many replies show the pattern.
_TELLING: Final = 20
#: Replies with the state per reply with cells: 1 on the bench, 2 to 10 on a scooter.
_MOST_STATES: Final = 1.5
_AHEAD: Final = 2


class Occasion:
    """Recognises a bench visit from the traffic and the current.

    Args:
        bench: it is known to be a bench (the agent's mode).
    """

    def __init__(self, *, bench: bool = False) -> None:
        self._bench = bench
        self._esc_seen = False
        self._drawn = False
        self._worked = False
        self._was_working = False
        self._states = 0
        self._maps = 0
        self._cells = 0

    @property
    def is_visit(self) -> bool:
        """Whether this looks like a pack alone on the bench; a charger may be plugged in."""
        if self._bench:
            return True
        if self._esc_seen or self._drawn or not self._cells:
            return False
        # One round asks for both once; an ESC asks for the state alone in between. Replies get
        # lost, and at the start of a round one is ahead of the other.
        if self._states > _MOST_STATES * self._cells + _AHEAD:
            return False
        if self._maps:
            return self._maps >= _MOST_ROUNDS * self._cells - _AHEAD
        return self._states + self._cells >= _TELLING

    @property
    def is_rested(self) -> bool:
        """Whether the pack has been at rest for long, before the first reading."""
        return self.is_visit and not self._worked

    def rested(self) -> bool:
        """Say the same as `is_rested`, for those who want to ask later."""
        return self.is_rested

    def receive(self, event: BusEvent) -> None:
        """Take what happened on the bus."""
        if isinstance(event, Reply):
            block = event.block
            self._states += block.index == _STATE_INDEX
            words = len(block.data) // 2
            self._maps += block.index == _MAP_INDEX and words >= _MAP_WORDS
            self._cells += block.index <= _CELL_INDEX < block.index + words
        elif isinstance(event, Seen) and asks_pack(event.frame):
            frame = event.frame
            if frame.is_heartbeat_request or (
                frame.dialect is Dialect.NINEBOT and frame.source == _ESC
            ):
                self._esc_seen = True

    def update(self, snapshot: Snapshot) -> None:
        """Take what the pack reported."""
        current = snapshot.trusted("current_a")
        if "current_a" in snapshot.fresh and isinstance(current, int | float):
            # One damaged reading must not end a visit.
            working = abs(current) >= _QUIET_A
            self._worked |= working and self._was_working
            self._drawn |= working and self._was_working and current > 0
            self._was_working = working
