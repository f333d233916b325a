"""Everything that a diagnosis shows, as one value, floor 4: screen, JSON and page say the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from packtap import __version__, kinds
from packtap.analysis.defect_words import DEFECT_WORDS
from packtap.analysis.diagnosis import Diagnosis, RankedCause
from packtap.analysis.limits import CellLimits
from packtap.analysis.remedies import LIFESPAN_YEARS, REMEDIES, SAFETY, TITLES, Remedy, Repair
from packtap.config import Prices
from packtap.model import Cause, Event, EventState, Severity
from packtap.report.gather import Gathered
from packtap.report.identity import Health, Named, health_of, identity_of
from packtap.report.source import LinkQuality, Source

__all__ = ["Case", "Suspect", "make_case", "percentages"]

#: Causes below this are in the ranking, and not worth a technician's time.
_SUSPECT: Final = 0.10
_MOST_SUSPECTS: Final = 3
_TENTHS: Final = 1000
#: What stands in the document instead of a ranking that nothing speaks for.
_UNJUDGED: Final[dict[str, object]] = {"diagnosis": [], "next_test": None}


@dataclass(frozen=True, slots=True)
class Suspect:
    """A cause that is worth checking.

    Attributes:
        ranked: cause and probability.
        percent: its probability as shown, in tenths of a percent that sum to 100 over all causes.
        title: the cause, for people.
        means: the most probable defect of this cause, for people.
        confirm: how a technician confirms it.
        speaks_for: evidence in words, with numbers.
        speaks_against: the same.
        remedy: checks and prevention.
        repairs: ways to mend it; of a pack in danger only those that do not charge it.
    """

    ranked: RankedCause
    percent: float
    title: str
    means: str
    confirm: str
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]
    remedy: Remedy
    repairs: tuple[Repair, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One diagnosis with all that belongs to it.

    Attributes:
        pack: its name.
        diagnosis: ranking, next test, what cannot be judged.
        ranking: every cause with the percentage that is shown; they sum to 100.
        suspects: what is worth checking, most probable first; at least one.
        prices: of parts and labour.
        gathered: readings, events, courses.
        identity: who the pack is.
        health: what the board says about its age.
        link: quality of the line; None: not known.
        source: where it comes from.
        cell_limits: what the cells are drawn against.
        is_silent: the pack was asked and never answered.
        is_judged: there is something to judge: a pack that replies or is silent, or what a person
            told. Otherwise the ranking is what is usual, and no finding.
        quiet: what was judged and found to be fine: over what, and the kinds.
        notes: what a person must know about how much this is worth.
    """

    pack: str
    diagnosis: Diagnosis
    ranking: tuple[tuple[RankedCause, float], ...]
    suspects: tuple[Suspect, ...]
    prices: Prices
    gathered: Gathered
    identity: Named
    health: Health
    link: LinkQuality | None
    source: Source
    cell_limits: CellLimits
    is_silent: bool
    is_judged: bool
    quiet: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]

    @property
    def lead(self) -> Suspect:
        """The most probable cause."""
        return self.suspects[0]

    @property
    def worst(self) -> Severity | None:
        """The worst that was raised, cleared or not; None if nothing was."""
        order = list(Severity)
        raised = {event.severity for event in self.gathered.events if _is_raised(event)}
        return max(raised, key=order.index, default=None)

    @property
    def stop_words(self) -> tuple[str, ...]:
        """What must be said first and loudly: dangers told, and events that forbid use."""
        actions = dict.fromkeys(
            kinds.by_name[event.kind].action
            for event in self.gathered.events
            if _is_raised(event) and event.severity is Severity.CRITICAL and _forbids_use(event)
        )
        return (*self.diagnosis.danger, *actions)

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong: raised, dangerous, or explained by a defect."""
        is_raised = self.worst not in (None, Severity.INFO)
        is_defect = self.lead.ranked.cause is not Cause.NONE
        return is_raised or is_defect or bool(self.diagnosis.danger)

    def words(self, event: Event) -> str:
        """Return an event's sentence; of a pack in danger without the advice to charge it."""
        action = kinds.by_name[event.kind].action
        if self.diagnosis.in_danger and action.startswith("Charge"):
            return event.text.removesuffix(action).rstrip()
        return event.text

    @property
    def prevention(self) -> tuple[str, ...]:
        """How the lead is kept from coming back; of a pack in danger without charging it."""
        lines = self.lead.remedy.prevention
        if self.diagnosis.in_danger:
            return tuple(line for line in lines if not line.startswith("Charge"))
        return lines

    def cost(self, repair: Repair) -> str:
        """Return what a repair costs, for people; "" if nothing."""
        total = self.prices.total(tuple(part.value for part in repair.parts))
        if total is None:
            return ""
        low, high = total
        return f"{low:g}-{high:g} {self.prices.currency}"

    def as_document(self) -> dict[str, object]:
        """Return it as JSON keys and values: the fields of `replay`'s last line, and more."""
        gathered = self.gathered
        return {
            **self.diagnosis.as_document(),
            **({} if self.is_judged else _UNJUDGED),
            "pack": self.pack,
            "silent": self.is_silent,
            "doubts": [
                {"name": doubt.name, "rows": list(doubt.rows), "text": doubt.text}
                for doubt in gathered.doubts.values()
            ],
            "stop": list(self.stop_words),
            "suspects": [
                self._suspect_document(suspect) for suspect in self.suspects if self.is_judged
            ],
            "prices_are": "the repair report's, indicative"
            if self.prices.is_default
            else "your own",
            "cells": [
                {
                    "cell": cell.number,
                    "mv": cell.mv,
                    "off_mv": cell.off_mv,
                    "low_mv": cell.low_mv,
                    "high_mv": cell.high_mv,
                }
                for cell in gathered.cells()
            ],
            "identity": self.identity.as_document(),
            "health": self.health.as_document(),
            "lifespan_years": list(LIFESPAN_YEARS),
            "link": None if self.link is None else self.link.as_document(),
            "source": self.source.as_document(),
            "readings": gathered.readings,
            "seconds": gathered.seconds,
            "notes": list(self.notes),
            "safety": list(SAFETY),
            "version": __version__,
        }

    def _suspect_document(self, suspect: Suspect) -> dict[str, object]:
        remedy = suspect.remedy
        return {
            "cause": suspect.ranked.cause.value,
            "title": suspect.title,
            "means": suspect.means,
            "confirm": suspect.confirm,
            "visual": list(remedy.visual),
            "multimeter": list(remedy.multimeter),
            "connector": list(remedy.connector),
            "repairs": [
                {
                    "words": repair.words,
                    "parts": [part.value for part in repair.parts],
                    "cost": self.prices.total(tuple(part.value for part in repair.parts)),
                    "currency": self.prices.currency,
                    "difficulty": repair.difficulty.value,
                }
                for repair in suspect.repairs
            ],
            "prevention": list(remedy.prevention),
        }


