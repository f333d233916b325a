"""Which cause explains what was seen? Floor 2.

Bayes over the defects of `defects.DEFECTS`, summed up by cause: a prior; every kind of event that
was raised multiplies a defect by the probability that it raises that kind, every kind that was
judged and stayed quiet by the probability that it does not, every answer of a person by the
probability of that answer. What nobody could judge or tell moves nothing. Probabilities sum to one.

Priors: a reported "BMS fault" (on the display, a fault flag that heat does not explain, or a BMS
that does not answer) starts from the repair report: board 60 %, cells 25 %, connections 10 %, the
rest split as in events.md section 3. Without one, `none` has one half and the rest is shared in the
same proportions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import log2
from types import MappingProxyType
from typing import Final

from packtap.analysis.defects import DEFECTS, Defect
from packtap.analysis.evidence import Evidence
from packtap.analysis.next_test import HAZARDS, TESTS, PossibleTest
from packtap.analysis.observation_rows import by_key
from packtap.analysis.requirements import lacking
from packtap.analysis.statements import say, say_answer, say_error
from packtap.model import Cause

__all__ = ["FAULT_PRIOR", "Diagnosis", "RankedCause", "diagnose"]

#: Prior given a reported BMS fault and nothing else. Source: events.md section 3.
FAULT_PRIOR: Final[Mapping[Cause, float]] = MappingProxyType(
    {
        Cause.BMS_BOARD: 0.60,
        Cause.CELL_DAMAGE: 0.25,
        Cause.CONNECTION: 0.10,
        Cause.MOISTURE: 0.03,
        Cause.CALIBRATION: 0.015,
        Cause.DEEP_DISCHARGE: 0.005,
        Cause.NONE: 0.0,
    }
)

_NONE_PRIOR: Final = 0.5  # without a reported fault
#: Even a reported fault leaves a little room for a sound pack (ESC, plug, dashboard).
_NONE_REPORTED: Final = 0.003
#: A test that is expected to tell less than this, of at most 2.8 bits, is not worth the time.
_WORTH_BITS: Final = 0.05
#: Evidence is named for or against a cause if it moves it by this factor.
_SPEAKS: Final = 1.5


@dataclass(frozen=True, slots=True)
class RankedCause:
    """One cause.

    Attributes:
        cause: which.
        probability: 0-1.
        defect: the most probable defect of this cause, a name of `defects.DEFECTS`.
        evidence_for: kinds and signs that were seen, "no <kind>" for those that stayed quiet, and
            "<key>=<answer>" for what a person told.
        evidence_against: the same, speaking against it.
    """

    cause: Cause
    probability: float
    defect: str
    evidence_for: tuple[str, ...]
    evidence_against: tuple[str, ...]

    def as_document(self) -> dict[str, object]:
        """Return it as JSON keys and values."""
        return {
            "cause": self.cause.value,
            "probability": round(self.probability, 9),
            "defect": self.defect,
            "evidence_for": list(self.evidence_for),
            "evidence_against": list(self.evidence_against),
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What explains what was seen.

    Attributes:
        causes: all of them, most probable first; probabilities sum to one.
        cannot_judge: kinds of event for which something was missing.
        next_test: what would tell most, among what can be done now; None if nothing would.
        said: every piece of evidence -> its sentence, with the measured numbers.
        lacks: kind that could not be judged -> what is missing, and how much of it.
        answers: every answer of a person, as a sentence.
        esc_error: what the scooter shows, as a sentence that says whether it was counted; None:
            nothing.
        danger: what must be said first and loudly.
        in_danger: nobody may be sent to charge or ride this pack.
    """

    causes: tuple[RankedCause, ...]
    cannot_judge: tuple[str, ...]
    next_test: PossibleTest | None
    said: Mapping[str, str] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    esc_error: str | None = None
    danger: tuple[str, ...] = ()
    in_danger: bool = False

    def as_document(self) -> dict[str, object]:
        """Return it as JSON keys and values: what `replay`, the page and MQTT carry alike."""
        test = self.next_test
        return {
            "diagnosis": [entry.as_document() for entry in self.causes],
            "cannot_judge": list(self.cannot_judge),
            "next_test": None if test is None else test.as_document(),
            "evidence": dict(self.said),
            "lacks": dict(self.lacks),
            "answers": list(self.answers),
            "esc_error": self.esc_error,
            "danger": list(self.danger),
            "in_danger": self.in_danger,
        }


def diagnose(evidence: Evidence, *, on_bench: bool = False) -> Diagnosis:
    """Return the causes, most probable first, and what to do next.

    Args:
        evidence: what was seen and what stayed quiet.
        on_bench: the pack is alone on the bench: tests that need a ride are out of reach.
    """
    factors = _factors(evidence)
    weights = _normalised([_posterior(defect, evidence, factors) for defect in DEFECTS])
    ranked = [_rank(cause, weights, factors) for cause in Cause]
    ranked.sort(key=lambda entry: entry.probability, reverse=True)
    return Diagnosis(
        causes=tuple(ranked),
        cannot_judge=evidence.unjudged,
        next_test=_most_informative(weights, evidence, on_bench=on_bench),
        said={name: say(name, evidence) for name in factors},
        lacks={kind: lacking(kind, evidence.exposure) for kind in evidence.unjudged},
        answers=tuple(
            say_answer(key, answer, evidence.context) for key, answer in evidence.observed.items()
        ),
        esc_error=None if evidence.esc_error is None else say_error(evidence.esc_error),
        danger=_danger(evidence),
        in_danger=_is_in_danger(evidence),
    )


def _danger(evidence: Evidence) -> tuple[str, ...]:
    """Return what a person answered that is dangerous by itself."""
    found = (
        by_key[key].outcome(answer, evidence.context) for key, answer in evidence.observed.items()
    )
    return tuple(outcome.danger for outcome in found if outcome is not None and outcome.danger)


