"""From findings to events: raised once, cleared once, the same identity at both ends, floor 2.

An event that is open when the agent stops is open when it starts again: the store hands the open
events back in. Source: design.md section 6 (event id).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from packtap import kinds
from packtap.analysis.finding import Finding
from packtap.model import Event, EventState

__all__ = ["OpenEvents"]


class OpenEvents:
    """What is raised now, for any number of packs.

    Args:
        origin: names who counts, so that two agents never give one id (the store id).
        reopened: events that were open when the agent last stopped.
        counter: number of the last event that was ever raised under this origin.
    """

    #: The store hands these back (see `saved_state`); it is never behind, a saved state may be.
    kept_elsewhere: ClassVar = frozenset({"_origin", "_counter", "_open"})

    def __init__(self, origin: str, reopened: Iterable[Event] = (), counter: int = 0) -> None:
        self._origin = origin
        self._counter = counter
        self._open = {_key(event): event for event in reopened}

    def all(self) -> tuple[Event, ...]:
        """Return the open events of all packs, oldest first."""
        return tuple(self._open.values())

    def of(self, pack: str) -> tuple[Event, ...]:
        """Return the open events of one pack, oldest first."""
        return tuple(event for event in self._open.values() if event.pack == pack)

    def rename(self, unknown: str, pack: str, t: float | None) -> list[Event]:
        """Let a pack whose name has become known keep what was raised before it was.

        Args:
            unknown: what it was called so far.
            pack: its name.
            t: seconds, when the name was read.

        Returns:
            Each event that was open under the old name: raised, with its own id and time, under the
            new one; or cleared, if it was open under both names, as after a restart. Then the one
            under the pack's own name stays.
        """
        changed = []
        for key in [key for key in self._open if key[0] == unknown]:
            event = self._open.pop(key)
            _, kind, cell = key
            if (pack, kind, cell) in self._open:
                changed.append(_clear(event, Finding(kind, False, t, cell)))
            else:
                named = self._open[pack, kind, cell] = replace(event, pack=pack)
                changed.append(named)
        return changed

    def apply(self, pack: str, findings: Iterable[Finding]) -> list[Event]:
        """Return the events that these findings raise or clear, in their order."""
        changed = []
        for finding in findings:
            key = (pack, finding.kind, finding.cell)
            before = self._open.get(key)
            if finding.present and before is None:
                event = self._open[key] = self._raise(pack, finding)
                changed.append(event)
            elif not finding.present and before is not None:
                del self._open[key]
                changed.append(_clear(before, finding))
        return changed

    def _raise(self, pack: str, finding: Finding) -> Event:
        kind = kinds.by_name[finding.kind]
        self._counter += 1
        cell = finding.cell or 0
        return Event(
            id=f"{pack}/{kind.name}/{cell:02d}/{self._origin}/{self._counter}",
            t=finding.t,
            pack=pack,
            kind=kind.name,
            severity=kind.severity,
            state=EventState.RAISED,
            cell=finding.cell,
            value=finding.value,
            limit=finding.limit,
            unit=kind.unit,
            text=kind.sentence(finding.cell, finding.value, finding.limit, finding.detail),
        )


def _key(event: Event) -> tuple[str, str, int | None]:
    return event.pack, event.kind, event.cell


def _clear(raised: Event, finding: Finding) -> Event:
    return Event(
        id=raised.id,
        t=finding.t,
        pack=raised.pack,
        kind=raised.kind,
        severity=raised.severity,
        state=EventState.CLEARED,
        cell=raised.cell,
        value=finding.value,
        limit=raised.limit,
        unit=raised.unit,
        text=f"Over: {raised.text.partition('. ')[0]}",
    )
