"""What of an agent's numbered messages has arrived, and what became of the rest, floor 2.

Each queued message of a store has a number, one more than the one before. So whoever knows which
numbers have arrived, which the agent says it has dropped, and below which number nothing waits any
more, can prove that nothing is missing, or name what is:

* arrived;
* lost: dropped by the agent undelivered, and recorded there (its size bound);
* waiting: still with the agent, or on its way;
* missing: the broker has acknowledged it, and it is not here. It was refused by ingest (then it
  stands in the dead letters), or the broker lost what it had taken.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Ledger", "LostRun", "Run", "Verdict", "holes", "joined", "judge"]


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive numbers, both ends included."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """Messages."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class LostRun:
    """A run that the agent has dropped.

    Attributes:
        samples: readings, events and counters in it, as the agent has told.
        from_ms: UTC milliseconds of its first sample; None if it was never dated.
    """

    first: int
    last: int
    samples: int
    from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a store knows of the numbers of one agent's store.

    Attributes:
        store: id of the agent's store.
        branch: 0; more if that store was set back and numbers anew.
        arrived: runs in order, apart from each other.
        lost: what the agent says it has dropped.
        settled_seq: below this number nothing waited any more, as the agent told last; None if it
            has not told.
        thinned: runs of which the agent says that it has left samples out; the messages have fates
            of their own.
        last_seq: the last number that is known to have been given; 0 if only what arrived tells.
    """

    site: str
    agent: str
    bus: str
    store: str
    branch: int
    arrived: tuple[Run, ...]
    lost: tuple[LostRun, ...] = ()
    settled_seq: int | None = None
    last_seq: int = 0
    thinned: tuple[LostRun, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ledger judged.

    Attributes:
        counted: the numbers that are judged, from the first that is known here.
        delivered: messages of those that have arrived.
    """

    ledger: Ledger
    counted: Run | None
    delivered: int
    lost: tuple[LostRun, ...]
    missing: tuple[Run, ...]
    waiting: tuple[Run, ...]

    @property
    def thinned_samples(self) -> int:
        """Samples that the agent has left out, as it has told."""
        return sum(run.samples for run in self.ledger.thinned)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is lost, missing or thinned; something may wait."""
        return not self.lost and not self.missing and not self.ledger.thinned

    @property
    def gaps(self) -> int:
        """Runs that will not come by themselves."""
        return len(self.lost) + len(self.missing)

    @property
    def delivered_pct(self) -> float | None:
        """Share of what is not waiting that has arrived, cut, not rounded: 100 is all of it."""
        gone = [Run(each.first, each.last) for each in self.lost] + list(self.missing)
        due = self.delivered + sum(run.count for run in gone)
        return None if not due else self.delivered * 10_000 // due / 100


def joined(numbers: Iterable[int]) -> list[Run]:
    """Return increasing numbers as runs; a number may stand there more than once."""
    runs: list[Run] = []
    for number in numbers:
        if runs and number <= runs[-1].last + 1:
            runs[-1] = Run(runs[-1].first, max(runs[-1].last, number))
        else:
            runs.append(Run(number, number))
    return runs


def holes(runs: Sequence[Run], within: Run) -> list[Run]:
    """Return what of `within` lies in none of the runs, which are in order and apart."""
    edges = [Run(within.first - 1, within.first - 1), *runs, Run(within.last + 1, within.last + 1)]
    found = (Run(one.last + 1, other.first - 1) for one, other in pairwise(edges))
    clipped = (Run(max(r.first, within.first), min(r.last, within.last)) for r in found)
    return [run for run in clipped if run.first <= run.last]


def judge(ledger: Ledger) -> Verdict:
    """Say what became of each number."""
    known = [*ledger.arrived, *(Run(each.first, each.last) for each in ledger.lost)]
    if not known:
        return Verdict(ledger, None, 0, (), (), ())
    start = min(run.first for run in known)
    settled = start if ledger.settled_seq is None else ledger.settled_seq
    counted = Run(start, max(settled - 1, ledger.last_seq, *(run.last for run in known)))
    absent = holes(ledger.arrived, counted)
    lost = list(_lost(ledger.lost, absent))
    known = [Run(each.first, each.last) for each in lost]
    unexplained = [part for run in absent for part in holes(_inside(known, run), run)]
    return Verdict(
        ledger,
        counted,
        sum(run.count for run in ledger.arrived),
        tuple(lost),
        tuple(_common(unexplained, Run(0, settled - 1))),
        tuple(_common(unexplained, Run(settled, counted.last))),
    )


def _lost(told: Iterable[LostRun], absent: Sequence[Run]) -> Iterator[LostRun]:
    """Yield what was dropped and has not arrived after all; runs that grew were told twice."""
    end = 0
    for each in sorted(told, key=lambda run: (run.first, -run.last)):
        for part in _common(absent, Run(max(each.first, end + 1), each.last)):
            yield LostRun(part.first, part.last, each.samples, each.from_ms)
        end = max(end, each.last)


def _common(runs: Iterable[Run], within: Run) -> list[Run]:
    cut = (Run(max(run.first, within.first), min(run.last, within.last)) for run in runs)
    return [run for run in cut if run.first <= run.last]


def _inside(runs: Iterable[Run], within: Run) -> list[Run]:
    return [run for run in runs if run.first <= within.last and run.last >= within.first]