def _is_reported(evidence: Evidence) -> bool:
    if evidence.fault_reported or "bms_comm_lost" in evidence.raised:
        return True
    if "bms_fault_flag" not in evidence.raised:
        return False
    flags = {sign for sign in evidence.signs if sign.startswith("flag_")}
    is_heat = flags == {"flag_over_temperature"} and "over_temperature" in evidence.raised
    return not is_heat


def _prior(defect: Defect, evidence: Evidence) -> float:
    if _is_reported(evidence):
        return max(FAULT_PRIOR[defect.cause], _NONE_REPORTED) * defect.share
    if defect.cause is Cause.NONE:
        return _NONE_PRIOR * defect.share
    return FAULT_PRIOR[defect.cause] * (1 - _NONE_PRIOR) * defect.share


#: Evidence as the sentence names it, and its probability under each defect, in the rows' order.
_Factors = dict[str, tuple[float, ...]]


def _factors(evidence: Evidence) -> _Factors:
    factors: _Factors = {}
    signs, quiet = evidence.signs, evidence.quiet
    if evidence.is_contradicted:
        # Not two facts but one: a pack that answers here is not the silent one of the error.
        signs = signs - {"esc_silent"} | {"esc_silent_answered"}
        quiet -= {"bms_comm_lost"}
    for name in sorted(evidence.telling | signs):
        factors[name] = tuple(defect.probability(name) for defect in DEFECTS)
    for name in sorted(quiet):
        factors[f"no {name}"] = tuple(1 - defect.probability(name) for defect in DEFECTS)
    for key, answer in evidence.observed.items():
        row = by_key[key]
        outcome = row.outcome(answer, evidence.context)
        if outcome is None:
            continue
        # What the traffic has told already is the same fact once more, not a second one.
        if outcome is not row.outcomes[-1] and row.told_by & (evidence.raised | evidence.signs):
            continue
        chances = tuple(row.probability(outcome, defect) for defect in DEFECTS)
        factors[f"{key}={answer}"] = chances
    return factors


def _posterior(defect: Defect, evidence: Evidence, factors: _Factors) -> float:
    weight = _prior(defect, evidence)
    row = DEFECTS.index(defect)
    for probabilities in factors.values():
        weight *= probabilities[row]
    return weight


def _normalised(weights: Iterable[float]) -> tuple[float, ...]:
    listed = tuple(weights)
    total = sum(listed)
    return tuple(weight / total for weight in listed)


def _rank(cause: Cause, weights: tuple[float, ...], factors: _Factors) -> RankedCause:
    rows = [row for row, defect in enumerate(DEFECTS) if defect.cause is cause]
    probability = sum(weights[row] for row in rows)
    best = max(rows, key=lambda row: weights[row])
    speaks_for: list[str] = []
    speaks_against: list[str] = []
    for name, probabilities in factors.items():
        mine = probabilities[best]
        # Against the average of what else could be: all other causes, by what they weigh.
        others = [row for row, defect in enumerate(DEFECTS) if defect.cause is not cause]
        weight = sum(weights[row] for row in others)
        share = sum(weights[row] * probabilities[row] for row in others)
        typical = share / weight if weight > 0 else mine
        # The leading cause made the evidence likely: compare it with what is typical anyway.
        plain = sum(probabilities[row] for row in others) / len(others)
        if mine >= _SPEAKS * min(typical, plain):
            speaks_for.append(name)
        elif mine * _SPEAKS <= max(typical, plain):
            speaks_against.append(name)
    return RankedCause(
        cause, probability, DEFECTS[best].name, tuple(speaks_for), tuple(speaks_against)
    )


def _most_informative(
    weights: tuple[float, ...], evidence: Evidence, *, on_bench: bool
) -> PossibleTest | None:
    """Return the test with the largest expected drop of uncertainty about the cause."""
    now = _entropy(weights)
    best: PossibleTest | None = None
    best_gain = _WORTH_BITS
    in_danger = _is_in_danger(evidence)
    for test in TESTS:
        if on_bench and not test.on_bench:
            continue
        if in_danger and test.works_the_pack:
            continue
        if _is_done(test, evidence):
            continue
        gain = now - _expected_entropy(test, weights)
        if gain > best_gain:
            best, best_gain = test, gain
    return best


def _is_done(test: PossibleTest, evidence: Evidence) -> bool:
    """Return whether the traffic has told the result already, or a person has."""
    if test.observation is not None and test.observation.key in evidence.observed:
        return True
    return bool(test.shows) and test.shows <= (evidence.judged | evidence.raised)


def _is_in_danger(evidence: Evidence) -> bool:
    """Return whether nobody may be sent to charge or ride this pack."""
    told = {key for key, answer in evidence.observed.items() if answer == "yes"}
    return bool(HAZARDS & (evidence.raised | told))


def _expected_entropy(test: PossibleTest, weights: tuple[float, ...]) -> float:
    """Return the uncertainty that is left after a test, averaged over its results."""
    chances = [test.chances(defect) for defect in DEFECTS]
    after = 0.0
    for result in range(len(chances[0])):
        parts = [weight * row[result] for weight, row in zip(weights, chances, strict=True)]
        total = sum(parts)
        if total > 0:
            after += total * _entropy(_normalised(parts))
    return after


def _entropy(weights: tuple[float, ...]) -> float:
    """Return the uncertainty about the cause, bits."""
    by_cause = dict.fromkeys(Cause, 0.0)
    for weight, defect in zip(weights, DEFECTS, strict=True):
        by_cause[defect.cause] += weight
    return -sum(p * log2(p) for p in by_cause.values() if p > 0)
