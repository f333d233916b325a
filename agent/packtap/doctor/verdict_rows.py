"""The verdicts on a wire: one row each, walked from the top, floor 4.

A row says when it applies, what it means and what to do next, with the names of pins and wires. The
first that applies is the verdict: what explains more stands higher. Words never send a layman into
a pack.

Pins. ESC header of the M365 (3-pin JST-PH): R = the ESC's RX = the pack's TX; T = the ESC's TX =
the pack's RX; L = switched supply of the brake light, no signal. Pi: RX = pin 10 (GPIO15), TX =
pin 8 (GPIO14), GND = pin 6. Source: protocol notes, section 11; colours differ between scooters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ninebot_bms import BMS2
from packtap.doctor.evidence import Bus

__all__ = ["BENCH_ROWS", "LISTEN_ROWS", "PACK_TX", "RX", "TX", "VerdictRow", "rows_for"]

RX: Final = "adapter RX (Pi: pin 10, GPIO15)"
TX: Final = "adapter TX (Pi: pin 8, GPIO14)"
_GND: Final = "GND (Pi: pin 6)"
PACK_TX: Final = "the pack's TX (ESC header pin R, often white)"
_PACK_RX: Final = "the pack's RX (ESC header pin T, often yellow)"
_BENCH: Final = "Pack's data plug off the ESC, then: packtap doctor --bench PORT"
_MEASURE: Final = (
    "Qualified person: data wire against pack minus rests near 3.3 V; 0 V: no data wire or no "
    "ground; more than 3.6 V is never a signal: take RX off."
)


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One verdict.

    Attributes:
        name: the same in every run.
        title: in one sentence.
        applies: whether it is this.
        means: what it means.
        next: what to do, the most promising first.
        is_fine: no fault.
        is_silent: nothing answers.
    """

    name: str
    title: str
    applies: Callable[[Bus], bool]
    means: str
    next: tuple[str, ...]
    is_fine: bool = False
    is_silent: bool = False


def _is_pack_elsewhere(bus: Bus) -> bool:
    return bus.answer is not None and bus.answer.address == BMS2


def _is_answer_at_other_rate(bus: Bus) -> bool:
    if bus.answer is None:
        return False
    wire = bus.wires[0]
    return wire.is_at_other_rate


def _all_dashboards_wanted(bus: Bus) -> bool:
    return all(wire.line == "dash" for wire in bus.wires if wire.is_dashboard)


#: Common to both ways of looking: what makes bytes unreadable.
_UNREADABLE: Final = (
    VerdictRow(
        "inverted",
        "The line is upside down (inverted).",
        lambda bus: any(wire.is_inverted for wire in bus.wires),
        "The line is upside down: it rests at 0 V where it should rest at 3.3 V. An RS-232 "
        "adapter, a transistor or an inverting optocoupler stands between the wire and RX.",
        (
            "Use a 3.3 V TTL adapter without inversion, through the series resistor.",
            "Isolator: a digital, non-inverting one, not a single optocoupler.",
            "An FTDI adapter may be set to invert RXD: FT_PROG shows it.",
        ),
    ),
    VerdictRow(
        "damaged_frames",
        "Frames begin, and not one arrives whole.",
        lambda bus: any(wire.is_broken for wire in bus.wires),
        "Frames begin and none is whole: the rate is right, the signal is not. Two wires share one "
        "RX, the ground is poor, or the series resistor is too large for the cable.",
        (
            f"One RX for each wire: only {PACK_TX} on this {RX}.",
            f"Check {_GND} on pack minus, short and firm.",
            "Use 1 kOhm in series instead of 10 kOhm, and a short cable.",
        ),
    ),
    VerdictRow(
        "unreadable",
        "Bytes come that make no sense at any rate.",
        lambda bus: bus.has_traffic and not bus.has_frames,
        "Bytes come, and no rate makes frames of them: another rate, two wires joined on one RX, "
        "noise on an open RX, or no Ninebot or Xiaomi bus at all.",
        (
            "Check RX (Pi: pin 10) on the pack's TX (pin R), GND (pin 6) on pack minus: an open RX "
            "picks up noise.",
            "One RX for each wire: never join the two data wires.",
            _MEASURE,
        ),
    ),
)

