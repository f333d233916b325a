"""What has been found out about one pack so far, floor 2: constant memory, kept over restarts.

An event that was cleared since is evidence all the same. Kinds that were judged and not raised are
evidence against; kinds that were never judged are none.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ninebot_bms import ESC_ERRORS, Snapshot, fault_flags
from packtap import kinds
from packtap.analysis.arbiter import explained_by, explained_in_pack
from packtap.analysis.defects import SIGNS
from packtap.analysis.exposure import Exposure
from packtap.analysis.finding import Finding
from packtap.analysis.measured import Measured
from packtap.analysis.observation_rows import by_key
from packtap.analysis.observations import Context
from packtap.model import Event, EventState

__all__ = ["Evidence", "esc_sign"]

_MANY_CELLS: Final = 3
#: Full over design capacity, as the board says them. Packs count as worn out from here on.
_AGED: Final = 0.8
_MANY: Final = {"cell_overvoltage": "many_cells_high", "cell_undervoltage": "many_cells_low"}
_DOUBT_SIGNS: Final = {"emulator-constants": "emulator", "serial-factory": "factory_serial"}


def esc_sign(code: int) -> str | None:
    """Return the sign that an error code on the scooter's display is; None: nothing special."""
    error = ESC_ERRORS.get(code)
    return f"esc_{error.topic}" if error is not None and error.topic else None


