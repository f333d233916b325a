"""From findings to events: raised once, cleared once, the same identity at both ends, floor 2.

A condition that comes and goes is one event: its end is told only when it has been absent for the
kind's cooldown, and one that comes back within that time was never away. Until then the event
stands, so nothing critical is hidden. An event that is open when the agent stops is open when it
starts again: the store hands the open events back in. An end that was waiting goes on to wait if
the saved state is used, else it is decided anew.
Source: design.md section 6 (event id).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from packtap import kinds
from packtap.analysis.finding import Finding
from packtap.model import Event, EventState

__all__ = ["OpenEvents"]

#: Pack, kind, cell.
_Key = tuple[str, str, int | None]
#: Time that runs back further is another clock.
_STEP_BACK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Ending:
    """A condition that is absent for now.

    Attributes:
        event: id of the event that will end then.
        finding: the first that said so.
        wait_s: for so long it must stay absent.
        due: seconds, when that is; None: nobody knows the time.
    """

    event: str
    finding: Finding
    wait_s: float
    due: float | None


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
        self._ending: dict[_Key, _Ending] = {}
        self._now: float | None = None

    def all(self) -> tuple[Event, ...]:
        """Return the open events of all packs, oldest first."""
        return tuple(self._open.values())

    def of(self, pack: str) -> tuple[Event, ...]:
        """Return the open events of one pack, oldest first."""
        return tuple(event for event in self._open.values() if event.pack == pack)

    def is_open(self, pack: str, finding: Finding) -> bool:
        """Return whether the event of which this finding speaks is open."""
        return (pack, finding.kind, finding.cell) in self._open

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
            event, ending = self._open.pop(key), self._ending.pop(key, None)
            _, kind, cell = key
            if (pack, kind, cell) in self._open:
                changed.append(_clear(event, Finding(kind, False, t, cell)))
                continue
            named = self._open[pack, kind, cell] = replace(event, pack=pack)
            if ending is not None:
                self._ending[pack, kind, cell] = ending
            changed.append(named)
        return changed

    def apply(self, pack: str, findings: Iterable[Finding], cooldown_s: float = 0.0) -> list[Event]:
        """Return the events that these findings raise or clear, in their order.

        Args:
            pack: whose findings they are.
            findings: what its checks say.
            cooldown_s: of this pack, for kinds that have none of their own. 0: an end is told at
                once, not later by `expire`.
        """
        changed = []
        for finding in findings:
            key = (pack, finding.kind, finding.cell)
            before = self._open.get(key)
            if finding.present:
                self._ending.pop(key, None)
                if before is None:
                    event = self._open[key] = self._raise(pack, finding)
                    changed.append(event)
            elif before is not None and not self._is_ending(before):
                own_s = kinds.by_name[finding.kind].cooldown_s
                wait_s = cooldown_s if own_s is None else own_s
                due = None if finding.t is None else finding.t + wait_s
                self._ending[key] = _Ending(before.id, finding, wait_s, due)
                if not wait_s:
                    changed.append(self._end(key))
        return changed

    def expire(self, now: float) -> list[Event]:
        """Let time pass; return the ends whose time has come, in the order in which it came.

        Args:
            now: seconds, in the time base of the findings.
        """
        before, self._now = self._now, now
        if not self._ending:
            return []
        if before is not None and now < before - _STEP_BACK_S:
            for key, ending in self._ending.items():
                self._ending[key] = replace(ending, due=now + ending.wait_s)
        due = [
            (ending.due, key)
            for key, ending in self._ending.items()
            if ending.due is not None and key in self._open and self._is_ending(self._open[key])
        ]
        ripe = sorted((each for each in due if each[0] <= now), key=lambda each: each[0])
        return [self._end(key) for _, key in ripe]

    def decide_anew(self) -> None:
        """Forget which ends wait: they are found again if it is so."""
        self._ending.clear()
        self._now = None

    def was_deaf(self, since: float, until: float) -> None:
        """Leave out a time in which nobody listened: what was absent may have come back in it."""
        missed_s = max(0.0, until - since)
        for key, ending in self._ending.items():
            if ending.due is not None:
                self._ending[key] = replace(ending, due=ending.due + missed_s)

    def _is_ending(self, event: Event) -> bool:
        """Whether the end of this very event waits: a saved state may be older than the store."""
        ending = self._ending.get(_key(event))
        return ending is not None and ending.event == event.id

    def _end(self, key: _Key) -> Event:
        ending = self._ending.pop(key)
        return _clear(self._open.pop(key), replace(ending.finding, t=ending.due), ending.wait_s)

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


def _key(event: Event) -> _Key:
    return event.pack, event.kind, event.cell


def _clear(raised: Event, finding: Finding, absent_s: float = 0.0) -> Event:
    over = f"Over for {absent_s:g} s" if absent_s else "Over"
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
        text=f"{over}: {raised.text.partition('. ')[0]}",
    )
