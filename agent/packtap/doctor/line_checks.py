"""The checks of the wires: one question each, and whether it was answered, floor 4.

Pure. What was not tried is said to be so, with the reason: silence proves nothing about rate,
polarity or dialect, and a wire that was only listened to nothing about a pack that sleeps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ninebot_bms import BMS, BMS2
from packtap.doctor.evidence import Bus, Wire
from packtap.doctor.findings import Check, failed, not_tried, passed
from packtap.doctor.line_verdict import DIALECTS, amount_words, esc_words, wake_words
from packtap.doctor.verdict_rows import rows_for

__all__ = ["LINE_CHECKS", "line_checks", "untried_line_checks"]

_PACKS: Final = {
    BMS: "0x22, the pack",
    BMS2: "0x23, the external pack",
    0x11: "0x11, a pack of the Ninebot Z10",
    0x12: "0x12, the second pack of the Ninebot Z10",
}
_LISTENS: Final = "only listened; --bench asks the pack"
_NO_FRAMES: Final = "no frame was read"
_NO_BYTES: Final = "no byte came"
_OWN_ONLY: Final = "only own requests came back"
_NO_ANSWER: Final = "the pack does not answer"


@dataclass(frozen=True, slots=True)
class _Look:
    """What a check may look at."""

    bus: Bus
    wire: Wire

    def fail(self, row: str, seen: str) -> Check:
        """Return a failed check with the words of a verdict."""
        found = next(each for each in rows_for(self.bus) if each.name == row)
        return failed("", seen, found.means, found.next[0])

    @property
    def is_own_only(self) -> bool:
        """Did nothing come on this bench but what was sent?"""
        return self.bus.is_echo_only

    @property
    def why_unread(self) -> str:
        """Why there is no frame to judge by."""
        if self.is_own_only:
            return _OWN_ONLY
        return _NO_ANSWER if self.bus.is_bench else _NO_FRAMES


def line_checks(bus: Bus) -> list[Check]:
    """Return the checks of each wire, then those of the bus as a whole."""
    checks: list[Check] = []
    for wire in bus.wires:
        name = wire.line if len(bus.wires) > 1 else None
        for label, check in _WIRE_CHECKS.items():
            checks.append(replace(check(_Look(bus, wire)), name=label, line=name))
    look = _Look(bus, bus.wires[0])
    checks += [replace(check(look), name=label) for label, check in _BUS_CHECKS.items()]
    return checks


def untried_line_checks(why: str) -> list[Check]:
    """Return all checks of the line as not tried, when its port could not be used."""
    return [not_tried(name, why) for name in LINE_CHECKS]


# One wire.


def _bytes(look: _Look) -> Check:
    heard = look.wire.wanted
    if look.wire.has_traffic:
        return passed("", f"{sum(each.size for each in look.wire.heard)} bytes came")
    if look.bus.is_bench:
        return look.fail("bench_silent", amount_words(heard))
    if not look.bus.has_traffic:
        return look.fail("nothing", amount_words(heard))
    return failed(
        "",
        amount_words(heard),
        "This wire carries nothing, the other one does.",
        "Check its RX, its pin and its series resistor.",
    )


def _rate(look: _Look) -> Check:
    wire = look.wire
    if not wire.has_traffic:
        return not_tried("", _NO_BYTES)
    if look.is_own_only:
        return not_tried("", _OWN_ONLY)
    if wire.is_inverted:
        return not_tried("", "cannot be told of an upside-down line")
    if wire.is_at_other_rate:
        words = f"frames at {wire.best.baud} baud, none at {wire.wanted.baud}"
        return look.fail("other_rate", words)
    if wire.has_frames:
        return passed("", f"{wire.best.baud} baud")
    tried = ", ".join(str(each.baud) for each in wire.heard)
    return look.fail("unreadable", f"no frame at {tried} baud")


def _polarity(look: _Look) -> Check:
    wire = look.wire
    if not wire.has_traffic:
        return not_tried("", _NO_BYTES)
    if wire.is_inverted:
        return look.fail("inverted", "known frames arrive upside down")
    if wire.has_frames:
        return passed("", "upright")
    return not_tried("", _OWN_ONLY if look.is_own_only else "nothing readable to judge by")


def _joined(look: _Look) -> Check:
    wire = look.wire
    if look.bus.is_bench:
        return not_tried("", "a bench hears one direction only")
    if not wire.has_frames:
        return not_tried("", _NO_FRAMES)
    if wire.is_joined:
        words = f"{wire.best.requests} requests and {wire.best.pack_frames} answers on one RX"
        return look.fail("joined_lines", words)
    return passed("", "dashboard's one wire" if wire.is_dashboard else "one direction")


def _collisions(look: _Look) -> Check:
    if not look.wire.has_frames:
        return not_tried("", look.why_unread)
    best = look.wire.best
    words = f"{best.refused} of {best.refused + best.frames} damaged"
    if look.wire.is_colliding:
        return look.fail("pack_answers_badly" if look.bus.is_bench else "collisions", words)
    return passed("", words)


# The bus.


def _dialect(look: _Look) -> Check:
    if not look.bus.dialects:
        return not_tried("", look.why_unread)
    return passed("", " and ".join(DIALECTS[dialect] for dialect in look.bus.dialects))


def _master(look: _Look) -> Check:
    bus = look.bus
    if bus.is_bench:
        if bus.has_other_master:
            return look.fail("another_master", "somebody else asks this pack")
        return passed("", "nobody else")
    if not bus.has_frames:
        return not_tried("", _NO_FRAMES)
    if not bus.knocks + bus.polls:
        return not_tried("", "its wire is not tapped, or it does not ask")
    return passed("", esc_words(bus))


def _pack(look: _Look) -> Check:
    return _pack_on_bench(look) if look.bus.is_bench else _pack_heard(look)


def _pack_on_bench(look: _Look) -> Check:
    bus = look.bus
    if bus.answer is not None:
        return passed("", f"{bus.answer.replies} answers")
    if bus.has_other_master:
        return not_tried("", "nothing is sent while somebody else asks")
    row = "own_echo" if bus.is_echo_only else "bench_silent"
    return look.fail(row, f"no answer to {bus.requests_sent} requests")


def _pack_heard(look: _Look) -> Check:
    bus = look.bus
    if bus.pack_frames:
        return passed("", f"{bus.pack_frames} answers")
    if not bus.has_frames:
        return not_tried("", _NO_FRAMES)
    for row in ("esc_knocks", "esc_only", "dashboard_bus"):
        if next(each for each in rows_for(bus) if each.name == row).applies(bus):
            return look.fail(row, "no answer of a pack was heard")
    return not_tried("", "the dashboard's wire carries a pack only while an app reads it")


def _awake(look: _Look) -> Check:
    bus = look.bus
    if bus.is_bench:
        if bus.answer is None or bus.answer.wake_s is None:
            return not_tried("", look.why_unread if bus.requests_sent else "nothing was sent")
        return passed("", wake_words(bus.answer.wake_s))
    if bus.pack_frames:
        return passed("", "it answers")
    if bus.is_knocking:
        return look.fail("esc_knocks", esc_words(bus))
    return not_tried("", _LISTENS)


def _address(look: _Look) -> Check:
    bus = look.bus
    if bus.answer is not None and bus.answer.address == BMS2:
        return look.fail("external_pack", "it answers as 0x23 only")
    if bus.answer is not None:
        return passed("", _PACKS[bus.answer.address])
    if bus.is_bench or not (bus.repliers or bus.asked):
        return not_tried("", look.why_unread if not bus.has_frames else "no pack was heard")
    known = ", ".join(
        _PACKS.get(address, f"0x{address:02x}") for address in bus.repliers or bus.asked
    )
    if bus.repliers:
        return passed("", known)
    return not_tried("", f"asked is {known}; no answer was heard")


def _echo(look: _Look) -> Check:
    bus = look.bus
    if not bus.is_bench:
        return not_tried("", _LISTENS)
    if not bus.requests_sent:
        return not_tried("", "nothing was sent")
    words = f"{bus.echoes} of {bus.requests_sent} requests came back"
    if bus.echoes and bus.answer is None:
        return look.fail("own_echo", words)
    return passed("", words if bus.echoes else "none")


_Questions = Mapping[str, Callable[[_Look], Check]]

_WIRE_CHECKS: Final[_Questions] = {
    "bytes": _bytes,
    "baud rate": _rate,
    "polarity": _polarity,
    "joined wires": _joined,
    "collisions": _collisions,
}
_BUS_CHECKS: Final[_Questions] = {
    "dialect": _dialect,
    "who asks": _master,
    "pack": _pack,
    "awake": _awake,
    "address": _address,
    "own echo": _echo,
}

#: Names of all checks of the line, in order.
LINE_CHECKS: Final = (*_WIRE_CHECKS, *_BUS_CHECKS)