@dataclass(slots=True)
class Evidence:
    """Events, signs and judged kinds of one pack.

    Attributes:
        cells: kind of event that was raised -> cells that it named, as a bit map (bit 0: none).
        signs: names of `defects.SIGNS` that showed.
        judged: kinds (and signs that can be absent) that have been judged, seen or not.
        fault_reported: somebody, or the dashboard, said "BMS fault".
        esc_error: the error code that the scooter showed.
        measured: kind of event -> the numbers of its strongest occurrence.
        told: sign -> the numbers behind it, where there are some.
        observed: key of an observation -> the answer of a person, as its row reads it.
        exposure: how much of the pack's life all this is drawn from.
    """

    cells: dict[str, int] = field(default_factory=dict)
    signs: set[str] = field(default_factory=set)
    judged: set[str] = field(default_factory=set)
    fault_reported: bool = False
    esc_error: int | None = None
    measured: dict[str, Measured] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    observed: dict[str, str] = field(default_factory=dict)
    exposure: Exposure = field(default_factory=Exposure)

    @property
    def context(self) -> Context:
        """What is known of the pack that a measured number needs to be judged."""
        return Context(self.exposure.cells, self.exposure.pack_v)

    @property
    def raised(self) -> frozenset[str]:
        """Kinds that have been raised."""
        return frozenset(self.cells)

    @property
    def telling(self) -> frozenset[str]:
        """Kinds that have been raised, without those that another of them explains.

        A faded pack whose board counts with the old capacity shows a wrong percentage first: once
        the capacity is known, that was no second defect.
        """
        return self.raised - {kind for raised in self.cells for kind in explained_in_pack(raised)}

    @property
    def quiet(self) -> frozenset[str]:
        """Kinds that were judged and never raised, and not because a stronger one stood."""
        hidden = {kind for raised in self.cells for kind in explained_by(raised)}
        return frozenset(self.judged) - self.raised - hidden - self.signs

    @property
    def is_contradicted(self) -> bool:
        """Does the scooter say that its pack is silent, which answers all the time?"""
        return "esc_silent" in self.signs and "bms_comm_lost" in self.quiet

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Kinds that nothing could be said about so far, in the order of the rows."""
        known = self.raised | self.judged
        return tuple(kind.name for kind in kinds.KINDS if kind.name not in known)

    def take(self, events: Iterable[Event]) -> None:
        """Take what was raised."""
        for event in events:
            measured = self.measured.get(event.kind)
            if event.state is EventState.RAISED:
                stronger = Measured.of(event) if measured is None else measured.with_raised(event)
                self.measured[event.kind] = stronger
                self.cells[event.kind] = self.cells.get(event.kind, 0) | 1 << (event.cell or 0)
                sign = _MANY.get(event.kind)
                if sign and (self.cells[event.kind] >> 1).bit_count() >= _MANY_CELLS:
                    self.signs.add(sign)
                continue
            if measured is not None:
                self.measured[event.kind] = measured.with_cleared(event)

    def take_end(self, finding: Finding) -> None:
        """Take that the condition of an open event is absent, long before its end is told."""
        if finding.kind == "bms_comm_lost":
            self.signs.add("came_back")

    def look(self, snapshot: Snapshot) -> None:
        """Take the signs of a snapshot whose fault flag is an event already."""
        self.exposure.look(snapshot)
        for doubt in snapshot.doubts:
            if (sign := _DOUBT_SIGNS.get(doubt.name)) is not None:
                self.signs.add(sign)
        full, design = (snapshot.trusted(f"{name}_capacity_mah") for name in ("full", "design"))
        if isinstance(full, int) and isinstance(design, int):
            self.judged.add("capacity_told")  # a board that does not tell is evidence as well
            if full < _AGED * design:
                self.signs.add("capacity_told")
                self.told["capacity_told"] = f"{full} of {design} mAh"
        status = snapshot.trusted("status")
        if "bms_fault_flag" in self.cells and isinstance(status, int):
            self.signs |= {f"flag_{flag}" for flag in fault_flags(status)}

    def report_error(self, code: int) -> None:
        """Take the error code that the scooter shows; one not of the battery moves nothing."""
        error = ESC_ERRORS.get(code)
        if error is None or not error.battery:
            self.esc_error = code if self.esc_error is None else self.esc_error
            return
        self.fault_reported = True
        self.esc_error = code
        if (sign := esc_sign(code)) is not None:
            self.signs.add(sign)
            self.told[sign] = f"code {code}"

    def observe(self, key: str, answer: str) -> None:
        """Take what a person saw or measured; the last answer to a question counts.

        Args:
            key: of a row of `observation_rows`.
            answer: as its row reads it.
        """
        self.observed[key] = answer

    def merged(self, later: "Evidence") -> "Evidence":
        """Return both together: what was known before, and what was found out since."""
        measured = dict(self.measured)
        for kind, entry in later.measured.items():
            measured[kind] = measured[kind].merged(entry) if kind in measured else entry
        return Evidence(
            cells={
                kind: self.cells.get(kind, 0) | later.cells.get(kind, 0)
                for kind in (*self.cells, *later.cells)
            },
            signs=self.signs | later.signs,
            judged=self.judged | later.judged,
            fault_reported=self.fault_reported or later.fault_reported,
            esc_error=self.esc_error if later.esc_error is None else later.esc_error,
            measured=measured,
            told=self.told | later.told,
            observed=self.observed | later.observed,
            exposure=self.exposure.merged(later.exposure),
        )

    def undated(self) -> "Evidence":
        """Return it without the times of another boot, whose seconds mean nothing now."""
        measured = {kind: replace(entry, t=None) for kind, entry in self.measured.items()}
        return replace(self, measured=measured)

    def state(self) -> dict[str, object]:
        """Return everything as JSON can keep it."""
        return {
            "cells": dict(self.cells),
            "signs": sorted(self.signs),
            "judged": sorted(self.judged),
            "fault_reported": self.fault_reported,
            "esc_error": self.esc_error,
            "measured": {kind: entry.state() for kind, entry in self.measured.items()},
            "told": dict(self.told),
            "observed": dict(self.observed),
            "exposure": self.exposure.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, object]) -> "Evidence":
        """Return what `state` described; what is not understood is left out."""
        cells, signs, judged = state.get("cells"), state.get("signs"), state.get("judged")
        return cls(
            cells={
                kind: bits
                for kind, bits in (cells.items() if isinstance(cells, dict) else ())
                if kind in kinds.by_name and isinstance(bits, int)
            },
            signs=set(signs) if isinstance(signs, list) else set(),
            judged=set(judged) if isinstance(judged, list) else set(),
            fault_reported=state.get("fault_reported") is True,
            esc_error=_error_code(state.get("esc_error")),
            measured={
                kind: entry
                for kind, kept in _pairs(state.get("measured"))
                if kind in kinds.by_name and (entry := Measured.from_state(kept)) is not None
            },
            told={
                sign: words
                for sign, words in _pairs(state.get("told"))
                if sign in SIGNS and isinstance(words, str)
            },
            observed=dict(_answers(state.get("observed"))),
            exposure=Exposure.from_state(state.get("exposure")),
        )


def _error_code(kept: object) -> int | None:
    return kept if isinstance(kept, int) and not isinstance(kept, bool) else None


def _pairs(kept: object) -> Iterable[tuple[str, object]]:
    return kept.items() if isinstance(kept, dict) else ()


def _answers(kept: object) -> Iterator[tuple[str, str]]:
    for key, answer in _pairs(kept):
        if key in by_key and isinstance(answer, str):
            with contextlib.suppress(ValueError):  # of another version, with other answers
                yield key, by_key[key].read(answer)