LISTEN_ROWS: Final = (
    VerdictRow(
        "nothing",
        "Nothing at all is heard.",
        lambda bus: not bus.has_traffic,
        "Nobody talks (scooter off, pack asleep or cut off), or the wire does not reach RX: RX or "
        "ground open, wrong pin, TX and RX swapped. In silence the rate plays no part.",
        (
            "Turn the scooter on and run this again: a stock ESC talks within a second.",
            f"Check {RX} on {PACK_TX}, and {_GND} on pack minus.",
            _MEASURE,
            f"Still dead? {_BENCH}",
        ),
        is_silent=True,
    ),
    VerdictRow(
        "other_rate",
        "The bus runs at another baud rate.",
        lambda bus: any(wire.is_at_other_rate for wire in bus.wires),
        "The bus runs at another rate than the one that was set. 76800 baud is a BotoX replacement "
        "BMS with a patched ESC; every stock scooter has 115200.",
        (
            "Write the rate that was found as baud under [lines.bms] of the agent's configuration, "
            "or give it here: --baud.",
        ),
    ),
    *_UNREADABLE,
    VerdictRow(
        "joined_lines",
        "The two data wires are joined on one RX.",
        lambda bus: any(wire.is_joined for wire in bus.wires),
        "Requests and answers of a two-wire bus arrive on one RX: the two data wires are joined. "
        "ESC and pack talk at the same time (an ES2 in a third of its frames), so frames are "
        "lost; without series resistors two outputs fight.",
        (
            "Separate the wires now. One RX for each, 1-10 kOhm in series with each.",
            f"With a single RX: only {PACK_TX} on {RX}.",
        ),
    ),
    VerdictRow(
        "collisions",
        "Frames collide or are damaged on this wire.",
        lambda bus: any(wire.is_colliding for wire in bus.wires),
        "Frames are read, and far too many are damaged: two nodes send at once (a second master, "
        "an app on the one-wire bus), the ground is poor, or two wires touch.",
        (
            "Close the phone app, unplug other tools on this bus, run this again.",
            f"Check {_GND} on pack minus, short and firm; 1 kOhm in series.",
            "One RX for each wire; only the ESC sends while it is connected.",
        ),
    ),
    VerdictRow(
        "esc_knocks",
        "Only the ESC is heard: it knocks, the pack is silent.",
        lambda bus: bus.is_knocking,
        "The ESC knocks every 15 ms and gets no answer it accepts: the pack is asleep, cut off or "
        "dead, or its data wire is broken. The ESC shows error 21, or the scooter stays off.",
        (
            "Charger in for ten seconds: a sleeping pack wakes; then run again.",
            "Check the data plug of the pack: seated, clean, dry, no bent pin.",
            f"Tap {PACK_TX} too: an answer would show there.",
            _BENCH,
        ),
    ),
    VerdictRow(
        "esc_only",
        "Only the ESC is heard: this is its wire, not the pack's.",
        lambda bus: bus.is_esc_alone and not any(wire.is_dashboard for wire in bus.wires),
        "This is the wire on which the ESC asks. It polls, which it does only once the pack has "
        "answered its knocks: the pack is alive, its answers run on the other wire.",
        (
            f"Move RX to the other data wire: {PACK_TX}. Or put a second RX there.",
            "If that wire is tapped already: check its series resistor, its pin and its ground.",
        ),
    ),
    VerdictRow(
        "dashboard_bus",
        "This is the dashboard's wire, not the pack's.",
        lambda bus: bus.has_frames and not bus.pack_frames and not _all_dashboards_wanted(bus),
        "This is the one wire between ESC and dashboard. A pack speaks on it only while an app "
        "reads it, so a tap sees no pack values here.",
        (
            f"For pack values move RX to the wires between ESC and pack: {PACK_TX}.",
            "To tap the dashboard on purpose, name the line so: [lines.dash] in the configuration.",
        ),
    ),
    VerdictRow(
        "dashboard_heard",
        "The dashboard's wire is heard.",
        lambda bus: bus.has_frames and not bus.pack_frames,
        "The dashboard's wire is heard, as configured. Pack values appear on it only while an app "
        "reads them.",
        ("packtap agent --config FILE",),
        is_fine=True,
    ),
    VerdictRow(
        "pack_heard",
        "The pack is heard.",
        lambda bus: bus.pack_frames > 0,
        "The pack's answers are heard. A stock ESC asks for pack values, never for cells: for "
        "cells take the pack to the bench, or let an app read.",
        ("packtap agent --config FILE, or packtap diagnose PORT",),
        is_fine=True,
    ),
)

