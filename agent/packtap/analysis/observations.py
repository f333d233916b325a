"""What a person sees or measures, as rows, floor 2: `--observe KEY=VALUE`.

One row an observation: how it is asked, how an answer is read, and how likely each outcome is under
each defect. The same rows are the tests that a person can do: a row with an `action` is proposed by
`next_test` while it is not answered. No observation opens the pack.

Likelihoods have the form of `defects.DEFECTS`: an outcome names the defects that make it likely or
unlikely, everything else has the outcome's `usual` probability; the last outcome of a row takes
what the others leave. Numbers are estimates from the physics of each defect (`why`); no public
statistics of what technicians find go below the seven causes. An answer "unknown" moves nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from packtap.analysis.defects import Defect

__all__ = ["UNKNOWN", "Context", "Number", "Observation", "Outcome", "nearest", "yes_or_no"]

#: The answer of somebody who cannot tell.
UNKNOWN: Final = "unknown"

_WORDS: Final = {
    "yes": "yes", "y": "yes", "true": "yes", "1": "yes",
    "no": "no", "n": "no", "false": "no", "0": "no",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the pack beside an answer.

    Attributes:
        cells: number of series cells; None if it is not known.
        pack_v: the voltage that the board itself reports; None if it does not.
    """

    cells: int | None = None
    pack_v: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way in which an observation can come out.

    Attributes:
        name: snake_case; the VALUE itself where a person chooses.
        words: what was seen, for people.
        usual: probability under a defect that `given` does not name.
        given: probability by name of defect.
        danger: what must be said first and loudly; "" if nothing.
    """

    name: str
    words: str
    usual: float
    given: Mapping[str, float]
    danger: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """How a measured number is read.

    Attributes:
        unit: for people.
        least: smallest number that can have been meant.
        most: largest.
        judge: number and context -> name of the outcome; None: cannot be judged without context.
        lacks: what is missing if it cannot be judged.
    """

    unit: str
    least: float
    most: float
    judge: Callable[[float, Context], str | None]
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """One row.

    Attributes:
        key: snake_case, stable: the KEY of `--observe`.
        asks: what is seen or measured, as a question.
        why: the reasoning behind the numbers.
        outcomes: at least two; the last one takes the probability that the others leave.
        number: how a measured value is read; None: the value is the name of an outcome.
        told_by: kinds and signs that say the same as the outcomes other than the last: where the
            traffic told one of them, the answer is shown and weighs nothing more.
        test: name of the test that finds it out; "" if nobody is asked to.
        action: what to do to find it out.
        counts_if: what to look for.
        on_bench: it can be found out with the pack alone.
    """

    key: str
    asks: str
    why: str
    outcomes: tuple[Outcome, ...]
    number: Number | None = None
    told_by: frozenset[str] = frozenset()
    test: str = ""
    action: str = ""
    counts_if: str = ""
    on_bench: bool = True

    @property
    def values(self) -> str:
        """What can stand for VALUE, for people."""
        if self.number is not None:
            return f"NUMBER ({self.number.unit})"
        return "|".join(outcome.name for outcome in self.outcomes)

    def read(self, text: str) -> str:
        """Return an answer in its lasting form.

        Args:
            text: what stands behind the `=`.

        Raises:
            ValueError: it is no answer to this question; says what would be.
        """
        word = text.strip().lower()
        if word in (UNKNOWN, "?"):
            return UNKNOWN
        if self.number is not None:
            return self._read_number(word, self.number)
        names = [outcome.name for outcome in self.outcomes]
        if "yes" in names or "no" in names:
            word = _WORDS.get(word, word)
        if word not in names:
            near = nearest(word, names)
            hint = f" (did you mean {near}?)" if near else ""
            raise ValueError(f"{text!r} is no answer to {self.key}: {self.values}{hint}")
        return word

    def _read_number(self, word: str, number: Number) -> str:
        unit = number.unit.lower()
        try:
            value = float(word.removesuffix(unit).strip().replace(",", "."))
        except ValueError:
            value = float("nan")
        if not number.least <= value <= number.most:
            raise ValueError(
                f"{word!r} is no answer to {self.key}: a number from {number.least:g} to "
                f"{number.most:g} ({number.unit})"
            )
        return f"{value:g}"

    def outcome(self, answer: str, context: Context) -> Outcome | None:
        """Return how an answer counts; None: it is unknown, or cannot be judged.

        Args:
            answer: as `read` returned it.
            context: what is known of the pack.
        """
        if answer == UNKNOWN:
            return None
        name: str | None = answer
        if self.number is not None:
            name = self.number.judge(float(answer), context)
        return next((each for each in self.outcomes if each.name == name), None)

    def probability(self, outcome: Outcome, defect: Defect) -> float:
        """Return how likely an outcome is if this is the defect."""
        *told, last = self.outcomes
        if outcome is not last:
            return outcome.given.get(defect.name, outcome.usual)
        return 1 - sum(each.given.get(defect.name, each.usual) for each in told)

    def chances(self, defect: Defect) -> tuple[float, ...]:
        """Return the probability of every outcome if this is the defect; they sum to one."""
        return tuple(self.probability(outcome, defect) for outcome in self.outcomes)


def nearest(word: str, names: list[str]) -> str | None:
    """Return the name that is written most like a word, if one is."""
    found = get_close_matches(word, names, n=1, cutoff=0.5)
    return found[0] if found else None


def yes_or_no(
    seen: str, not_seen: str, usual: float, /, danger: str = "", **given: float
) -> tuple[Outcome, ...]:
    """Return the outcomes of a question that is answered by yes or no.

    Args:
        seen: the words of a yes.
        not_seen: the words of a no.
        usual: how often people say yes to it whatever is wrong.
        danger: what must be said loudly after a yes.
        given: probability of a yes by name of defect.
    """
    return (
        Outcome("yes", seen, usual, MappingProxyType(given), danger),
        Outcome("no", not_seen, 1 - usual, MappingProxyType({})),
    )
