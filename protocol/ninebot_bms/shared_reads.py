"""What a guest on the dashboard's wire reads, and in which pieces, floor 0.

Where: `sharing` and `placing` say. Source: protocol.md sections 5 and 8.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ninebot_bms.frames import Frame
from ninebot_bms.placing import PROBE_SIZE
from ninebot_bms.polls import Poll, Task

__all__ = ["SHARED_POLLS", "Agenda", "Outstanding", "Read"]

#: What is read while others ride: cells, pack values, identity once.
SHARED_POLLS: Final = (
    Poll(0x40, 20, 1.0),
    Poll(0x30, 12, 2.0),
    Poll(0x10, 18, None, (16, 14)),
    Poll(0x4A, 10, 10.0, (8,)),
    Poll(0x36, 12, 10.0),
    Poll(0x19, 2),
    Poll(0x1B, 4),
    Poll(0x20, 6, None, (2,)),
)
_PROBE: Final = Poll(0x32, PROBE_SIZE)


@dataclass(frozen=True, slots=True)
class Read:
    """A question, or a piece of one that was too long."""

    task: Task
    index: int
    size: int
    is_last: bool = True  #: of the pieces of its task


@dataclass(slots=True, eq=False)
class Outstanding:
    """A read that was asked and has no reply yet; times in seconds."""

    read: Read
    frame: Frame
    decided: float
    before: float  #: when the question before it was sent
    echoed: float | None = None  #: the end of its echo; None: not heard yet


class Agenda:
    """What is due, the longest overdue first.

    Args:
        polls: what to read.
    """

    def __init__(self, polls: Sequence[Poll]) -> None:
        #: The shortest read: only when it is answered matters.
        self.probe: Final = Read(Task(_PROBE), _PROBE.index, _PROBE.size)
        self._tasks = [Task(poll) for poll in polls]
        self._pieces: list[Read] = []  # of a read that is under way

    def wanted(self, now: float, longest: int) -> Iterator[Read]:
        """Yield what may be asked now; the rest of a split read before all.

        Args:
            now: seconds.
            longest: bytes that fit into a usual gap; nothing is yielded if not even two do.
        """
        if self._pieces:
            yield self._pieces[0]
            return
        for task in sorted(self._tasks, key=lambda each: each.due):
            if task.due <= now:
                yield from _split(task, longest)[:1]

    def begin(self, read: Read, now: float, longest: int) -> None:
        """Note that this read, which was wanted, is being asked."""
        if not self._pieces:
            read.task.start(now)
            self._pieces = _split(read.task, longest)
        del self._pieces[0]

    def repeat(self, read: Read, now: float) -> None:
        """Note that this read came to nothing: all of it again."""
        read.task.due = now
        self._pieces.clear()


def _split(task: Task, longest: int) -> list[Read]:
    """Cut a read into pieces that fit into a usual gap; none if not even two bytes do."""
    starts = range(0, task.size, longest) if longest else ()
    return [
        Read(
            task,
            task.poll.index + at // 2,
            min(longest, task.size - at),
            at + longest >= task.size,
        )
        for at in starts
    ]
