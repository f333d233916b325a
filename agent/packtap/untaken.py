"""What no snapshot has taken yet, and how many snapshots there may be, floor 2.

A block that repeats registers which wait for a snapshot would overwrite them: they are taken first,
as far as the pace allows.
"""

from typing import Final

from ninebot_bms import Block

__all__ = ["Untaken"]

#: Snapshots a second in the long run, since a board measures every 0.25 s, and how many may come
#: at once after a pause: a busy computer delivers the replies of a second together.
_PACE_HZ: Final = 5.0
_BURST: Final = 10.0


class Untaken:
    """What one pack has reported since its last snapshot, and whether it may have one more."""

    def __init__(self) -> None:
        self._words: set[int] = set()
        self._credit = _BURST
        self._t: float | None = None

    def receive(self, block: Block) -> None:
        """Note the registers of a block."""
        self._words |= _words(block)

    def must_go_before(self, block: Block, t: float | None) -> bool:
        """Return whether this block would overwrite something, and the pace allows to save it."""
        if t is not None:
            since_s = 0.0 if self._t is None else max(0.0, t - self._t)
            self._credit = min(_BURST, self._credit + since_s * _PACE_HZ)
            self._t = t
        return self._credit >= 1 and not self._words.isdisjoint(_words(block))

    def taken(self) -> None:
        """Note that a snapshot has taken everything."""
        self._words.clear()
        self._credit = max(0.0, self._credit - 1)


def _words(block: Block) -> set[int]:
    return set(range(block.index, block.index + len(block.data) // 2))
