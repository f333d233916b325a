"""The live screen that `watch` and `demo` draw from the now-document, 80 columns wide.

Every value stands with its age if it is old; what nobody reported is a dash. Ten cells, two events
and a footer fit 24 lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from ninebot_bms import fault_flags
from packtap.cli.screen_cells import COLOURS, Cells

__all__ = ["render"]

_OLD_S: Final = 5.0
#: A backlog older than this is worth a word.
_OLD_BACKLOG_S = 120
_WIDTH: Final = 80
_WORST_FIRST: Final = tuple(COLOURS)
#: Values whose age is told, and how they are called there.
_TOLD: Final = {
    "voltage_v": "voltage",
    "current_a": "current",
    "soc_pct": "SoC",
    "temperature_1_c": "temperatures",
    "status": "flags",
}
_MAX_EVENTS: Final = 4
#: With no more events and cells than these, there is room for whole sentences.
_FEW_EVENTS, _FEW_CELLS = 2, 10


def render(now: Mapping[str, Any], footer: Sequence[str] = ()) -> RenderableType:
    """Return the screen for one now-document.

    Args:
        now: as `packtap.now_file` holds it.
        footer: lines below everything.
    """
    parts: list[RenderableType] = [_head(now), *_lost_lines(now)]
    if isinstance(trouble := now.get("bus_trouble"), str):
        parts.append(Text(trouble, style="bold red"))
    parts += [*_pack_lines(now), _freshness(now), *_cells(now)]
    parts += [_one_line(doubt["text"], "yellow") for doubt in now["doubts"]]
    parts += _events(now)
    parts += _known(now)
    parts += _plumbing(now)
    parts += [Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in footer]
    return Group(*parts)


def _head(now: Mapping[str, Any]) -> Text:
    lines = ", ".join(
        f"{line['name']} {'up' if line['is_up'] else 'DOWN'}" for line in now["lines"]
    )
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"packtap {now['version']}  ", style="bold")
    # Of a shared wire: what is being done about asking.
    sharing = f" ({doing})" if isinstance(doing := now.get("sharing"), str) else ""
    text.append(f"pack {now['pack'] or 'not seen yet'}  {now['mode']}{sharing}  {lines}")
    return text


def _lost_lines(now: Mapping[str, Any]) -> list[RenderableType]:
    return [Text(line["reason"], style="red") for line in now["lines"] if not line["is_up"]]


def _pack_lines(now: Mapping[str, Any]) -> list[RenderableType]:
    parts = [
        _quantity(now, "voltage_v", "{:.2f} V"),
        _current(now),
        _quantity(now, "soc_pct", "SoC {:.0f} %"),
        _quantity(now, "temperature_1_c", "{:.0f} °C"),
        _quantity(now, "temperature_2_c", "{:.0f} °C"),
    ]
    status = now["values"].get("status")
    faults = () if status is None else fault_flags(status)
    # Some faults are a bit that is missing: those have no flag that is set.
    names = dict.fromkeys([*now["flags"], *faults])
    flags = "flags " + (", ".join(names) or "-") + _old(now, "status")
    together = "  ".join([*parts, flags])
    if not faults and cell_len(together) <= _WIDTH:
        return [_one_line(together)]
    # A line of their own, wrapped between words: half the name of a fault says nothing.
    return [_one_line("  ".join(parts)), Text(flags, "yellow" if faults else "")]


def _quantity(now: Mapping[str, Any], name: str, form: str) -> str:
    value = now["values"].get(name)
    if value is None:
        return form.partition("{")[0] + "-" + form.partition("}")[2]
    return form.format(value) + _old(now, name)


def _old(now: Mapping[str, Any], name: str) -> str:
    age = now["ages_s"].get(name)
    return f" ({_age(age)} old)" if age is not None and age > _OLD_S else ""


def _current(now: Mapping[str, Any]) -> str:
    value = now["values"].get("current_a")
    if value is None:
        return "- A"
    words = "at rest" if abs(value) < 0.3 else "discharging" if value > 0 else "charging"
    return f"{abs(value):.1f} A {words}{_old(now, 'current_a')}"


def _cells(now: Mapping[str, Any]) -> Iterator[RenderableType]:
    cells = now["values"].get("cell_voltages_mv")
    if not cells:
        reason = "a stock ESC never asks for cells; nobody on this bus has read them"
        yield Text(f"cells: not reported ({reason})", style="dim")
        return
    known = [cell for cell in cells if cell is not None]
    age = now["ages_s"].get("cell_voltages_mv")
    read = "read at an unknown time" if age is None else f"read {_age(age)} ago"
    words = f"cells {read}"
    if len(known) > 1:
        spread = max(known) - min(known)
        words = f"median {median(known):.0f} mV, spread {spread} mV; last: mV off it; {read}"
    yield Cells(now)
    yield _one_line(words, "yellow" if age is not None and age > _OLD_S else "dim")


def _freshness(now: Mapping[str, Any]) -> RenderableType:
    """Return how old each value of the head is: one line."""
    ages = [
        f"{word} {_age(now['ages_s'][name])}"
        for name, word in _TOLD.items()
        if name in now["ages_s"]
    ]
    return _one_line("ages: " + (", ".join(ages) or "nothing was read yet"), "dim")


def _events(now: Mapping[str, Any]) -> list[RenderableType]:
    if not now["events"]:
        return [Text("nothing raised", style="green")]
    # Stable: of one severity the oldest, which tells most about the cause, comes first.
    events = sorted(now["events"], key=lambda event: _WORST_FIRST.index(event["severity"]))
    cells = now["values"].get("cell_voltages_mv") or ()
    is_roomy = len(events) <= _FEW_EVENTS and len(cells) <= _FEW_CELLS
    shown: list[RenderableType] = []
    for event in events[:_MAX_EVENTS]:
        since = event["since_s"]
        words = "" if since is None else f"for {_age(since)}: "
        if not event.get("saved", True):
            words = "(not saved yet) " + words
        text = f"{event['severity'].upper()} {words}{event['text']}"
        style = COLOURS[event["severity"]]
        shown.append(Text(text, style) if is_roomy else _one_line(text, style))
    if len(events) > _MAX_EVENTS:
        shown.append(Text(f"and {len(events) - _MAX_EVENTS} more"))
    return shown


def _one_line(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _known(now: Mapping[str, Any]) -> list[RenderableType]:
    """Return the most probable cause and the outlook, in one line; nothing before they are told."""
    diagnosis, health = now.get("diagnosis"), now.get("health")
    words = []
    if diagnosis and diagnosis["diagnosis"]:
        top = diagnosis["diagnosis"][0]
        words.append(f"likely {top['cause'].replace('_', ' ')} {top['probability']:.0%}")
    if health and health.get("outlook"):
        # Alone it would seem to be about the cause beside it.
        needs = "trend of the cells: " if health["outlook"].startswith("insufficient") else ""
        words.append(needs + health["outlook"])
    return [_one_line("; ".join(words))] if words else []


def _plumbing(now: Mapping[str, Any]) -> list[RenderableType]:
    counters = now["counters"]
    rejects = sum(n for name, n in counters.items() if name.startswith("rejects_"))
    uplink = now["uplink"]
    text = (
        f"frames {counters['frames']}, refused {rejects}, unanswered {counters['unanswered']}; "
        f"readings {counters['readings']}; outbox {_outbox(now)}; "
        f"broker {'connected' if uplink['connected'] else 'not connected'}"
    )
    shown: list[RenderableType] = [_one_line(text, "dim")]
    if not uplink["connected"] and uplink["last_error"]:
        shown.append(_one_line(uplink["last_error"], "yellow"))
    if now["store_trouble"]:
        shown.append(_one_line(f"store: {now['store_trouble']}", "red"))
    return shown + [_one_line(text, "bold red") for text in _losses(counters)]


def _outbox(now: Mapping[str, Any]) -> str:
    """Say what waits, how old it is, and for how long there is room."""
    words = [str(now["outbox"].get("count", "?"))]
    oldest, left = now["counters"].get("outbox_oldest_s"), now.get("buffer_hours_left")
    if oldest is not None and oldest > _OLD_BACKLOG_S:
        words.append(f"oldest {_age(oldest)}")
    if left is not None:
        words.append(f"room for {left:.0f} h")
    return words[0] if len(words) == 1 else f"{words[0]} ({', '.join(words[1:])})"


def _losses(counters: Mapping[str, int]) -> Iterator[str]:
    if counters.get("gap_messages"):
        yield (
            f"LOST: {counters['gap_samples']} readings in {counters['gap_messages']} messages: "
            "the store was full before they were sent"
        )
    if counters.get("thinned_samples"):
        yield (
            f"THINNED: {counters['thinned_samples']} samples left out of readings that waited: "
            "the store was full before they were sent"
        )
    if counters.get("outbox_stranded"):
        yield (
            f"UNDATED: {counters['outbox_stranded']} messages of an earlier boot, whose clock was "
            "never known; they wait and are not sent"
        )
    if counters.get("readings_dropped"):
        yield f"LOST: {counters['readings_dropped']} readings, while the store took none"


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
