"""A piece of evidence in words, with its numbers, floor 2.

The diagnosis names its evidence shortly ("cell_imbalance", "no dead_cell", "charges=no"); this
module says each name for people: what was measured against which limit, over what a quiet kind was
judged, what a person answered.
"""

from ninebot_bms import ESC_ERRORS
from packtap.analysis.defects import SIGNS
from packtap.analysis.evidence import Evidence
from packtap.analysis.observation_rows import by_key
from packtap.analysis.observations import UNKNOWN, Context
from packtap.analysis.requirements import judged_over

__all__ = ["say", "say_answer", "say_error"]


def say(name: str, evidence: Evidence) -> str:
    """Return a piece of evidence for people.

    Args:
        name: as `diagnosis` names it.
        evidence: where it comes from.
    """
    key, sign, answer = name.partition("=")
    if sign:
        return say_answer(key, answer, evidence.context)
    if name.startswith("no "):
        return _say_quiet(name.removeprefix("no "), evidence)
    if name in SIGNS:
        numbers = evidence.told.get(name.removesuffix("_answered"))
        return SIGNS[name] + (f": {numbers}" if numbers else "")
    return _say_raised(name, evidence)


def say_answer(key: str, answer: str, context: Context) -> str:
    """Return the answer to an observation for people."""
    row = by_key[key]
    number = row.number
    shown = answer if number is None or answer == UNKNOWN else f"{answer} {number.unit}"
    outcome = row.outcome(answer, context)
    if outcome is not None:
        return f"{outcome.words} ({shown})" if number is not None else outcome.words
    lacks = "nobody could tell" if answer == UNKNOWN or number is None else number.lacks
    return f"{row.asks}: {shown}, not judged ({lacks})"


def say_error(code: int) -> str:
    """Return what the scooter shows, for people, and whether it says anything of the battery."""
    error = ESC_ERRORS.get(code)
    if error is None:
        return f"The scooter shows error {code}: not known as one of the battery, not counted."
    counted = "" if error.battery else "; that is not the battery, not counted"
    return f"The scooter shows error {code}: {error.meaning}{counted}."


def _say_quiet(kind: str, evidence: Evidence) -> str:
    if kind in SIGNS:
        return f"not so: {SIGNS[kind]}"
    over = judged_over(kind, evidence.exposure)
    return f"no {kind.replace('_', ' ')}" + (f": {over}" if over else "")


def _say_raised(kind: str, evidence: Evidence) -> str:
    plain = kind.replace("_", " ")
    measured = evidence.measured.get(kind)
    if measured is None:  # kept by a version that did not keep numbers
        return plain
    bits = evidence.cells.get(kind, 0) >> 1
    others = [
        str(cell + 1)
        for cell in range(bits.bit_length())
        if bits >> cell & 1 and cell + 1 != measured.cell
    ]
    words = measured.seen or plain
    if others:
        words += f"; also cell{'s' if len(others) > 1 else ''} {', '.join(others)}"
    if measured.times > 1 + len(others):
        words += f"; raised {measured.times} times"
    return words + ("" if measured.open_cells else "; over since")