def make_case(
    diagnosis: Diagnosis,
    gathered: Gathered,
    link: LinkQuality | None,
    source: Source,
    *,
    pack: str,
    is_silent: bool,
    is_told: bool,
    prices: Prices,
    cell_limits: CellLimits | None = None,
) -> Case:
    """Put together what a diagnosis shows.

    Args:
        diagnosis: of the evidence.
        gathered: what was read.
        link: quality of the line; None: nobody knows it any more.
        source: where the bytes came from.
        pack: its name.
        is_silent: the pack was asked and never answered.
        is_told: a person has told something.
        prices: of parts and labour.
        cell_limits: what its cells may have; the usual ones if not given.
    """
    shares = percentages([entry.probability for entry in diagnosis.causes])
    ranking = tuple(zip(diagnosis.causes, shares, strict=True))
    suspects = [
        _suspect(entry, percent, diagnosis)
        for place, (entry, percent) in enumerate(ranking)
        if place == 0 or (entry.probability >= _SUSPECT and place < _MOST_SUSPECTS)
    ]
    return Case(
        pack=pack,
        diagnosis=diagnosis,
        ranking=ranking,
        suspects=tuple(suspects),
        prices=prices,
        gathered=gathered,
        identity=identity_of(gathered.latest, gathered.serials, gathered.standing_doubts()),
        health=health_of(gathered.latest, source.started),
        link=link,
        source=source,
        cell_limits=cell_limits or CellLimits(),
        is_silent=is_silent,
        is_judged=link is None or bool(link.replies) or is_silent or is_told,
        quiet=_quiet(diagnosis),
        notes=(
            *_notes(gathered, link, source, is_silent=is_silent),
            *filter(None, (diagnosis.esc_error,)),
        ),
    )


