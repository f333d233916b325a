"""A case made of what a store holds, floor 4: no recording, but weeks of readings.

The page offers it of every pack. What it is made of is said in it: courses are the store's own
points (lowest, mean, highest), events are those of the last 30 days and what is open, and the
ranking comes from the first of these that there is: what the running agent tells; what an agent
remembered of this pack; the stored events alone.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from ninebot_bms import BMS, Snapshot
from ninebot_bms.quirks import Report, find_doubts
from packtap import kinds
from packtap.analysis.diagnosis import Diagnosis, diagnose
from packtap.analysis.evidence import Evidence
from packtap.config import Prices
from packtap.errors import PacktapError
from packtap.memory.pack_memory import PackMemory
from packtap.model import Event, EventState, Severity, Value
from packtap.report.case import Case, make_case
from packtap.report.gather import Gathered
from packtap.report.source import Source
from packtap.report.told import diagnosis_told
from packtap.store import History, PackSummary, Store, StoredEvent

__all__ = ["NothingToReportError", "stored_case"]

_DAY_MS: Final = 86_400_000
_LAST_MS: Final = 30 * _DAY_MS
#: More than twice what a course of the report holds, so that none has holes.
_POINTS: Final = 960
_MOST_EVENTS: Final = 500
_MAX_CELLS: Final = 16

_Channel = tuple[float | None, float | None, float | None]


class NothingToReportError(PacktapError):
    """The store knows the pack, but nothing that a report could say."""


def stored_case(
    store: Store, summary: PackSummary, now: Mapping[str, object] | None = None
) -> Case:
    """Return the diagnosis of a pack as its store knows it.

    Args:
        store: holds the pack.
        summary: which pack.
        now: the document of the agent that is running beside the pack; None: none is.

    Raises:
        NothingToReportError: no dated reading, or nothing that was judged.
    """
    end_ms = summary.last_ms
    if end_ms is None or summary.first_ms is None:
        raise NothingToReportError("No reading of this pack has a date yet, so there is no report.")
    begin_ms = max(summary.first_ms, end_ms - _LAST_MS)
    events = list(_events(store, summary, begin_ms))
    diagnosis, basis = _ranking(store, summary, events, now)
    gathered = Gathered()
    plot = store.history(summary.pack, begin_ms, end_ms + 1, _POINTS)
    _take_courses(gathered, plot)
    latest = _latest(store, summary, now)
    gathered.take_latest(latest, store.rows(summary.pack))
    gathered.take_events(events)
    whole = "" if begin_ms == summary.first_ms else "; courses and events are of the last 30 days"
    source = Source(
        name=" / ".join(filter(None, (summary.site, summary.agent, summary.bus))),
        kind="store",
        how="from the stored readings, no recording",
        started=datetime.fromtimestamp(end_ms / 1000, UTC),
        basis=(
            basis,
            f"Readings of {_day(summary.first_ms)} to {_day(end_ms)}, in points of "
            f"{plot.bucket_ms / 1000:g} s with lowest, mean and highest value{whole}.",
            "Prices and limits drawn are packtap's usual ones.",
        ),
    )
    return make_case(
        diagnosis,
        gathered,
        None,
        source,
        pack=summary.pack,
        is_silent=False,
        is_told=bool(diagnosis.answers),
        prices=Prices(),
    )


def _ranking(
    store: Store, summary: PackSummary, events: list[Event], now: Mapping[str, object] | None
) -> tuple[Diagnosis, str]:
    """Return the ranking, and what it rests on, in words."""
    told = None if now is None else diagnosis_told(now.get("diagnosis"))
    if told is not None:
        return told, "The ranking is the one that the running agent tells now."
    document = store.memory(summary.pack)
    if document is not None:
        memory = PackMemory.from_document(document, summary.pack, BMS)
        evidence = memory.evidence
        if evidence.judged or evidence.cells or evidence.signs:
            saved = "" if memory.last_h is None else f", saved {_day(memory.last_h * 3_600_000)}"
            return diagnose(evidence), (
                f"The ranking rests on what the agent remembered of this pack{saved}."
            )
    if not events:
        raise NothingToReportError(
            "This store holds no event of this pack in its last 30 days, and not what its checks "
            "have judged: the agent that taps the pack knows that. Ask the page beside it."
        )
    evidence = Evidence()
    evidence.take(events)
    return diagnose(evidence), (
        "The ranking rests on the stored events alone: what was judged and found to be fine is "
        "known to the agent that taps the pack, not to this store."
    )


def _latest(store: Store, summary: PackSummary, now: Mapping[str, object] | None) -> Snapshot:
    """Return what is known last of the pack: remembered, stored, and told by a running agent."""
    values: dict[str, Value] = {}
    document = store.memory(summary.pack)
    if document is not None:
        values |= PackMemory.from_document(document, summary.pack, BMS).identity.known
        values.pop("cell_count", None)
    if not summary.pack.startswith("unknown-"):
        values["serial"] = summary.pack  # a pack is named by its serial
    known = store.latest(summary.pack, summary.agent, summary.bus)
    values |= {name: value for name, (value, _) in known.items()}
    told = None if now is None else now.get("values")
    if isinstance(told, Mapping):
        values |= {n: tuple(v) if isinstance(v, list) else v for n, v in told.items()}
    times: dict[str, float | None] = dict.fromkeys(values)
    times |= {name: t / 1000 for name, (_, t) in known.items()}
    cells = values.get("cell_voltages_mv")
    doubts = find_doubts(Report(values, times))
    count = len(cells) if isinstance(cells, tuple) and cells else None
    return Snapshot(None, BMS, values, times, frozenset(), count, doubts)


def _take_courses(gathered: Gathered, plot: History) -> None:
    nothing: _Channel = (None, None, None)

    def point(name: str, place: int) -> _Channel:
        channel = plot.channels.get(name)
        return nothing if channel is None else (*(c[place] for c in channel),)  # type: ignore[return-value]

    cells = [f"{number:02}" for number in range(1, _MAX_CELLS + 1)]
    for place, begin_ms in enumerate(plot.t):
        gathered.take_stretch(
            (begin_ms + plot.bucket_ms / 2) / 1000,
            [point(name, place) for name in cells],
            (point("voltage_v", place), point("current_a", place)),
        )


def _events(store: Store, summary: PackSummary, begin_ms: int) -> Iterator[Event]:
    """Yield both ends of the events of the range and of those that are open, in order of time."""
    stored = {event.id: event for event in store.raised(summary.pack)}
    stored |= {event.id: event for _, event in store.recent_events(summary.pack, _MOST_EVENTS)}
    ends = [
        end
        for event in stored.values()
        if (event.agent, event.bus) == (summary.agent, summary.bus)
        and (event.is_open or (event.raised_ms or 0) >= begin_ms)
        and event.kind in kinds.by_name
        and event.severity in set(Severity)
        for end in _ends(event)
    ]
    yield from sorted(ends, key=lambda end: float("inf") if end.t is None else end.t)


def _ends(event: StoredEvent) -> Iterator[Event]:
    times = {EventState.RAISED: event.raised_ms, EventState.CLEARED: event.cleared_ms}
    for state, t_ms in times.items():
        if state is EventState.RAISED or not event.is_open:
            yield Event(
                id=event.id,
                t=None if t_ms is None else t_ms / 1000,
                pack=event.pack,
                kind=event.kind,
                severity=Severity(event.severity),
                state=state,
                cell=event.cell,
                value=event.value,
                limit=event.limit,
                unit=event.unit,
                text=event.text,
            )


def _day(t_ms: float) -> str:
    return f"{datetime.fromtimestamp(t_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
