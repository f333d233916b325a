"""Snapshots and stories for the tests of the analysis: what a pack reported, moment by moment."""

from collections.abc import Callable, Iterable, Iterator

from ninebot_bms import BMS, Snapshot
from packtap.analysis.finding import Finding
from packtap.analysis.open_events import OpenEvents
from packtap.model import Event, EventState, Value

__all__ = ["judge", "raised", "snapshot"]

#: Ten cells as a healthy pack shows them, millivolts.
HEALTHY = (3801, 3803, 3800, 3802, 3799, 3801, 3804, 3800, 3802, 3801)


def snapshot(t: float | None, /, **values: Value) -> Snapshot:
    """Return a snapshot in which all these values were read at `t`."""
    return Snapshot(
        t=t,
        address=BMS,
        values=values,
        times=dict.fromkeys(values, t),
        fresh=frozenset(values),
        cell_count=None,
        doubts=(),
        temperatures_raw={},
    )


def judge(
    update: Callable[[Snapshot], Iterable[Finding]], story: Iterable[Snapshot]
) -> list[Event]:
    """Return the events that a check's findings give, over the whole story."""
    open_events = OpenEvents("test")
    return [event for each in story for event in open_events.apply("pack", update(each))]


def raised(events: Iterable[Event]) -> Iterator[tuple[str, int | None]]:
    """Yield kind and cell of each event that was raised."""
    return ((e.kind, e.cell) for e in events if e.state is EventState.RAISED)
