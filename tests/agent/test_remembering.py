"""The memories beside a tap: names that come late, restarts, swapped packs; from bytes."""

import json
from collections.abc import Sequence
from typing import Any

from ninebot_bms import BMS, Dialect, Frame, Observer
from ninebot_bms._encoding import encode
from ninebot_bms.emulator import RegisterImage
from packtap.analysis.open_events import OpenEvents
from packtap.memory.remembering import Remembering, Swapped
from packtap.model import Value
from packtap.tap import Tap, TapSettings

FIRST, SECOND = "3JDEA24M1D0815", "3JDEA24M1D0999"
SOUND = (3600,) * 10
LOW = (*(3600,) * 6, 2700, *(3600,) * 3)


def reply(index: int, size: int, **values: Value) -> bytes:
    data = RegisterImage(values).read(index, size)
    return encode(Frame(Dialect.XIAOMI, BMS, None, 0x01, index, data))


class Run:
    """One run of an agent: packs one after the other, each telling its serial a little late."""

    def __init__(
        self,
        saved: dict[str, Any],
        packs: Sequence[tuple[str, tuple[int, ...]]],
        boot: str,
        last: str | None = None,
    ) -> None:
        self.tap = Tap(TapSettings(), OpenEvents("store"))
        self.memories = Remembering(self.tap, boot, saved.get, lambda _: last)
        self.swapped: list[Swapped] = []
        self._observer, self._t = Observer(), 1000.0
        for serial, cells in packs:
            for turn in range(12):
                if turn > 3:
                    self._say(reply(0x10, 16, serial=serial))
                moved = tuple(mv - turn % 2 for mv in cells)
                self._say(reply(0x40, 30, cell_voltages_mv=moved))
        self.swapped += self.memories.take(self.tap.idle(None))
        for memory in self.memories.named():
            saved[memory.pack] = json.loads(json.dumps(memory.as_document()))

    def _say(self, frame: bytes) -> None:
        self._t += 0.5
        for happened in (
            self._observer.idle(self._t),
            self._observer.receive_data(frame, "bms", self._t),
        ):
            self.swapped += self.memories.take(self.tap.digest(happened))

    @property
    def causes(self) -> list[tuple[str, float]]:
        """Causes with their probabilities, most probable first."""
        ranked = self.tap.diagnose().causes
        return [(entry.cause.value, round(entry.probability, 4)) for entry in ranked]


def test_what_was_found_before_the_name_is_remembered_under_it() -> None:
    saved: dict[str, Any] = {}
    run = Run(saved, [(FIRST, LOW)], "boot-a")
    assert list(saved) == [FIRST]
    assert "cell_undervoltage" in run.tap.evidence.raised
    assert run.memories.main is not None
    assert run.memories.main.evidence is run.tap.evidence
    assert run.swapped == []


def test_a_restart_gives_the_diagnosis_that_was() -> None:
    saved: dict[str, Any] = {}
    before = Run(saved, [(FIRST, LOW)], "boot-a").causes
    run = Run(saved, [(FIRST, SOUND)], "boot-b")
    assert run.causes == before
    assert before[0][0] == "cell_damage"
    assert run.memories.main is not None
    totals = run.memories.main.totals
    assert (totals.starts, totals.boots) == (2, 2)


def test_a_swapped_pack_keeps_its_own_memory_and_gets_it_back() -> None:
    saved: dict[str, Any] = {}
    run = Run(saved, [(FIRST, LOW), (SECOND, SOUND), (FIRST, SOUND)], "boot-a")
    assert [(each.before, each.now) for each in run.swapped] == [(FIRST, SECOND), (SECOND, FIRST)]
    assert "cell_undervoltage" in run.tap.evidence.raised
    assert saved.keys() == {FIRST, SECOND}
    assert saved[SECOND]["evidence"]["cells"] == {}
    assert saved[SECOND]["before"] == FIRST


def test_a_pack_that_was_swapped_while_nobody_listened_is_noticed() -> None:
    run = Run({}, [(SECOND, SOUND)], "boot-b", last=FIRST)
    assert run.swapped == [Swapped(BMS, FIRST, SECOND)]
    assert Run({}, [(SECOND, SOUND)], "boot-b", last=SECOND).swapped == []


def test_a_pack_without_a_name_is_remembered_by_nobody() -> None:
    saved: dict[str, Any] = {}
    run = Run(saved, [("ABC 12 34 5678", SOUND)], "boot-a")
    assert run.memories.main is not None
    assert saved == {}
