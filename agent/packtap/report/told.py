"""A diagnosis that an agent told, as a value again, floor 4.

The agent writes what `Diagnosis.as_document` gives; a report of a store is to say the same as the
page beside it. What is no such document, or one of another packtap, gives None: the report is then
made of something else, and says so.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Final

from packtap import kinds
from packtap.analysis.defect_words import DEFECT_WORDS
from packtap.analysis.diagnosis import Diagnosis, RankedCause
from packtap.analysis.next_test import TESTS, PossibleTest
from packtap.model import Cause

__all__ = ["diagnosis_told"]

_CAUSES: Final = {cause.value: cause for cause in Cause}
_TESTS: Final = {test.name: test for test in TESTS}


def diagnosis_told(told: object) -> Diagnosis | None:
    """Return the diagnosis of a now-document's key `diagnosis`; None if it is none."""
    if not isinstance(told, Mapping):
        return None
    said, lacks = _texts(told.get("evidence")), _texts(told.get("lacks"))
    entries = told.get("diagnosis")
    causes = [_cause(entry, said) for entry in entries] if isinstance(entries, list) else []
    ranked = [entry for entry in causes if entry is not None]
    if len(ranked) != len(causes) or {entry.cause for entry in ranked} != set(Cause):
        return None
    error = told.get("esc_error")
    return Diagnosis(
        causes=tuple(sorted(ranked, key=lambda entry: -entry.probability)),
        cannot_judge=tuple(n for n in _names(told.get("cannot_judge")) if n in kinds.by_name),
        next_test=_test(told.get("next_test")),
        said=said,
        lacks={kind: words for kind, words in lacks.items() if kind in kinds.by_name},
        answers=_names(told.get("answers")),
        esc_error=error if isinstance(error, str) else None,
        danger=_names(told.get("danger")),
        in_danger=told.get("in_danger") is not False,  # not known: nobody is sent to charge it
    )


def _cause(entry: object, said: Mapping[str, str]) -> RankedCause | None:
    if not isinstance(entry, Mapping):
        return None
    cause, defect, share = (entry.get(name) for name in ("cause", "defect", "probability"))
    if isinstance(share, bool) or not isinstance(share, int | float):
        return None
    if not (isinstance(cause, str) and isinstance(defect, str)):
        return None
    if cause not in _CAUSES or defect not in DEFECT_WORDS:
        return None
    if not (isfinite(share) and 0 <= share <= 1):
        return None
    return RankedCause(
        _CAUSES[cause],
        float(share),
        defect,
        tuple(name for name in _names(entry.get("evidence_for")) if name in said),
        tuple(name for name in _names(entry.get("evidence_against")) if name in said),
    )


def _test(told: object) -> PossibleTest | None:
    name = told.get("name") if isinstance(told, Mapping) else None
    return _TESTS.get(name) if isinstance(name, str) else None


def _texts(told: object) -> dict[str, str]:
    if not isinstance(told, Mapping):
        return {}
    return {name: words for name, words in told.items() if isinstance(words, str)}


def _names(told: object) -> tuple[str, ...]:
    return tuple(n for n in told if isinstance(n, str)) if isinstance(told, list) else ()
