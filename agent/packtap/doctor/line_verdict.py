"""From what was heard to the verdict on the wires, and to the words for it, floor 4.

Pure. The rows of `verdict_rows` are walked from the top; the first that applies is the verdict.
"""

from typing import Final

from ninebot_bms import Dialect
from packtap.doctor.evidence import Bus, Wire
from packtap.doctor.findings import Verdict
from packtap.doctor.heard import Heard
from packtap.doctor.verdict_rows import rows_for

__all__ = ["DIALECTS", "amount_words", "esc_words", "judge", "wake_words"]

#: How a dialect is called, for people.
DIALECTS: Final = {Dialect.XIAOMI: "Xiaomi (55 AA)", Dialect.NINEBOT: "Ninebot (5A A5)"}


def judge(bus: Bus) -> Verdict:
    """Return the verdict: the first row that applies."""
    row = next(row for row in rows_for(bus) if row.applies(bus))
    seen = "; ".join(_wire_words(wire, bus) for wire in bus.wires)
    return Verdict(
        row.name,
        row.title,
        is_fine=row.is_fine,
        is_silent=row.is_silent,
        seen=seen + _answer_words(bus),
        means=row.means,
        next=row.next,
    )


def _wire_words(wire: Wire, bus: Bus) -> str:
    name = f"{wire.line}: " if len(bus.wires) > 1 else ""
    best = wire.best
    words = amount_words(best)
    others = ", ".join(str(heard.baud) for heard in wire.heard[1:])
    if others and not wire.has_frames:
        words += f"; {'no frame' if wire.has_traffic else 'none'} there, nor at {others}"
    if wire.has_frames:
        words += f": {best.frames} frames ({_kinds(best)})"
        words += f", {best.refused} damaged" if best.refused else ""
    return name + words


def amount_words(heard: Heard) -> str:
    """Return how much was heard."""
    size = "no byte" if not heard.size else f"{heard.size} bytes"
    return f"{size} in {heard.seconds:.1f} s at {heard.baud} baud"


def _kinds(heard: Heard) -> str:
    counts = (
        (heard.knocks, "knocks of the ESC"),
        (heard.polls, "requests to the pack"),
        (heard.pack_frames, "answers of the pack"),
        (heard.others, "of ESC and dashboard"),
    )
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def esc_words(bus: Bus) -> str:
    """Return how often the ESC asks."""
    seconds = max(wire.best.seconds for wire in bus.wires)
    rate = (bus.knocks + bus.polls) / max(seconds, 1e-3)
    verb = "knocks" if bus.is_knocking else "asks"
    return f"the ESC {verb} {rate:.1f}/s"


def _answer_words(bus: Bus) -> str:
    if not bus.is_bench:
        return ""
    answer = bus.answer
    if answer is None or answer.wake_s is None or answer.dialect is None:
        sent = f"{bus.requests_sent} read requests sent"
        return f"; {sent}, {bus.echoes} came back" if bus.echoes else f"; {sent}"
    return (
        f"; {DIALECTS[answer.dialect]}, {answer.replies} answers to {answer.asked} requests, "
        f"{wake_words(answer.wake_s)}"
    )


def wake_words(wake_s: float) -> str:
    """Return whether the pack slept."""
    if wake_s < 0.15:
        return "it answered at once"
    return f"it slept: it woke {wake_s:.1f} s after the first knock"
