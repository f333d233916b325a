"""The seam between ingest and its stores: what is handed over, and how a store says no.

A store has three answers to a batch. It returns: everything is on its disk. It raises `Refused`:
something in the batch will never be taken (what else was in it may be stored already). It raises
`KeptForLater`: nothing is known to be stored, and the same batch is worth trying again.
Writing a message twice must leave the store as writing it once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from packtap.errors import DeliveryError
from packtap.wire import QueuedMessage, Topic

__all__ = [
    "Decoded",
    "KeptForLater",
    "QueuedMessage",
    "Refused",
    "Sink",
    "Tally",
    "TooLarge",
    "Why",
]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A message that is valid, and the topic that names its sender."""

    topic: Topic
    message: QueuedMessage


class Why(StrEnum):
    """What a message is refused for, in one word: what counters and tags can carry."""

    TOPIC = "topic"  #: no topic of packtap
    KIND = "kind"  #: a kind or version that is not known here
    SIZE = "size"  #: too many bytes
    FORM = "form"  #: no JSON, nested too deeply, or not the fields of its kind
    SENDER = "sender"  #: it claims to be of somebody else
    TIME = "time"  #: from before 2020, from the future, or not in order
    VALUE = "value"  #: a value beyond its bounds or of the wrong type
    SERIES = "series"  #: one new pack, bus or site too many for one agent and day
    RATE = "rate"  #: more than one agent may send
    STORE = "store"  #: the store will never take it


#: Agent -> what its messages were refused for -> how many, since the start.
Tally = Mapping[str, Mapping[Why, int]]


class Refused(DeliveryError):  # noqa: N818 - a fate, not a fault of the program
    """Never to be tried again.

    Args:
        reason: what is wrong with it, in words.
        why: the same in one word.
    """

    def __init__(self, reason: str, why: Why = Why.VALUE) -> None:
        self.reason = reason
        self.why = why
        super().__init__(reason)


class TooLarge(Refused):
    """More at once than the store takes; smaller parts of it may pass."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, Why.STORE)


class KeptForLater(DeliveryError):  # noqa: N818 - likewise
    """Not now.

    Args:
        reason: what was seen, without anything that changes from try to try: a change of this
            text is a change of state and is logged once.
        advice: what it means and what to try.
        retry_after_s: seconds that the store asked for; None if it did not.
    """

    def __init__(self, reason: str, advice: str, retry_after_s: float | None = None) -> None:
        self.reason = reason
        self.advice = advice
        self.retry_after_s = retry_after_s
        super().__init__(f"{reason}: {advice}")


class Sink(Protocol):
    """A store as ingest sees it; used from one thread."""

    def write(self, batch: Sequence[Decoded]) -> None:
        """Store the batch durably.

        Raises:
            Refused: something in it will never be taken.
            KeptForLater: the batch may be tried again.
        """

    def note(self, ingest: str, refused: Tally, t_ms: int) -> None:
        """Keep what was refused so far, where the store can: for dashboards and alarms.

        Args:
            ingest: name of this process at the broker.
            refused: counters since its start.
            t_ms: UTC milliseconds.

        Raises:
            Refused, KeptForLater: it did not; the counters come again.
        """

    def close(self) -> None:
        """Let go of files and connections."""
