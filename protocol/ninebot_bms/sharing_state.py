"""What a guest on the dashboard's wire is doing about asking, in words, floor 0."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["TROUBLES", "SharingState"]


class SharingState(StrEnum):
    """What is being done about asking."""

    SILENT_BUS = "nothing heard"  #: no dashboard: nothing is sent
    LISTENING = "listening"  #: the bus is not understood (yet): nothing is sent
    WAITING = "waiting for the phone"  #: when the pack is busy, nobody knows: nothing is sent
    ASKING = "asking"  #: reads are placed in the gaps
    BACKING_OFF = "backing off"  #: after a collision, for seconds
    RESTING = "resting"  #: for minutes: frames of others were lost, or no echo came


#: Why nothing is asked, for people, where the state alone says it.
TROUBLES: Final[Mapping[SharingState, str]] = MappingProxyType(
    {
        SharingState.SILENT_BUS: "no dashboard is heard on this wire: nothing is asked",
        SharingState.WAITING: (
            "nobody knows yet when the pack is busy, and a read at a bad moment would cost a frame "
            "of the dashboard: nothing is asked; show the battery page in the phone's app for half "
            "a minute"
        ),
    }
)