def percentages(probabilities: list[float]) -> list[float]:
    """Return percentages with one decimal that sum to exactly 100; none is 100 if two are not 0.

    Args:
        probabilities: sum to one.
    """
    exact = [_TENTHS * probability for probability in probabilities]
    tenths = [int(share) for share in exact]
    by_rest = sorted(range(len(exact)), key=lambda place: tenths[place] - exact[place])
    for place in by_rest[: _TENTHS - sum(tenths)]:
        tenths[place] += 1
    if max(tenths) == _TENTHS and max(exact) < _TENTHS and len(exact) > 1:
        # Nothing here is certain, and a page must not say so.
        first, second = sorted(range(len(exact)), key=lambda place: -exact[place])[:2]
        tenths[first], tenths[second] = _TENTHS - 1, 1
    return [share / 10 for share in tenths]


def _quiet(diagnosis: Diagnosis) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Group the kinds that stayed quiet by what they were judged over."""
    grouped: dict[str, list[str]] = {}
    for name, words in diagnosis.said.items():
        kind = name.removeprefix("no ")
        if kind != name and kind in kinds.by_name:
            over = words.partition(": ")[2].removeprefix("judged over ")
            grouped.setdefault(over, []).append(kind.replace("_", " "))
    return tuple((over, tuple(names)) for over, names in grouped.items())


def _suspect(entry: RankedCause, percent: float, diagnosis: Diagnosis) -> Suspect:
    words, remedy = DEFECT_WORDS[entry.defect], REMEDIES[entry.cause]
    return Suspect(
        ranked=entry,
        percent=percent,
        title=TITLES[entry.cause],
        means=words.means,
        confirm=words.confirm,
        speaks_for=tuple(_for(entry, diagnosis)),
        speaks_against=tuple(diagnosis.said[name] for name in entry.evidence_against),
        remedy=remedy,
        repairs=tuple(
            repair for repair in remedy.repairs if not (diagnosis.in_danger and repair.charges)
        ),
    )


def _for(entry: RankedCause, diagnosis: Diagnosis) -> Iterator[str]:
    yield from (diagnosis.said[name] for name in entry.evidence_for)
    # Each quiet kind says little for a sound pack, all of them together say much.
    quiet = sum(len(names) for _, names in _quiet(diagnosis))
    if entry.cause is Cause.NONE and quiet:
        yield f"{quiet} of {len(kinds.KINDS)} kinds of trouble were judged and not found"


def _notes(
    gathered: Gathered, link: LinkQuality | None, source: Source, *, is_silent: bool
) -> list[str]:
    if is_silent:
        return [
            "The pack was asked and never answered. That is no proof of a dead pack: board first, "
            "connection second, and an empty pack is silent too. What separates them: the voltage "
            "at the pack's terminals, another adapter, a wire moved by hand."
        ]
    notes = []
    if link is not None and not link.frames:
        notes.append(
            f"No frame is in {source.name}: nothing is known of the pack. Is it a recording of the "
            "pack's bus, at its rate? packtap decode FILE says what is in it."
            if source.kind == "capture"
            else "Nothing was heard: nothing is known of the pack. A plain line listens only: "
            "switch the scooter on, or take the pack's data plug off the scooter and use --bench. "
            "packtap doctor PORT says what is wrong with the line."
        )
    elif link is not None and not link.replies:
        notes.append(
            "No reply of a pack was heard, so nothing is known of the pack itself: tap the wire "
            "on which the pack answers, or listen for longer."
        )
    elif not gathered.has_cells:
        notes.append(
            "Nobody asked for cells (a stock ESC never does): about cells nothing can be said. "
            "On the bench, with --bench, packtap reads them."
        )
    if gathered.readings and not gathered.has_times:
        notes.append("The recording has no times: what takes a while to show cannot be judged.")
    return notes


def _is_raised(event: Event) -> bool:
    return event.state is EventState.RAISED


def _forbids_use(event: Event) -> bool:
    """Whether the words of a kind tell people to stop something now."""
    action = kinds.by_name[event.kind].action
    return action.startswith(("Stop", "Do not", "Unplug"))
