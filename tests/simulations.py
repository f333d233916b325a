"""Simulated scooters through the real replay path: what is raised, and what the causes are."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ninebot_bms import Chunk, Dialect, Observer
from packtap.analysis.open_events import OpenEvents
from packtap.model import Event, EventState, Severity
from packtap.replaying import replay
from packtap.simulated.day import STORIES
from packtap.simulated.fault_rows import FAULTS
from packtap.simulated.faults import Fault, FaultRow
from packtap.simulated.recording import Recorder
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.tap import Tap, TapSettings

__all__ = ["Case", "Told", "case", "tell"]


@dataclass(frozen=True, slots=True)
class Case:
    """One simulated capture and how it is recorded.

    Attributes:
        plan: the scooter.
        seconds: how much of it.
        dialect: of the bus.
        bus: how the second master asks, and how often the ESC polls (options of `Wires`).
        recorder: what the adapter makes of the bytes.
    """

    plan: Plan
    seconds: float
    dialect: Dialect = Dialect.XIAOMI
    bus: dict[str, Any] = field(default_factory=lambda: {"poll_s": 1.0})
    recorder: Recorder = field(default_factory=Recorder)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the recording."""
        wires = Wires(self.plan, self.dialect, **self.bus)
        return self.recorder.record(wires, self.seconds)


@dataclass(frozen=True, slots=True)
class Told:
    """What packtap made of it.

    Attributes:
        events: everything that was raised, in order.
        causes: probability of each.
    """

    events: tuple[Event, ...]
    causes: dict[str, float]

    @property
    def top(self) -> str:
        """The most probable cause."""
        return max(self.causes, key=lambda cause: self.causes[cause])

    @property
    def alarms(self) -> set[str]:
        """Kinds of warnings and worse that were raised."""
        return {event.kind for event in self.events if event.severity is not Severity.INFO}

    def cells(self, kind: str) -> set[int | None]:
        """Return the cells that a kind named."""
        return {event.cell for event in self.events if event.kind == kind}


def case(name: str, *, cell: int | None = None, severity: float = 0.5, **plan: Any) -> Case:
    """Return a case for a row of `FAULTS`, or for a story of a sound pack."""
    row: FaultRow | None = FAULTS.get(name)
    if row is None:
        story = STORIES[name]
        return Case(Plan(story=name, **plan), story.seconds)
    fault = Fault(row, cell, severity)
    options = {"soc_pct": row.soc_pct, **row.plan, **plan}
    story_s = STORIES[row.story].seconds
    return Case(Plan(story=row.story, faults=(fault,), **options), row.seconds or story_s)


def tell(simulated: Case) -> Told:
    """Replay a case through the same code as a recording of a real scooter."""
    tap, raised = Tap(TapSettings(), OpenEvents("simulated")), []
    for digest in replay(simulated.chunks(), tap, Observer()):
        raised += [event for event in digest.events if event.state is EventState.RAISED]
    causes = {ranked.cause.value: ranked.probability for ranked in tap.diagnose().causes}
    return Told(tuple(raised), causes)
