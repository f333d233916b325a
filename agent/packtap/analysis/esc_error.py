"""Which error does the scooter itself show? Floor 2.

A code of the line to the dashboard is what a person reads from its display: a report, not a finding
of ours. It counts once it has stood for two seconds in three frames: a damaged frame may pass the
additive checksum, and while a scooter wakes up its parts miss each other for a moment.
Source: protocol.md sections 7 and 8.
"""

from typing import Final

from ninebot_bms import BusEvent, Seen, esc_error_of
from packtap.analysis.finding import Held

__all__ = ["EscErrorWatch"]

_STANDS_S: Final = 2.0
_FRAMES: Final = 3


class EscErrorWatch:
    """Watches what the controller tells the dashboard and the app."""

    def __init__(self) -> None:
        self._code = 0
        self._frames = 0
        self._held = Held(_STANDS_S, readings=_FRAMES)

    def receive(self, event: BusEvent) -> int | None:
        """Return the code that stands, if this frame shows one; None else."""
        if not isinstance(event, Seen) or (code := esc_error_of(event.frame)) is None:
            return None
        if code != self._code:
            self._held.update(False, event.t)
            self._frames = 0
        self._code = code
        self._frames += 1
        stands = self._held.update(bool(code), event.t) and self._frames >= _FRAMES
        return code if stands else None
