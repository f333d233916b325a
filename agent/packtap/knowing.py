"""What is known of the packs: their memories, the diagnosis, their health, floor 4.

Beside the agent's loop: it hands in what the tap gave and lets time pass once a second. From here
come the `health` messages (hourly, on news, and when events come or go), the retained `diagnosis`,
the keys `diagnosis` and `health` of the now-file, and what the store is to remember.

A memory is handed to the next flush at most every ten minutes (an SD card wears out), and at once
with an event; what is being averaged goes along as if it ended now. So a power cut costs ten
minutes and `flush_s` of what takes months to learn; only counters (readings, hours, charge) and how
much was seen can be an hour old, where nothing was learned in it.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ninebot_bms import BMS
from packtap.analysis.diagnosis import Diagnosis
from packtap.clock import Clock
from packtap.errors import StoreError
from packtap.keeping import Keeper
from packtap.memory.health import Health, has_changed
from packtap.memory.pack_memory import PackMemory
from packtap.memory.remembering import Remembering
from packtap.present import as_payload
from packtap.store import KeptMemory
from packtap.tap import Digest, Tap
from packtap.wire import HealthValue

__all__ = ["Knowing"]

_log = logging.getLogger("packtap.agent.knowing")

#: How much has been seen is in the words, and changes with every reading.
_RANK_EVERY_S: Final = 60.0
_HEALTH_EVERY_S: Final = 3600.0
#: News are told at most this often; what an event changes, at once.
_NEWS_EVERY_S: Final = 60.0
_SAVE_EVERY_S: Final = 600.0
#: Counters alone are no reason to write.
_SAVE_AT_LEAST_S: Final = 3600.0
#: A probability that moved by more than this is news.
_MOVED: Final = 0.05


@dataclass(slots=True)
class _Said:
    """What was told of one pack."""

    told_at: float = float("-inf")
    rows: Mapping[str, HealthValue] = field(default_factory=dict)
    causes: Mapping[str, float] = field(default_factory=dict)


class Knowing:
    """Keeps what is known of the packs on one bus.

    Args:
        clock: boot time, boot id, and UTC once it is known.
        keeper: holds the store; takes messages and memories.
        tap: judges.
    """

    def __init__(self, clock: Clock, keeper: Keeper, tap: Tap) -> None:
        self._clock = clock
        self._keeper = keeper
        self._tap = tap
        self._remembering = Remembering(tap, clock.boot_id, self._recall, self._last_pack)
        self._health: dict[str, Health] = {}
        self._said: dict[str, _Said] = {}
        self._saved: dict[str, tuple[int, int]] = {}
        self._save_due = clock.boot_s() + _SAVE_EVERY_S
        self._counted_due = clock.boot_s() + _SAVE_AT_LEAST_S
        self._is_urgent = False
        self._known_by: object = None
        self._rank_due = 0.0
        self._diagnosis: Diagnosis | None = None
        self._retained: dict[str, object] | None = None

    def take(self, digest: Digest) -> None:
        """Take what the tap has just given, before its events are committed."""
        for swapped in self._remembering.take(digest):
            _log.warning(
                "pack %s is here now, %s was: each keeps its own memory",
                swapped.now,
                swapped.before,
            )
            self._is_urgent = True
        if digest.events:
            self._is_urgent = True
            self._save_memories(self._clock.boot_s())

    def pass_time(self, now: float) -> None:
        """Date what waits, tell what is news, save what is worth it; about once a second."""
        offset_ms = self._clock.utc_offset_ms()
        now_h = None if offset_ms is None else (now + offset_ms / 1000) / 3600
        if offset_ms is not None and now_h is not None:
            self._remembering.date(offset_ms / 1000, now_h, self._tap.open_events.all())
        self._rank(now)
        for memory in self._remembering.here:
            self._tell(memory, now, now_h)
        self._is_urgent = False
        if now >= self._save_due:
            self._save_memories(now)

    def before(self, pack: str) -> str | None:
        """Return the pack that was in this one's place; None if none was."""
        return next((m.before for m in self._remembering.here if m.pack == pack), None)

    def document(self) -> dict[str, object]:
        """Return the keys of the now-file: `diagnosis` and `health` of the main pack."""
        main = self._remembering.main
        said = None if main is None else self._said.get(main.pack)
        told = self._diagnosis
        return {
            "diagnosis": None if told is None else told.as_document(),
            "health": None if said is None else dict(said.rows),
            "pack_before": None if main is None else main.before,
        }

    def retained(self, head: Mapping[str, object]) -> Iterator[tuple[str, bytes]]:
        """Yield the retained message `diagnosis`, if there is one.

        Args:
            head: who speaks, of which pack, when.
        """
        if self._diagnosis is not None:
            document = self._diagnosis.as_document()
            self._retained = document
            yield "diagnosis", as_payload({**head, "pack": self._tap.pack, **document})

    @property
    def has_news(self) -> bool:
        """Whether the diagnosis says something else than what was retained last."""
        return self._diagnosis is not None and self._diagnosis.as_document() != self._retained

    def stop(self) -> None:
        """Hand on everything that is to be remembered: the agent stops."""
        self._remembering.stop()
        offset_ms = self._clock.utc_offset_ms()
        if offset_ms is not None:
            now_h = (self._clock.boot_s() + offset_ms / 1000) / 3600
            self._remembering.date(offset_ms / 1000, now_h, self._tap.open_events.all())
        self._hand_on(list(self._remembering.named()))

    def _rank(self, now: float) -> None:
        """Diagnose anew if anything that the diagnosis rests on has changed, or a minute later."""
        evidence = self._tap.evidence
        if not evidence.judged and not evidence.cells and not evidence.signs:
            self._diagnosis = None  # nothing was judged: no ranking may look as if it had been
            return
        state = evidence.state()
        state.pop("exposure")
        if state != self._known_by or now >= self._rank_due:
            self._known_by = state
            self._rank_due = now + _RANK_EVERY_S
            self._diagnosis = self._tap.diagnose()

    def _tell(self, memory: PackMemory, now: float, now_h: float | None) -> None:
        """Queue a `health` message if it is time, or if there is news."""
        said = self._said.setdefault(memory.pack, _Said())
        health = self._health.setdefault(memory.pack, Health())
        rows = health.rows(memory, now_h, self._tap.limits(memory.place))
        causes = self._causes() if memory.place == BMS else {}
        is_news = (
            has_changed(said.rows, rows)
            or causes.keys() != said.causes.keys()
            or any(abs(share - said.causes[cause]) > _MOVED for cause, share in causes.items())
        )
        silent_s = now - said.told_at
        if not (
            self._is_urgent
            or silent_s >= _HEALTH_EVERY_S
            or (is_news and silent_s >= _NEWS_EVERY_S)
        ):
            return
        known = {name: value for name, value in rows.items() if value is not None}
        if not known and not causes:
            return
        self._said[memory.pack] = _Said(now, rows, causes)
        body = {"rows": known, "causes": causes}
        self._keeper.add("health", memory.pack, (round(now * 1000),), body)

    def _causes(self) -> dict[str, float]:
        if self._diagnosis is None:
            return {}
        return {entry.cause.value: round(entry.probability, 6) for entry in self._diagnosis.causes}

    def _save_memories(self, now: float) -> None:
        """Hand on the memories that have changed, for the next commit."""
        self._save_due = now + _SAVE_EVERY_S
        is_counted = now >= self._counted_due
        if is_counted:
            self._counted_due = now + _SAVE_AT_LEAST_S
        self._hand_on(
            [
                memory
                for memory in self._remembering.named()
                if is_counted or self._is_urgent or memory.progress != self._saved.get(memory.pack)
            ]
        )

    def _hand_on(self, memories: list[PackMemory]) -> None:
        for memory in memories:
            self._saved[memory.pack] = memory.progress
            self._keeper.remember(KeptMemory(memory.pack, memory.place, memory.as_document()))
        self._remembering.saved()
        here = {memory.pack for memory in self._remembering.here}
        for told in (self._health, self._said, self._saved):
            for pack in told.keys() - here:
                del told[pack]

    def _recall(self, pack: str) -> Mapping[str, object] | None:
        waiting = self._keeper.remembered(pack)
        if waiting is not None:
            return waiting
        try:
            return self._keeper.store.memory(pack)
        except StoreError as error:
            _log.warning("what was remembered of pack %s cannot be read: %s", pack, error)
            return None

    def _last_pack(self, place: int) -> str | None:
        try:
            return self._keeper.store.last_pack(place)
        except StoreError:
            return None
