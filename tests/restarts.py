"""A tap that is restarted again and again, through JSON text, as the agent does it with a file.

    PYTHONPATH=tests python tests/restarts.py FOLDER ... [--simulated]

replays every capture in the folders, and every fault that can be simulated, with and without
restarts, and says where they differ.
"""

import json
import random
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ninebot_bms import BusEvent, Chunk, Observer
from packtap.analysis.diagnosis import Diagnosis
from packtap.analysis.evidence import Evidence
from packtap.analysis.finding import Finding
from packtap.analysis.open_events import OpenEvents
from packtap.inputs import open_capture
from packtap.model import Event
from packtap.replaying import replay
from packtap.simulated.fault_rows import FAULTS
from packtap.tap import Digest, Tap, TapSettings
from simulations import case

__all__ = ["Restarted", "Story", "restarted", "told"]


def restarted(tap: Tap, deaf_since: float | None = None, now: float | None = None) -> Tap:
    """Return what a new process makes of what this tap leaves behind."""
    now = deaf_since or 0.0 if now is None else now
    text = json.dumps(tap.state(), allow_nan=False)
    opened = tap.open_events
    again = OpenEvents(opened._origin, opened.all(), opened._counter)
    fresh = Tap.resumed(tap._settings, again, json.loads(text), deaf_since, now)
    if deaf_since is None:
        assert json.dumps(fresh.state()) == json.dumps(json.loads(text))
    return fresh


class Restarted:
    """Stands for a tap; between two bus events it may be restarted.

    Args:
        tap: the first one.
        chance: decides where.
        share: of the moments, at which it is.
    """

    def __init__(self, tap: Tap, chance: random.Random, share: float) -> None:
        self.tap = tap
        self.restarts = 0
        self._chance = chance
        self._share = share

    def _maybe(self) -> Tap:
        if self._chance.random() < self._share:
            self.tap = restarted(self.tap)
            self.restarts += 1
        return self.tap

    def digest(self, happened: Iterable[BusEvent]) -> Digest:
        result = Digest()
        for event in happened:
            digest = self._maybe().digest([event])
            result.snapshots += digest.snapshots
            result.events += digest.events
            result.renamed += digest.renamed
        return result

    def idle(self, now: float | None) -> Digest:
        return self._maybe().idle(now)

    def report(self, finding: Finding) -> list[Event]:
        return self._maybe().report(finding)

    @property
    def evidence(self) -> Evidence:
        return self.tap.evidence


@dataclass
class Story:
    """What a recording gave."""

    events: list[Event] = field(default_factory=list)
    snapshots: int = 0
    diagnosis: Diagnosis | None = None
    restarts: int = 0


def told(chunks: Iterable[Chunk], share: float, seed: int = 0, *, bench: bool = False) -> Story:
    """Replay with restarts at this share of the bus events."""
    tap = Tap(TapSettings(rested=bench), OpenEvents("test"))
    stand_in = Restarted(tap, random.Random(seed), share)
    story = Story()
    for digest in replay(chunks, cast("Tap", stand_in), Observer()):
        story.events += [*digest.renamed, *digest.events]
        story.snapshots += len(digest.snapshots)
    story.diagnosis = stand_in.tap.diagnose()
    story.restarts = stand_in.restarts
    return story


def recorded(path: Path) -> Iterator[Chunk]:
    """Yield the chunks of a capture."""
    with open_capture(str(path)) as chunks:
        yield from chunks


def captures(arguments: Iterable[str]) -> Iterator[tuple[str, list[Chunk]]]:
    """Yield every capture of some folders, or every simulated fault, with its name."""
    for argument in arguments:
        if argument == "--simulated":
            for name, row in FAULTS.items():
                yield name, list(case(name, cell=3 if row.per_cell else None).chunks())
            continue
        for path in sorted(Path(argument).glob("*.log.gz")):
            yield path.name, list(recorded(path))


def main() -> int:
    """Compare every capture."""
    same = count = restarts = events = 0
    for name, chunks in captures(sys.argv[1:]):
        without = told(chunks, 0.0)
        # Some dozens of restarts, however long the capture.
        again = told(chunks, 3 / max(1, without.snapshots), seed=sum(name.encode()))
        is_same = (again.events, again.diagnosis) == (without.events, without.diagnosis)
        is_same &= again.snapshots == without.snapshots
        count, same, restarts = count + 1, same + is_same, restarts + again.restarts
        events += len(without.events)
        if not is_same:
            print(f"{name}: another story after {again.restarts} restarts")
    print(f"{same} of {count} captures the same, {events} events, {restarts} restarts")
    return int(same < count)


if __name__ == "__main__":
    sys.exit(main())
