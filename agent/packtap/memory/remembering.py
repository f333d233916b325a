"""The memories of the packs on one bus, beside their tap, floor 2.

A pack is remembered under its serial. What was found out before the serial was read goes into its
memory once it is; a pack whose serial cannot be read is remembered by nobody. Another serial at the
same place is a swapped pack: each keeps its own memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ninebot_bms import BMS
from packtap.memory.pack_memory import PackMemory
from packtap.model import Event
from packtap.tap import Digest, Tap

__all__ = ["Remembering", "Swapped"]

#: Memories of packs that are gone and wait to be saved; more were never swapped within minutes.
_MOST_LEFT = 16


@dataclass(frozen=True, slots=True)
class Swapped:
    """A pack took the place of another one."""

    place: int
    before: str
    now: str


class Remembering:
    """Keeps one memory a place.

    Args:
        tap: judges; its evidence is what is remembered, from before and from now.
        boot: id of this boot.
        recall: returns the document that was saved of a pack, None if there is none.
        last_pack: returns the pack that was at a place when something was saved last.
    """

    def __init__(
        self,
        tap: Tap,
        boot: str,
        recall: Callable[[str], Mapping[str, object] | None] = lambda _: None,
        last_pack: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        self._tap = tap
        self._boot = boot
        self._recall = recall
        self._last_pack = last_pack
        self._here: dict[int, PackMemory] = {}
        self._left: dict[str, PackMemory] = {}
        for place, pack in tap.places.items():
            # A tap that goes on after a restart knows the evidence already, and newer.
            memory = self._here[place] = self._remembered(pack, place)
            memory.totals.resume(tap.gauges(place))
            if place == BMS:
                memory.evidence = tap.evidence

    @property
    def main(self) -> PackMemory | None:
        """Memory of the pack at the main address; None before it has reported anything."""
        return self._here.get(BMS)

    @property
    def here(self) -> tuple[PackMemory, ...]:
        """Memories of the packs that are on the bus, the main one first."""
        return tuple(self._here[place] for place in sorted(self._here))

    def take(self, digest: Digest) -> Iterator[Swapped]:
        """Take what the tap has just given; yield each swap that it shows."""
        for pack, snapshot in digest.snapshots:
            place = snapshot.address
            memory = self._here.get(place)
            if memory is None or memory.pack != pack:
                yield from self._arrive(pack, place, memory)
                memory = self._here[place]
            memory.look(snapshot)
            memory.gauge(self._tap.gauges(place))
        for event in digest.events:
            for memory in self._here.values():
                if memory.pack == event.pack:
                    memory.note([event])

    def date(self, utc_offset_s: float, now_h: float, open_events: Iterable[Event]) -> None:
        """Date what waits, now that the clock is known; let evidence grow old.

        Args:
            utc_offset_s: UTC minus boot time.
            now_h: UTC hours since 1970.
            open_events: what is raised now, on any pack.
        """
        raised = list(open_events)
        for memory in (*self._here.values(), *self._left.values()):
            if memory is not self.main:
                memory.date(utc_offset_s, now_h, raised)
                continue
            memory.evidence = known = self._tap.evidence
            memory.date(utc_offset_s, now_h, raised)
            if memory.evidence is not known:
                self._tap.evidence = memory.evidence

    def named(self) -> Iterator[PackMemory]:
        """Yield the memories worth saving: those of packs with a serial, as they are now."""
        main = self.main
        if main is not None:
            main.evidence = self._tap.evidence
        for memory in (*self._left.values(), *self._here.values()):
            if memory.pack != self._tap.unknown(memory.place):
                yield memory

    def saved(self) -> None:
        """Note that all have been handed on; those that are gone need no longer be held."""
        self._left.clear()

    def stop(self) -> None:
        """End what is being averaged."""
        for memory in self._here.values():
            memory.rest()

    def _arrive(self, pack: str, place: int, before: PackMemory | None) -> Iterator[Swapped]:
        unknown = self._tap.unknown(place)
        if pack == unknown:
            # The name of a pack is never unlearned: this is the first that is heard of it.
            self._here[place] = self._begun(PackMemory(pack, place))
            return
        fresh = self._here[place] = self._remembered(pack, place)
        gone: str | None = None
        if before is None or before.pack == unknown:
            last = self._last_pack(place)
            gone = None if last == pack else last
            if before is not None:
                fresh.absorb(before)
        else:
            before.rest()
            gone = before.pack
            self._left[gone] = before
            while len(self._left) > _MOST_LEFT:
                del self._left[next(iter(self._left))]
        if place == BMS:
            fresh.evidence = self._tap.evidence = fresh.evidence.merged(self._tap.evidence)
        if gone is not None:
            fresh.before = gone
            fresh.revision += 1
            yield Swapped(place, gone, pack)

    def _remembered(self, pack: str, place: int) -> PackMemory:
        left = self._left.pop(pack, None)
        if left is not None:
            left.place = place
            return left
        document = self._recall(pack)
        if document is None:
            return self._begun(PackMemory(pack, place))
        return self._begun(PackMemory.from_document(document, pack, place))

    def _begun(self, memory: PackMemory) -> PackMemory:
        memory.begin(self._boot)
        return memory
