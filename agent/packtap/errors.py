"""What can go wrong outside the bus, floor 1.

::

    PacktapError
    +-- ConfigError     the configuration is wrong (every problem, each with its key path)
    +-- LinkError       a serial port is absent, busy, forbidden or gone
    +-- StoreError      the SQLite file cannot be opened, written or read
    +-- DeliveryError   the broker or the time-series store does not take what is offered
    +-- FleetError      a certificate cannot be made, taken in or revoked
    +-- CaptureError    a capture cannot be read (absent, not a capture, ...)
    +-- StateError      a saved state of the checks is damaged, or of another program

Messages say what was seen, what it means and what to try: they are shown as they are.
"""

from collections.abc import Sequence
from enum import StrEnum

__all__ = [
    "CaptureError",
    "ConfigError",
    "DeliveryError",
    "FleetError",
    "LinkError",
    "LinkTrouble",
    "PacktapError",
    "StateError",
    "StoreError",
]


class PacktapError(Exception):
    """Base of everything that packtap raises on purpose."""


class ConfigError(PacktapError):
    """A configuration that cannot be used.

    Args:
        problems: every problem found, each "key.path: what is wrong and what is allowed".
        origin: the file that was read.
    """

    def __init__(self, problems: Sequence[str], origin: str) -> None:
        self.problems = tuple(problems)
        self.origin = origin
        super().__init__(f"{origin}: " + "; ".join(self.problems))


class LinkTrouble(StrEnum):
    """What is the matter with a port; the words for people stand in the error's message."""

    ABSENT = "absent"  #: no such name, or no hardware behind it
    FORBIDDEN = "forbidden"  #: this user may not open it
    BUSY = "busy"  #: another program has it
    NOT_SERIAL = "not serial"  #: a file or folder
    NO_SUCH_RATE = "no such rate"  #: it cannot run at this baud rate
    UNREACHABLE = "unreachable"  #: a network tap that does not answer
    OTHER = "other"


class LinkError(PacktapError):
    """A serial port that cannot be used now.

    Args:
        message: what was seen, what it means, what to try.
        trouble: the same for a program.
    """

    def __init__(self, message: str, trouble: LinkTrouble = LinkTrouble.OTHER) -> None:
        self.trouble = trouble
        super().__init__(message)


class StoreError(PacktapError):
    """The SQLite store cannot be opened, written or read."""


class DeliveryError(PacktapError):
    """Broker or store refuses, or cannot be reached."""


class FleetError(PacktapError):
    """A certificate cannot be made, taken in or revoked."""


class CaptureError(PacktapError):
    """A capture that cannot be read."""


class StateError(PacktapError):
    """What the checks knew cannot be saved, or put back."""
