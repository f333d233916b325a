"""When what is known of a pack is handed on to be saved, and what a kill can cost."""

from collections.abc import Mapping
from typing import Any, cast

from ninebot_bms import BMS
from packtap.analysis.gauged import Gauged, PackGauges
from packtap.analysis.open_events import OpenEvents
from packtap.clock import Clock
from packtap.keeping import Keeper
from packtap.knowing import Knowing
from packtap.store import KeptMemory
from packtap.tap import Digest, Tap, TapSettings
from stories import snapshot

PACK = "3JDEA24M1D0815"
OFFSET_MS = 1_785_600_000_000


class Hands:
    """Stands for clock, keeper and the gauges of the checks; time is set from outside."""

    boot_id = "boot-a"

    def __init__(self) -> None:
        self.now = 0.0
        self.saved: list[tuple[float, KeptMemory]] = []
        self.kept: dict[str, Mapping[str, object]] = {}
        self.store = self

    def boot_s(self) -> float:
        return self.now

    def utc_offset_ms(self) -> int:
        return OFFSET_MS

    def add(self, *_: object) -> None:
        """Take a message."""

    def remember(self, memory: KeptMemory) -> None:
        self.saved.append((self.now, memory))
        self.kept[memory.pack] = memory.document

    def remembered(self, pack: str) -> Mapping[str, object] | None:
        return self.kept.get(pack)

    def memory(self, pack: str) -> None:
        """Nothing is on disk."""

    def last_pack(self, place: int) -> None:
        """Nobody was here."""


class RestingTap(Tap):
    """A tap whose checks gauge a resting pack: cell 7 is 4 points low."""

    def gauges(self, address: int) -> PackGauges:
        del address
        return PackGauges(rest_pct=Gauged(self.gauged_t, {7: -4.0}, 0.06))

    gauged_t = 0.0


def lived(hands: Hands, minutes: int, *, is_gauged: bool = True) -> None:
    """Let an agent read a pack once a minute; nothing is ended, as before a kill."""
    tap = RestingTap(TapSettings(), OpenEvents("store"))
    knowing = Knowing(cast(Clock, hands), cast(Keeper, hands), tap)
    for _ in range(minutes):
        hands.now += 60.0
        tap.gauged_t = hands.now if is_gauged else 0.0
        knowing.take(Digest([(PACK, snapshot(hands.now, serial=PACK))]))
        knowing.pass_time(hands.now)


def points_of(document: Mapping[str, Any]) -> list[list[float]]:
    trends: dict[str, list[list[float]]] = document["trends"]["rest_pct"]
    return trends.get("7", [])


def test_a_kill_costs_ten_minutes_of_what_is_being_averaged() -> None:
    hands = Hands()
    lived(hands, 35)
    assert [round(t / 60) for t, _ in hands.saved] == [10, 20, 30]
    assert hands.saved[-1][1].place == BMS
    ((_, value, _),) = points_of(hands.kept[PACK])
    assert value == -4.0


def test_what_comes_after_a_kill_becomes_part_of_what_was_saved() -> None:
    hands = Hands()
    lived(hands, 35)
    before = points_of(hands.kept[PACK])
    lived(hands, 35)
    after = points_of(hands.kept[PACK])
    assert 1 <= len(after) <= 2
    assert after[-1][0] > before[-1][0]
    totals = cast("dict[str, Any]", hands.kept[PACK]["totals"])
    assert totals["starts"] == 2


def test_counters_alone_are_written_once_an_hour() -> None:
    hands = Hands()
    lived(hands, 125, is_gauged=False)
    assert [round(t / 60) for t, _ in hands.saved][1:] == [60, 120]
