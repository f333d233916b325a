"""Everything that is remembered of one pack: one document of bounded size, floor 2.

The form has a version, but is read by what is understood of it: a part that is missing, damaged or
of a newer packtap is left out, and the rest goes on. So an update loses nothing, and going back to
an older packtap loses only what that one does not know.

Evidence for the diagnosis is kept in two generations. The older one holds the last 30 to 60 days
and is what the diagnosis uses; the younger one begins with each change and takes the older one's
place after 30 days. So what was cleared a month or two ago no longer counts (`defects.BY_ACCIDENT`
speaks of a month), and what still stands does.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ninebot_bms import Snapshot
from packtap.analysis.evidence import Evidence
from packtap.analysis.gauged import PackGauges
from packtap.memory.identity import Identity
from packtap.memory.kept import (
    MOST_CELLS,
    MOST_WAITING,
    Waiting,
    by_cell,
    digits,
    evidence_of,
    numbers_of,
    points_of,
    time_of,
    waiting_of,
)
from packtap.memory.quantities import QUANTITIES, Quantity
from packtap.memory.stretch import Ended, Stretch
from packtap.memory.totals import Totals
from packtap.memory.trend import Trend
from packtap.model import Event

__all__ = ["VERSION", "PackMemory"]

VERSION: Final = 1
_GENERATION_H: Final = 720.0


class PackMemory:
    """The memory of one pack.

    Args:
        pack: its serial.
        place: its address on the bus.

    Attributes:
        before: the pack that was at this place before this one; None if it was always this one.
        identity: what the pack has said of itself.
        totals: counters.
        evidence: what the diagnosis uses.
        first_h: UTC hours when it was seen first; None while no clock was known.
        last_h: when it was seen last.
        revision: changes with everything that is worth saving soon.
    """

    def __init__(self, pack: str, place: int) -> None:
        self.pack = pack
        self.place = place
        self.before: str | None = None
        self.identity = Identity()
        self.totals = Totals()
        self.evidence = Evidence()
        self.first_h: float | None = None
        self.last_h: float | None = None
        self.revision = 0
        self._young = Evidence()
        self._generation_h: float | None = None
        self._boot: str | None = None
        self._trends: dict[tuple[str, int], Trend] = {}
        self._latest: dict[tuple[str, int], tuple[float, float]] = {}
        self._stretches = {row.name: Stretch() for row in QUANTITIES}
        self._waiting: list[Waiting] = []
        self._utc_offset_s: float | None = None

    # Taking.

    def begin(self, boot: str) -> None:
        """Note that an agent has started to read this pack.

        Args:
            boot: id of its machine's boot: what waits for a date from another one never gets it.
        """
        self.totals.starts += 1
        if boot != self._boot:
            self.totals.boots += 1
            self.totals.undated += len(self._waiting)
            self._waiting.clear()
        self._boot = boot

    def look(self, snapshot: Snapshot) -> None:
        """Take what the pack says of itself, and how long it was watched."""
        self.revision += self.identity.look(snapshot)
        self.totals.look(snapshot)
        self._young.look(snapshot)

    def gauge(self, gauges: PackGauges) -> None:
        """Take the numbers behind the verdicts."""
        self.totals.count(gauges)
        for row in QUANTITIES:
            self._keep(row, self._stretches[row.name].take(getattr(gauges, row.name)))

    def rest(self) -> None:
        """End what is being averaged: the agent stops, or the pack is gone."""
        for row in QUANTITIES:
            self._keep(row, self._stretches[row.name].end())

    def note(self, events: Iterable[Event]) -> None:
        """Take events of this pack into what will be evidence in a month."""
        listed = list(events)
        self._young.take(listed)
        for event in listed:
            self.totals.events[event.kind] += event.state == "raised"
            self.revision += 1

    def date(self, utc_offset_s: float, now_h: float, open_events: Iterable[Event]) -> None:
        """Give what waits its time; let evidence grow old.

        Args:
            utc_offset_s: UTC minus boot time.
            now_h: UTC hours since 1970.
            open_events: what is raised on this pack: evidence, however old it is.
        """
        self._utc_offset_s = utc_offset_s
        for waiting in self._waiting:
            if (point := waiting.dated(utc_offset_s)) is not None:
                self._trend(waiting.quantity, waiting.ended.cell).add(point)
        self.revision += bool(self._waiting)
        self._waiting.clear()
        self.first_h = now_h if self.first_h is None else min(self.first_h, now_h)
        self.last_h = now_h
        if self._generation_h is None or now_h < self._generation_h:
            self._generation_h = now_h
        if now_h - self._generation_h >= _GENERATION_H:
            self._grow_old(now_h, open_events)

    def absorb(self, other: "PackMemory") -> None:
        """Take what was learned of this pack before its name was known."""
        self.identity.absorb(other.identity)
        self.totals.absorb(other.totals)
        self.evidence = self.evidence.merged(other.evidence)
        self._young = self._young.merged(other._young)
        self._latest |= other._latest
        self._stretches = other._stretches
        for (name, cell), trend in other._trends.items():
            for point in trend.points:
                self._trend(name, cell).add(point)
        self._waiting += other._waiting
        self.revision += 1

    # Asking.

    @property
    def cells(self) -> int:
        """Number of cells, as far as it is known."""
        told = self.identity.known.get("cell_count")
        count = 0 if told is None or isinstance(told, str) else min(int(told), MOST_CELLS)
        return max([count, *(cell for _, cell in (*self._latest, *self._trends))])

    def latest(self, quantity: str) -> Mapping[int, float]:
        """Return the latest value by cell: of the stretch that goes on, or of the last one."""
        kept = {
            cell: value for (name, cell), (value, _) in self._latest.items() if name == quantity
        }
        return kept | self._stretches[quantity].means()

    def latest_error(self, quantity: str, cell: int) -> float | None:
        """Return the standard error of the latest value of a stretch that is over."""
        known = self._latest.get((quantity, cell))
        return None if known is None else known[1]

    def trends(self, quantity: str) -> Mapping[int, Trend]:
        """Return the trends of a quantity, by cell."""
        return {cell: trend for (name, cell), trend in self._trends.items() if name == quantity}

    @property
    def waiting(self) -> int:
        """Points that wait for a known clock."""
        return len(self._waiting)

    @property
    def progress(self) -> tuple[int, int]:
        """Changes with everything that is worth saving: what was learned, what is averaged."""
        return self.revision, sum(stretch.readings for stretch in self._stretches.values())

    # Keeping.

    def as_document(self) -> dict[str, object]:
        """Return everything as JSON can keep it; what is being averaged as if it ended now."""
        latest, trends, waiting = self._as_if_ended()
        return {
            "v": VERSION,
            "pack": self.pack,
            "place": self.place,
            "before": self.before,
            "first_h": self.first_h,
            "last_h": self.last_h,
            "identity": self.identity.as_document(),
            "totals": self.totals.as_document(),
            "evidence": self.evidence.state(),
            "young": self._young.state(),
            "generation_h": self._generation_h,
            "latest": {
                row.name: {
                    str(cell): [round(value, row.digits + 1), digits(error)]
                    for (name, cell), (value, error) in sorted(latest.items())
                    if name == row.name
                }
                for row in QUANTITIES
            },
            "trends": {
                row.name: {
                    str(cell): [
                        [round(p.t_h, 2), round(p.value, row.digits + 1), digits(p.error)]
                        for p in trend.points
                    ]
                    for (name, cell), trend in sorted(trends.items(), key=lambda item: item[0])
                    if name == row.name
                }
                for row in QUANTITIES
            },
            "boot": self._boot,
            "waiting": [
                [each.quantity, each.ended.cell, round(each.ended.t, 1), each.ended.value,
                 each.ended.error]
                for each in waiting
            ],
        }  # fmt: skip

    @classmethod
    def from_document(cls, document: Mapping[str, object], pack: str, place: int) -> "PackMemory":
        """Return what `as_document` described; what is not understood is left out."""
        memory = cls(pack, place)
        before, boot = document.get("before"), document.get("boot")
        memory.before = before if isinstance(before, str) else None
        memory._boot = boot if isinstance(boot, str) else None
        memory.first_h, memory.last_h, memory._generation_h = (
            time_of(document.get(name)) for name in ("first_h", "last_h", "generation_h")
        )
        memory.identity = Identity.from_document(document.get("identity"))
        memory.totals = Totals.from_document(document.get("totals"))
        memory.evidence = evidence_of(document.get("evidence"))
        memory._young = evidence_of(document.get("young"))
        for row, cell, kept in by_cell(document.get("latest")):
            if (numbers := numbers_of(kept, 2)) is not None and numbers[1] > 0:
                memory._latest[row.name, cell] = (numbers[0], numbers[1])
        for row, cell, kept in by_cell(document.get("trends")):
            if points := list(points_of(kept)):
                memory._trends[row.name, cell] = Trend(points)
        memory._waiting = list(waiting_of(document.get("waiting")))
        return memory

    def _keep(self, row: Quantity, ended: Iterator[Ended]) -> None:
        for each in ended:
            if not 0 <= each.cell <= MOST_CELLS:
                continue
            self._latest[row.name, each.cell] = (each.value, each.error)
            self._waiting.append(Waiting(row.name, each))
            self.revision += 1
        excess = len(self._waiting) - MOST_WAITING
        if excess > 0:
            del self._waiting[:excess]
            self.totals.undated += excess

    def _as_if_ended(
        self,
    ) -> tuple[
        dict[tuple[str, int], tuple[float, float]], dict[tuple[str, int], Trend], list[Waiting]
    ]:
        """Return latest values, trends and waiting points with what is being averaged."""
        latest, trends, waiting = dict(self._latest), dict(self._trends), list(self._waiting)
        for row in QUANTITIES:
            for ended in self._stretches[row.name].so_far():
                key = (row.name, ended.cell)
                if not 0 <= ended.cell <= MOST_CELLS:
                    continue
                latest[key] = (ended.value, ended.error)
                each = Waiting(row.name, ended)
                if self._utc_offset_s is None:
                    waiting.append(each)
                elif (point := each.dated(self._utc_offset_s)) is not None:
                    trends[key] = Trend(trends[key].points if key in trends else ())
                    trends[key].add(point)
        return latest, trends, waiting[-MOST_WAITING:]

    def _trend(self, quantity: str, cell: int) -> Trend:
        return self._trends.setdefault((quantity, cell), Trend())

    def _grow_old(self, now_h: float, open_events: Iterable[Event]) -> None:
        self._generation_h = now_h
        fresh = self._young
        fresh.exposure = self.evidence.exposure
        fresh.judged |= self.evidence.judged
        fresh.observed = self.evidence.observed
        self.evidence, self._young = fresh, Evidence()
        standing = [event for event in open_events if event.pack == self.pack]
        for generation in (self.evidence, self._young):
            generation.take([event for event in standing if event.kind not in generation.cells])
        self.revision += 1
