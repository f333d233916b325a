"""Replay labelled captures and say how good the detectors are, as a Markdown document.

    python tests/score.py [--own N] [FOLDER ...] > tests/SCORE.md

A folder holds `<name>.log.gz` beside `<name>.json`: family, onset, expected and forbidden kinds,
faulty cells and the cause. A hit is an expected kind between 5 s before the onset and its deadline;
a false alarm is a warning or critical event on a sound pack, or before the onset, counted once an
hour for one kind and cell; the Brier score sums the squared errors of the seven probabilities (0 is
best, 2 worst). Bench visits and everyday captures have tables of their own.

`--own N` adds N random scooters a family of our own simulation (`own_set`), in chapters of their
own: an examiner whose packs, curves and severities come from another model than the captures.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

from ninebot_bms import Observer
from packtap.analysis.open_events import OpenEvents
from packtap.inputs import open_capture
from packtap.model import Cause, Event, EventState, Severity
from packtap.replaying import replay
from packtap.tap import Tap, TapSettings

__all__ = ["Outcome", "judge", "run", "score"]

_EARLY_S: Final = 5.0
_DEDUP_S: Final = 3600.0
_FOLDER: Final = Path(__file__).parent / "scenarios"
#: What other ways reach on the public captures: fixed limits with flags, the best that is usual.
_USUAL: Final = {
    "everyday": (0.64, 0.20, 0.75, 0.0, 0.12, 0.48, 0.70, 1.6),
    "visit": (0.75, 0.50, 1.00, 0.0, 0.20, 0.45, 0.68, None),
}
_GOAL: Final = (0.97, 0.95, 0.99, 0.02, 0.02, 0.95, 0.08, 2.0)
_NAMES: Final = (
    "faults detected",
    "right kind named",
    "faulty cell right",
    "false alarms per healthy day (visits: share of sound packs)",
    "faults with a forbidden event",
    "top cause right, faults only",
    "Brier score",
    "median delay after the evidence, s",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one capture went.

    Attributes:
        name: of the capture.
        family: what is wrong with the pack.
        is_healthy: nothing is.
        days: length of the capture.
        hits: tier, whether it was met, delay after the evidence was on the wire (seconds).
        kinds: warning and critical kinds that were raised.
        forbidden: kinds that should not have been.
        false_alarms: kind and cell.
        cell_ok: whether the right cell was named; None where there is none.
        cause: the true one.
        said: the most probable one.
        cause_ok: whether that is the true one, or accepted as well.
        brier: 0-2.
    """

    name: str
    family: str
    is_healthy: bool
    days: float
    hits: tuple[tuple[str, bool, float | None], ...]
    kinds: frozenset[str]
    forbidden: tuple[str, ...]
    false_alarms: tuple[str, ...]
    cell_ok: bool | None
    cause: str
    said: str
    cause_ok: bool
    brier: float


def run(capture: Path) -> tuple[list[Event], dict[str, float]]:
    """Return the events that were raised, and the probability of each cause."""
    tap, raised = Tap(TapSettings(), OpenEvents("score")), []
    with open_capture(str(capture)) as chunks:
        for digest in replay(chunks, tap, Observer()):
            raised += [event for event in digest.events if event.state is EventState.RAISED]
    return raised, {c.cause.value: c.probability for c in tap.diagnose().causes}


def judge(label: dict[str, Any], raised: Sequence[Event], causes: dict[str, float]) -> Outcome:
    """Compare what was found with what is true."""
    onset = label["onset_t"]
    events = [(event.t or 0.0, event) for event in raised]
    hits = []
    for expected in label["expected_events"]:
        kinds = {expected["kind"], *(expected.get("any_of") or ())}
        times = [t for t, e in events if e.kind in kinds and t >= onset - _EARLY_S]
        met = [t for t in times if t <= onset + expected["max_delay_s"]]
        seen = label.get("observable_t") or onset
        hits.append((expected["tier"], bool(met), max(0.0, min(met) - seen) if met else None))
    said = max(causes, key=lambda cause: causes[cause])
    truth = label["expected_top_cause"]
    return Outcome(
        name=label["scenario"],
        family=label["family"],
        is_healthy="healthy" in label["family"],
        days=label["duration_s"] / 86400,
        hits=tuple(hits),
        kinds=frozenset(e.kind for _, e in events),
        forbidden=tuple(sorted({e.kind for e in raised if e.kind in label["forbidden_events"]})),
        false_alarms=_false_alarms(label, events),
        cell_ok=_cell_ok(label, events),
        cause=truth,
        said=said,
        cause_ok=said in {truth, *label["also_accept_causes"]},
        brier=sum((causes[cause.value] - (cause.value == truth)) ** 2 for cause in Cause),
    )