BENCH_ROWS: Final = (
    VerdictRow(
        "another_master",
        "Somebody else asks this pack.",
        lambda bus: bus.has_other_master,
        "The data plug is still on the ESC, or another tool is connected. Two transmitters would "
        "fight, so packtap sends nothing.",
        (
            "Take the pack's data plug off the ESC, unplug other tools, and run this again.",
            "To look on without asking: packtap doctor PORT, without --bench.",
        ),
    ),
    VerdictRow(
        "other_rate",
        "The bus runs at another baud rate.",
        _is_answer_at_other_rate,
        "The pack answers at another rate than the one that was set. 76800 baud is a BotoX "
        "replacement BMS; every stock pack has 115200.",
        (
            "Write the rate that was found as baud under [lines.bms] of the agent's configuration, "
            "or give it here: --baud.",
        ),
    ),
    VerdictRow(
        "external_pack",
        "The pack answers at another address.",
        _is_pack_elsewhere,
        "The pack answers as 0x23, the external pack of an ES scooter, not as 0x22: this is the "
        "bus of a dashboard or an ESC that renames it. The agent asks 0x22.",
        (
            "Connect to the external pack's own cable: there it answers as 0x22.",
            "To see both packs of the scooter: the agent in mode listen, which takes 0x23 too.",
        ),
    ),
    VerdictRow(
        "pack_answers_badly",
        "The pack answers, and much of it arrives damaged.",
        lambda bus: bus.answer is not None and any(wire.is_colliding for wire in bus.wires),
        "The pack answers, and many of its frames arrive damaged: poor ground, a long cable, a "
        "series resistor that is too large, or a second node on the wire.",
        (
            f"Check {_GND} on pack minus, short and firm; 1 kOhm in series, a short cable.",
            "Move the plug by hand while packtap diagnose PORT runs: a loose pin shows.",
        ),
    ),
    VerdictRow(
        "pack_answers",
        "The pack answers.",
        lambda bus: bus.answer is not None,
        "The pack answers on this bench.",
        ("packtap diagnose PORT",),
        is_fine=True,
    ),
    VerdictRow(
        "own_echo",
        "Only packtap's own requests come back.",
        lambda bus: bus.echoes > 0,
        "All that comes back is what packtap itself sends: RX and TX are joined (a loop-back, a "
        "one-wire adapter, swapped pins), and no pack is behind them, or it does not answer.",
        (
            f"Two wires: {TX} on {_PACK_RX}, {RX} on {PACK_TX}; nothing joins them.",
            "One-wire adapter: take it off the pack's plug, it belongs on the dashboard's wire.",
            "Echo stays with nothing plugged in: the adapter itself loops back.",
        ),
    ),
    *_UNREADABLE,
    VerdictRow(
        "bench_silent",
        "Nothing answers.",
        lambda _bus: True,
        "Nothing answers, in both dialects, at both rates, as internal and external pack, while "
        "waking it: no wire, a board that is off or dead, or an empty pack.",
        (
            "Swap RX and TX: the adapter's TX belongs on the pack's RX (pin T), its RX on the "
            "pack's TX (pin R).",
            f"Check {_GND} on the data ground. Some boards need 10 kOhm from TX to 3.3 V.",
            "Charger in for ten seconds, then again: an empty board sleeps.",
            "Qualified person: voltage at the discharge plug. 0 V: protection or fuse; 30-42 V: "
            "board or data wire. Do not open the pack otherwise.",
        ),
        is_silent=True,
    ),
)


def rows_for(bus: Bus) -> tuple[VerdictRow, ...]:
    """Return the rows for the way in which the bus was looked at."""
    return BENCH_ROWS if bus.is_bench else LISTEN_ROWS
