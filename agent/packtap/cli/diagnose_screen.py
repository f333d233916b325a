"""What `diagnose` prints, 80 columns wide, with and without colour.

The answer comes first, details after it; the next thing to do is told last, where a terminal
stands still. Nothing is said by colour alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from packtap.analysis.remedies import LIFESPAN_YEARS, SAFETY
from packtap.model import EventState
from packtap.report.case import Case, Suspect
from packtap.report.gather import CellRange

__all__ = ["render"]

_BAR: Final = 20
_CELL_BAR: Final = 30
_LOW_MV, _HIGH_MV = 2500, 4300
#: Evidence beyond this is in the JSON and on the page.
_MOST_EVIDENCE: Final = 5
_MOST_EVENTS: Final = 6


def render(case: Case, report: Path | None = None) -> RenderableType:
    """Return the screen.

    Args:
        case: the diagnosis.
        report: where the page was written, if it was.
    """
    parts: list[RenderableType] = [*_stop(case), *_answer(case), _ranking(case)]
    parts += [Text(note, style="yellow") for note in case.notes]
    for suspect in case.suspects:
        parts += _suspect(case, suspect)
    parts += [
        *_quiet(case),
        *_cells(case),
        *_events(case),
        *_pack(case),
        *_unknown(case),
        *_origin(case),
    ]
    parts += [*_safety(), *_next(case)]
    if report is not None:
        parts.append(Text(f"Report for the customer: {report}"))
    return Group(*parts)


def _stop(case: Case) -> Iterator[RenderableType]:
    if case.stop_words:
        words = "\n".join(case.stop_words)
        yield Panel(Text(words, style="bold"), title="!! DANGER !!", style="red", width=80)


def _answer(case: Case) -> Iterator[RenderableType]:
    lead = case.lead
    if case.source.is_simulated:
        yield Text("SIMULATED: this recording is of no real scooter.", style="bold yellow")
    yield Text(f"Pack {case.pack}", style="bold")
    yield Text(f"{lead.title}, {lead.percent:.1f} %: {lead.means}.", style="bold")


def _ranking(case: Case) -> RenderableType:
    table = Table(box=None, padding=(0, 1), show_header=False, pad_edge=False)
    for justify in ("right", "left", "left"):
        table.add_column(justify=justify, no_wrap=True)
    for entry, percent in case.ranking:
        bar = "█" * round(entry.probability * _BAR)
        table.add_row(f"{percent:.1f} %", bar.ljust(_BAR, "·"), entry.cause.value)
    return Padding(table, (1, 0, 0, 2))


def _suspect(case: Case, suspect: Suspect) -> Iterator[RenderableType]:
    yield _heading(f"{suspect.title}, {suspect.percent:.1f} %: {suspect.means}")
    yield from _evidence("for", suspect.speaks_for, "+")
    yield from _evidence("against", suspect.speaks_against, "-")
    remedy = suspect.remedy
    yield Text("  A qualified technician checks:")
    yield _item("confirm", suspect.confirm)
    for name, checks in (
        ("visual", remedy.visual),
        ("meter", remedy.multimeter),
        ("connector", remedy.connector),
    ):
        for check in checks:
            yield _item(name, check)
    for repair in suspect.repairs:
        cost = case.cost(repair)
        words = f"{repair.words} ({repair.difficulty})"
        yield _item("repair", f"{words}: {cost}, indicative" if cost else words)
    for words in case.prevention if suspect is case.lead else ():
        yield _item("prevent", words)


def _evidence(word: str, lines: tuple[str, ...], mark: str) -> Iterator[RenderableType]:
    if not lines:
        yield Text(f"  Nothing speaks {word} it.", style="dim")
        return
    for line in lines[:_MOST_EVIDENCE]:
        yield _item(word, f"{mark} {line}")
    if len(lines) > _MOST_EVIDENCE:
        yield _item("", f"and {len(lines) - _MOST_EVIDENCE} more (--json has all)")


def _quiet(case: Case) -> Iterator[RenderableType]:
    if not case.quiet:
        return
    yield _heading("Judged, and found to be fine")
    for over, names in case.quiet:
        yield _plain(f"{over or 'judged'}: {', '.join(names)}", indent=2)


def _cells(case: Case) -> Iterator[RenderableType]:
    cells = case.gathered.cells()
    if not cells:
        return
    yield _heading("Cells, last reading (deviation from the median; lowest to highest)")
    named = case.gathered.named()
    for cell in cells:
        yield Text(_cell(cell, is_named=cell.number in named), no_wrap=True, overflow="ellipsis")


def _cell(cell: CellRange, *, is_named: bool) -> str:
    mark = ">" if is_named else " "
    if cell.mv is None or cell.off_mv is None:
        return f"{mark} {cell.number:2}  not read"
    share = max(0.0, min(1.0, (cell.mv - _LOW_MV) / (_HIGH_MV - _LOW_MV)))
    bar = ("█" * round(share * _CELL_BAR)).ljust(_CELL_BAR, "·")
    extent = f"{cell.low_mv}-{cell.high_mv}"
    return f"{mark} {cell.number:2}  {bar} {cell.mv:4} mV  {cell.off_words:>5}  {extent}"


def _events(case: Case) -> Iterator[RenderableType]:
    noted = list(case.gathered.noted())
    if not noted:
        return
    yield _heading("Events")
    for entry in noted[:_MOST_EVENTS]:
        event = entry.event
        is_raised = event.state is EventState.RAISED
        word = event.severity.value.upper() if is_raised else "cleared"
        when = "" if entry.after_s is None else f"after {entry.after_s:.0f} s: "
        yield _item(word, f"{when}{event.text.partition('. ')[0]}")
    more = len(noted) - _MOST_EVENTS + case.gathered.events_left_out
    if more > 0:
        yield _item("", f"and {more} more (packtap replay lists all)")


def _pack(case: Case) -> Iterator[RenderableType]:
    health, identity = case.health, case.identity
    yield _heading("Age and identity")
    known = []
    if health.health_pct is not None:
        known.append(f"health {health.health_pct} %")
    if health.capacity_pct is not None:
        known.append(
            f"holds {health.full_capacity_mah} of {health.design_capacity_mah} mAh "
            f"({health.capacity_pct:.0f} %)"
        )
    if health.cycles is not None:
        known.append(f"{health.cycles} cycles")
    if health.years is not None:
        known.append(f"{health.years:.1f} years old")
    told = ", ".join(known) or "nothing about its age"
    low, high = LIFESPAN_YEARS
    yield _item("health", f"the board says: {told}")
    yield _item("lifespan", f"{low}-{high} years (a repair report's estimate, not measured)")
    yield _item("identity", identity.looks)


def _unknown(case: Case) -> Iterator[RenderableType]:
    lacks = case.diagnosis.lacks
    if not lacks:
        return
    yield _heading("Could not be judged, and what that takes")
    by_words: dict[str, list[str]] = {}
    for kind, words in lacks.items():
        by_words.setdefault(words, []).append(kind)
    for words, unjudged in by_words.items():
        yield _plain(f"{', '.join(unjudged)}: {words}", indent=2)


def _origin(case: Case) -> Iterator[RenderableType]:
    link, source = case.link, case.source
    yield _heading("What this is based on")
    read = f"{case.gathered.readings} readings"
    if case.gathered.seconds is not None:
        read += f" in {case.gathered.seconds:.0f} s"
    if link is not None:
        read += (
            f"; {link.frames} frames, {link.rejected} refused, {link.requests} requests, "
            f"{link.unanswered} unanswered"
        )
    yield _plain(f"{source.name} ({source.how}): {read}", indent=2)
    if source.trouble:
        yield _plain(source.trouble, indent=2)
    for answer in case.diagnosis.answers:
        yield _plain(f"told: {answer}", indent=2)
    for doubt in case.gathered.standing_doubts().values():
        yield _plain(f"not believed: {doubt.text}", indent=2)
    if source.sha256 is not None:
        yield _plain(f"sha256 {source.sha256}", indent=2)


def _safety() -> Iterator[RenderableType]:
    yield Text()
    for line in SAFETY:
        yield Text(line, style="bold red")


def _next(case: Case) -> Iterator[RenderableType]:
    yield Text()
    test = case.diagnosis.next_test
    if test is None:
        yield Text(f"Next: a qualified technician confirms it: {case.lead.confirm}.", style="bold")
        return
    yield Text(f"Next: {test.action} It counts if {test.positive_means}.", style="bold")
    if test.answer is not None:
        yield _plain(f"Then again with --observe {test.answer}", indent=6)


def _heading(text: str) -> RenderableType:
    return Padding(Text(text, style="bold underline"), (1, 0, 0, 0))


def _item(name: str, text: str) -> RenderableType:
    table = Table(box=None, padding=(0, 1), show_header=False, pad_edge=False)
    table.add_column(width=11, no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_row(Text(f"  {name}", style="dim"), Text(text))
    return table


def _plain(text: str, *, indent: int) -> RenderableType:
    return Padding(Text(text), (0, 0, 0, indent))
