"""What to read from a pack on the bench, how often, and what the pack makes of it, floor 0.

Source: protocol notes of the BotoX BMS and of the apps that read cells.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from ninebot_bms.commands import read_request
from ninebot_bms.frames import Dialect

__all__ = ["DEFAULT_POLLS", "Poll", "Task"]

_TRIES: Final = 3
_REFUSED_S: Final = 10.0  # how often to ask what this pack does not answer


@dataclass(frozen=True, slots=True)
class Poll:
    """One block to read, again and again or once."""

    index: int  #: first register, in 16-bit words
    size: int  #: bytes, even, 2..64
    every_s: float | None = None  #: None: once, whenever a pack is (again) connected
    shorter: tuple[int, ...] = ()  #: bytes to ask for if the pack does not answer that many

    def __post_init__(self) -> None:
        for size in (self.size, *self.shorter):
            read_request(Dialect.XIAOMI, self.index, size)
        if self.every_s is not None and not self.every_s > 0:
            raise ValueError(f"cannot read every {self.every_s} s")


#: Everything that is known to be worth reading. The BotoX map ends with register 0x51.
DEFAULT_POLLS: Final = (
    Poll(0x30, 12, 0.5),
    Poll(0x40, 32, 0.5, (30, 20)),
    Poll(0x36, 20, 0.5, (12,)),
    Poll(0x10, 18, None, (16, 14)),
    Poll(0x19, 14, None, (8, 2)),
    Poll(0x20, 6, None, (2,)),
    Poll(0x50, 8, None, (4, 2)),
)


class Task:
    """One poll of one pack: when it is due, and what the pack makes of it."""

    __slots__ = ("answered", "due", "misses", "poll", "sizes", "tried_at")

    def __init__(self, poll: Poll) -> None:
        self.poll = poll
        self.sizes = [poll.size, *poll.shorter]
        self.due = -inf
        self.misses = 0
        self.tried_at = -inf
        self.answered = False  # ever, with the present size

    @property
    def size(self) -> int:
        """Return how many bytes to ask for."""
        return self.sizes[0]

    def start(self, now: float) -> None:
        """Note that it is being asked: it keeps its pace, but does not catch up."""
        every_s = self.poll.every_s
        if every_s is None:
            self.due = inf
        else:
            self.due = every_s + (self.due if now - self.due < every_s else now)

    def succeed(self) -> None:
        """Note that it was answered."""
        self.answered = True
        self.misses = 0
        if self.poll.every_s is None:
            self.due = inf  # a late reply spares the retry

    def fail(self, now: float, last_reply: float) -> None:
        """Decide what follows a request that ran out of time."""
        every_s = self.poll.every_s
        if every_s is None:
            self.due = now
        # A pack that has fallen silent altogether does not refuse this read.
        self.misses += last_reply >= self.tried_at
        self.tried_at = now
        if self.answered or self.misses < _TRIES:
            return
        if len(self.sizes) > 1:
            del self.sizes[0]
            self.misses = 0
        else:
            self.due = inf if every_s is None else now + max(every_s, _REFUSED_S)
