"""Everything one pack has reported, each value with its age, floor 0.

Registers arrive in blocks of different polls: status and voltage five times a second, cells every
second or never, the serial once. The assembler of one address gathers them; a snapshot is what is
known at one moment: which values, read when, which of them newly, and which not to believe.

Time is passed in, in seconds of whatever clock the caller has; None where the input has no times.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ninebot_bms.cell_count import CellCounter, live_cells
from ninebot_bms.frames import BMS
from ninebot_bms.identity import Identity, identify
from ninebot_bms.quirks import Doubt, Report, find_doubts
from ninebot_bms.registers import Block, Value, cell_slots, decode_block, temperatures_raw
from ninebot_bms.registers_codecs import EMPTY_SLOT, MAX_CELLS

__all__ = ["Doubt", "Snapshot", "SnapshotAssembler"]

_CELLS: Final = "cell_voltages_mv"
#: Cell words of several reads make one picture only if they are this close, in seconds.
_ONE_PICTURE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one pack has reported up to one moment.

    Attributes:
        t: seconds, time of the newest block in it; None for input without times.
        address: Ninebot number of the pack.
        values: by row name, as read. A row that is missing was never read; None was read and means
            that the board does not report it.
        times: seconds at which each row of `values` was read.
        fresh: rows read since the snapshot before.
        cell_count: 1-16; None while it is not known, or not to be believed.
        doubts: what not to believe, and why.
        temperatures_raw: the byte behind each temperature row, 0-255; 0 and 255, where the value
            is None, tell an absent or broken sensor.
    """

    t: float | None
    address: int
    values: Mapping[str, Value]
    times: Mapping[str, float | None]
    fresh: frozenset[str]
    cell_count: int | None
    doubts: tuple[Doubt, ...]
    temperatures_raw: Mapping[str, int] = field(default_factory=dict)

    @property
    def identity(self) -> Identity:
        """Who the pack says it is."""
        return identify(self.values)

    def age_s(self, name: str, now: float) -> float | None:
        """Return how long ago a row was read, seconds; None if never or at an unknown time."""
        t = self.times.get(name)
        return None if t is None else now - t

    def trusted(self, name: str) -> Value:
        """Return the value of a row; None if it is not known or a doubt covers it."""
        if any(name in doubt.rows for doubt in self.doubts):
            return None
        return self.values.get(name)


class SnapshotAssembler:
    """Gathers the blocks of one pack into snapshots.

    Args:
        address: Ninebot number of the pack; blocks of other nodes are not taken.
        min_interval_s: between two snapshots. The BMS itself measures every 250 ms.
    """

    def __init__(self, address: int = BMS, min_interval_s: float = 0.2) -> None:
        self._address = address
        self._min_interval_s = min_interval_s
        self._taken_at: float | None = None
        self._t: float | None = None
        self._fresh: set[str] = set()
        self._forget()

    def receive_block(self, block: Block, t: float | None) -> None:
        """Take a block that this pack reported.

        A block of another node is left alone. Another serial than before is another pack: all that
        was known is forgotten.

        Args:
            block: the registers.
            t: seconds, when they were read; None if unknown.

        Raises:
            DecodeError: the block has no data or half a word.
        """
        if block.address != self._address:
            return
        values = decode_block(block.index, block.data)
        serial = values.get("serial")
        known = self._values.get("serial")
        if serial is not None and known is not None and serial != known:
            self._forget()
        self._t = t
        self._values |= values
        self._times |= dict.fromkeys(values, t)
        self._fresh |= values.keys()
        self._temperatures_raw |= temperatures_raw(block.index, block.data)
        cells = cell_slots(block.index, block.data)
        if cells is not None:
            self._receive_cells(*cells, t)

    def take(self, now: float | None) -> Snapshot | None:
        """Return what is known if anything is new, else None.

        Args:
            now: seconds; None takes whatever is new, however soon after the last snapshot.
        """
        if not self._fresh or self._is_too_soon(now):
            return None
        cell_count = self._count_cells()
        if not self._fresh:
            return None
        self._taken_at = self._t if now is None else now
        doubts = find_doubts(Report(self._values, self._times))
        if any(_CELLS in doubt.rows for doubt in doubts):
            cell_count = None
        snapshot = Snapshot(
            t=self._t,
            address=self._address,
            values=dict(self._values),
            times=dict(self._times),
            fresh=frozenset(self._fresh),
            cell_count=cell_count,
            doubts=doubts,
            temperatures_raw=dict(self._temperatures_raw),
        )
        self._fresh.clear()
        return snapshot

    def _forget(self) -> None:
        self._values: dict[str, Value] = {}
        self._times: dict[str, float | None] = {}
        self._temperatures_raw: dict[str, int] = {}
        self._slots: list[int | None] = [None] * MAX_CELLS
        self._slot_times: list[float | None] = [None] * MAX_CELLS
        # The last picture of all cells, and when it was taken.
        self._whole: tuple[tuple[int | None, ...], float | None] = ((), None)
        self._counter = CellCounter()
        self._fresh.clear()

    def _is_too_soon(self, now: float | None) -> bool:
        if now is None or self._taken_at is None:
            return False
        # A clock that went back must not silence the pack: then the interval is negative.
        return 0 <= now - self._taken_at < self._min_interval_s

    def _receive_cells(self, first: int, words: tuple[int, ...], t: float | None) -> None:
        for slot, read_at in enumerate(self._slot_times):
            if t is not None and read_at is not None and abs(t - read_at) > _ONE_PICTURE_S:
                self._slots[slot] = None
        end = first + len(words)
        self._slots[first:end] = words
        self._slot_times[first:end] = [t] * len(words)
        self._counter.receive(self._slots, end if first == 0 else 0)

    def _count_cells(self) -> int | None:
        """Count the cells, and give the cell row all of them."""
        if _CELLS not in self._values:
            return None
        count = self._counter.count(self._slots, Report(self._values, self._times))
        is_whole = None not in self._slots[:count]
        if not is_whole and len(self._whole[0]) == count:
            # The rest was read too long ago. A part is no picture, and nothing is wrong with cells
            # that were not asked for: what was known of them stands, with its age.
            self._values[_CELLS], self._times[_CELLS] = self._whole
            self._fresh.discard(_CELLS)
            return count
        if not live_cells(self._slots):
            # No board runs on cells that are all at 0 V: it has not measured them.
            self._values[_CELLS] = None
            return count or None
        cells = self._slots[:count]
        millivolts = tuple(None if mv == EMPTY_SLOT else mv for mv in cells)
        self._values[_CELLS] = millivolts
        read_at = [t for mv, t in zip(cells, self._slot_times, strict=False) if mv is not None]
        # Of a picture put together from two reads, the older one tells its age.
        self._times[_CELLS] = min((t for t in read_at if t is not None), default=None)
        if is_whole:
            self._whole = (millivolts, self._times[_CELLS])
        return count