def _false_alarms(label: dict[str, Any], events: Sequence[tuple[float, Event]]) -> tuple[str, ...]:
    onset, last, found = label["onset_t"], dict[tuple[str, int | None], float](), []
    for t, event in sorted(events, key=lambda pair: pair[0]):
        key = (event.kind, event.cell)
        is_early = onset is None or (label["family"] != "clock_jump" and t < onset - _EARLY_S)
        if event.severity is Severity.INFO or event.kind in label["allowed_events"]:
            continue
        if is_early and t - last.get(key, -1e18) >= _DEDUP_S:
            last[key] = t
            found.append(f"{event.kind} {event.cell or ''}".strip())
    return tuple(found)


def _cell_ok(label: dict[str, Any], events: Sequence[tuple[float, Event]]) -> bool | None:
    if not label["faulty_cells"]:
        return None
    exact = {expected["kind"] for expected in label["expected_events"]}
    named: Counter[int] = Counter()
    for kinds in (exact, {k for e in label["expected_events"] for k in e.get("any_of") or ()}):
        for _, event in events:
            if event.kind in kinds and event.cell is not None:
                named[event.cell] += 1
        if named:
            return named.most_common(1)[0][0] in label["faulty_cells"]
    return False


def score(outcomes: Sequence[Outcome]) -> tuple[float | None, ...]:
    """Return the eight figures of `_NAMES`; None where nothing can be said."""
    faulty = [o for o in outcomes if not o.is_healthy]
    sound = [o for o in outcomes if o.is_healthy]
    is_visit = bool(outcomes) and outcomes[0].family.startswith("visit_")
    if is_visit:
        alarms = _mean(bool(o.false_alarms) for o in sound)
    else:
        days = sum(o.days for o in sound)
        alarms = sum(len(o.false_alarms) for o in sound) / days if days else None
    delays = [o.hits[0][2] for o in faulty if o.hits and o.hits[0][2] is not None]
    return (
        _mean(met for o in faulty for tier, met, _ in o.hits if tier == "detect"),
        _mean(met for o in faulty for tier, met, _ in o.hits if tier == "isolate"),
        _mean(o.cell_ok for o in faulty if o.cell_ok is not None),
        alarms,
        _mean(bool(o.forbidden) for o in faulty),
        _mean(o.cause_ok for o in faulty),
        _mean(o.brier for o in outcomes),
        median(delay for delay in delays if delay is not None) if delays else None,
    )


def _mean(values: Iterable[float]) -> float | None:
    listed = [float(value) for value in values]
    return fmean(listed) if listed else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(row)} |" for row in lines] + [""]


def _document(outcomes: Sequence[Outcome], own: Sequence[Outcome], each: int) -> list[str]:
    # Everyday captures are no part of the repository: where they lie differs, and is not told.
    has_folder = any(not outcome.family.startswith("visit_") for outcome in outcomes)
    command = f"make score{' SCENARIOS=<folder>' if has_folder else ''} OWN={each}"
    lines = [
        "# How good the detectors are",
        "",
        f"Written by `{command}`. The captures are simulated, by a simulator that is not part of "
        "this project; no pack was measured. The bench visits are in `tests/scenarios`; everyday "
        "captures are scored where a folder of them is at hand.",
        "",
    ]
    if own:
        lines += [
            f"`OWN={each}` adds, in chapters of their own, {each} random scooters a family of our "
            f"own simulation (`tests/own_set.py`, seeds 0 to {each - 1}). The detectors were "
            "mended on scooters of this simulation too: the figures say how they hold over many "
            "packs, not how they do on packs that they were never tried on.",
            "",
        ]
    for title, is_visit in (("Everyday captures", False), ("Bench visits", True)):
        usual = _USUAL["visit" if is_visit else "everyday"]
        part = [o for o in outcomes if o.family.startswith("visit_") == is_visit]
        if part:
            lines += _chapter(title, usual, part)
        part = [o for o in own if o.family.startswith("visit_") == is_visit]
        if part:
            lines += _chapter(f"Our own simulation: {title.lower()}", None, part)
    return lines


