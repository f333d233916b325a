"""What the doctor says, as values: checks with their outcome, and one verdict, floor 4."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Check", "Outcome", "Verdict", "failed", "not_tried", "passed"]


class Outcome(StrEnum):
    """How a check ended. What was not tried is never called fine."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: short, the same in every run.
        seen: what was seen; for a check that was not tried, why not.
        means: what that means, for one that failed.
        next: what to do about it, for one that failed.
        line: the wire it is about; None: it is about no wire.
    """

    name: str
    outcome: Outcome
    seen: str
    means: str = ""
    next: str = ""
    line: str | None = None

    def as_document(self) -> dict[str, Any]:
        """Return it as a line of `--json`."""
        return {"kind": "check", **asdict(self), "outcome": self.outcome.value}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "why is nothing coming?".

    Attributes:
        name: the same in every run: `nothing`, `esc_knocks`, `fine`, ...
        title: in one sentence, for people.
        is_fine: nothing that was tried failed.
        is_silent: nothing answers, and nothing else was found.
        seen: what was seen, with its numbers.
        means: what that means.
        next: what to do next, the most promising first.
    """

    name: str
    title: str
    is_fine: bool
    is_silent: bool
    seen: str
    means: str
    next: tuple[str, ...]

    def as_document(self, checks: Sequence[Check], seconds: float) -> dict[str, Any]:
        """Return it as the last line of `--json`."""
        by = {
            outcome: [check.name for check in checks if check.outcome is outcome]
            for outcome in Outcome
        }
        return {
            "kind": "verdict",
            "verdict": self.name,
            "title": self.title,
            "fine": self.is_fine,
            "seen": self.seen,
            "means": self.means,
            "next": list(self.next),
            "failed": by[Outcome.FAIL],
            "not_tried": by[Outcome.NOT_TRIED],
            "seconds": round(seconds, 1),
        }


def passed(name: str, seen: str, line: str | None = None) -> Check:
    """Return a check that found nothing wrong."""
    return Check(name, Outcome.PASS, seen, line=line)


def failed(name: str, seen: str, means: str, next_step: str, line: str | None = None) -> Check:
    """Return a check that found a fault."""
    return Check(name, Outcome.FAIL, seen, means, next_step, line)


def not_tried(name: str, why: str, line: str | None = None) -> Check:
    """Return a check that could not be made, or was not asked for."""
    return Check(name, Outcome.NOT_TRIED, why, line=line)
