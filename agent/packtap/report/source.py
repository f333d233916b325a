"""Where a diagnosis comes from, and how good the line was, floor 4."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ninebot_bms import Chunk, Observer

if TYPE_CHECKING:  # a recording is diagnosed where no serial port can be opened
    from packtap.poller import Tally

__all__ = ["LinkQuality", "Source", "Timed", "utc_of"]

#: Seconds that are a date and no time since boot: 2015 to 2100.
_FIRST_UTC_S: Final = 1_420_070_400.0
_LAST_UTC_S: Final = 4_102_444_800.0


@dataclass(frozen=True, slots=True)
class Source:
    """What was read.

    Attributes:
        name: of the file or port, as it was given.
        kind: "capture", "port" or "store".
        how: format of the capture, or how the port was attended to.
        sha256: of the file as it stands there; None where nothing was recorded.
        started: UTC of the first byte; None if nobody knows.
        trouble: why it ended early; "" if it did not.
        is_simulated: the recording says of itself that packtap simulated it.
        basis: what else this is made of, sentences.
    """

    name: str
    kind: str
    how: str
    sha256: str | None = None
    started: datetime | None = None
    trouble: str = ""
    is_simulated: bool = False
    basis: tuple[str, ...] = ()

    def as_document(self) -> dict[str, object]:
        """Return it as JSON keys and values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "how": self.how,
            "sha256": self.sha256,
            "started": None if self.started is None else self.started.isoformat(),
            "trouble": self.trouble or None,
            "simulated": self.is_simulated,
            "basis": list(self.basis),
        }


@dataclass(frozen=True, slots=True)
class LinkQuality:
    """What the lines carried.

    Attributes:
        frames: of all nodes.
        requests: for registers of a pack.
        replies: with registers of a pack.
        unanswered: requests without a reply whose silence is not normal.
        rejects: reason -> stretches of bytes that were no frame.
    """

    frames: int
    requests: int
    replies: int
    unanswered: int
    rejects: Mapping[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """Stretches of bytes that were no frame."""
        return sum(self.rejects.values())

    @classmethod
    def of_observer(cls, observer: Observer) -> "LinkQuality":
        """Return what an observer has counted on all its lines."""
        rejects: dict[str, int] = {}
        counts = observer.counts.values()
        for line in counts:
            for reason, count in line.rejects.items():
                if not count:
                    continue
                rejects[reason.value] = rejects.get(reason.value, 0) + count
        return cls(
            frames=sum(line.frames for line in counts),
            requests=sum(line.requests for line in counts),
            replies=sum(line.replies for line in counts),
            unanswered=sum(line.unanswered - line.excused for line in counts),
            rejects=rejects,
        )

    @classmethod
    def of_tally(cls, tally: "Tally") -> "LinkQuality":
        """Return what a visit has counted."""
        return cls(
            tally.frames,
            tally.requests,
            tally.replies,
            tally.unanswered,
            {reason.value: count for reason, count in tally.rejects.items() if count},
        )

    def as_document(self) -> dict[str, object]:
        """Return it as JSON keys and values."""
        return {
            "frames": self.frames,
            "requests": self.requests,
            "replies": self.replies,
            "unanswered": self.unanswered,
            "rejects": dict(self.rejects),
        }


class Timed:
    """Passes chunks on and remembers when the first one was."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._chunks = chunks
        self.first_t: float | None = None

    def __iter__(self) -> Iterator[Chunk]:
        for chunk in self._chunks:
            if self.first_t is None:
                self.first_t = chunk.t
            yield chunk


def utc_of(t: float | None) -> datetime | None:
    """Return the date that a capture's clock shows; None if its times are no dates."""
    if t is None or not _FIRST_UTC_S <= t <= _LAST_UTC_S:
        return None
    return datetime.fromtimestamp(t, UTC)