def _chapter(
    title: str, usual: tuple[float | None, ...] | None, part: Sequence[Outcome]
) -> list[str]:
    sound = sum(o.is_healthy for o in part)
    lines = [f"## {title}", "", f"{len(part)} captures, {sound} of sound packs.", ""]
    rows = list(zip(_NAMES, usual or _GOAL, _GOAL, score(part), strict=True))
    if usual is None:
        # When the evidence is on the wire is not computed for our own: no delay after it.
        head = ("", "goal", "packtap")
        table = [(name, _number(goal), _number(ours)) for name, _, goal, ours in rows[:-1]]
        lines += _table(head, table)
    else:
        lines += _table(
            ("", "fixed limits", "goal", "packtap"),
            [(name, *(_number(value) for value in values)) for name, *values in rows],
        )
    families: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in part:
        families[outcome.family].append(outcome)
    lines += ["### Family and kinds raised", ""]
    lines += _table(
        ("family", "captures", "kinds raised (in so many captures)"),
        [(name, str(len(group)), _counted(k for o in group for k in o.kinds))
         for name, group in sorted(families.items())],
    )  # fmt: skip
    lines += ["### Family and cause", ""]
    lines += _table(
        ("family", *(cause.value for cause in Cause), "Brier"),
        [(name, *(str(sum(o.said == cause.value for o in group) or "") for cause in Cause),
          _number(_mean(o.brier for o in group)))
         for name, group in sorted(families.items())],
    )  # fmt: skip
    wrong = [f"- {o.name} ({o.family}): {text}" for o in part if (text := _wrong(o))]
    return [*lines, "### Still wrong", "", *(wrong or ["Nothing in this set."]), ""]


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common()) or "-"


def _wrong(outcome: Outcome) -> str:
    parts = [f"{tier}: missed or late" for tier, met, _ in outcome.hits if not met]
    if outcome.forbidden:
        parts.append(f"forbidden: {', '.join(outcome.forbidden)}")
    if outcome.false_alarms:
        parts.append(f"false alarms: {', '.join(outcome.false_alarms)}")
    if outcome.cell_ok is False:
        parts.append("wrong cell")
    if not outcome.cause_ok:
        parts.append(f"cause {outcome.cause}, said {outcome.said}")
    return "; ".join(parts)


def score_file(label: Path) -> Outcome:
    """Replay one capture and judge it."""
    capture = label.with_suffix(".log.gz")
    return judge(json.loads(label.read_text()), *run(capture))


def score_own(which: tuple[str, int]) -> Outcome:
    """Simulate one random scooter and judge what is told of it."""
    from own_set import draw
    from simulations import tell

    own = draw(*which)
    told = tell(own.case)
    return judge(own.label, told.events, told.causes)


def main(words: Sequence[str]) -> int:
    """Print the document; exit 1 if something is still wrong."""
    parser = argparse.ArgumentParser(description="How good are the detectors?")
    parser.add_argument("folders", nargs="*", default=[str(_FOLDER)])
    parser.add_argument("--own", type=int, default=0, metavar="N", help="a family, simulated here")
    arguments = parser.parse_args(words)
    labels = [path for folder in arguments.folders for path in Path(folder).glob("*.json")]
    with ProcessPoolExecutor() as pool:
        outcomes = list(pool.map(score_file, sorted(labels)))
        own = list(pool.map(score_own, _own(arguments.own)))
    print("\n".join(_document(outcomes, own, arguments.own)))
    return int(any(_wrong(outcome) for outcome in (*outcomes, *own)))


def _own(each: int) -> list[tuple[str, int]]:
    if not each:
        return []
    from own_set import FAMILIES

    return [(family, seed) for seed in range(each) for family in FAMILIES]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
