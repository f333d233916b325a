"""How an upside-down line looks to a UART, floor 4.

Pure. On an inverted line the rest level is 0 and every bit is its opposite, so a UART takes the
first 0 behind a 1 for a start bit and reads frames that are none. They are not random: the opening
of a known frame always gives the same bytes. Those images are computed here, bit by bit, and looked
for in what was heard. Hardware differs in what follows a missing stop bit (the next start is
awaited, or the low bit is taken for it) and in whether such bytes are handed over: all four ways
are looked for.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

__all__ = ["MIN_HITS", "image", "inverted_hits"]

#: So many images of openings make an inverted line: random bytes give less than one in a sample.
MIN_HITS: Final = 3
#: A shorter image would be found by chance.
_MIN_IMAGE: Final = 3
_BITS: Final = 10  # start, eight data bits, stop

#: How frames that are on every bus begin. Source: the recordings in tests/vectors (M365, ES2).
_OPENINGS: Final = tuple(
    bytes.fromhex(text)
    for text in (
        "55aa0322011010",  # M365 ESC knocks
        "55aa032201300c",  # M365 ESC polls
        "55aa12250110",  # a pack's serial number and firmware
        "55aa0e250130",  # a pack's state
        "55aa07206500",  # M365 dashboard: throttle and brake
        "55aa09206400",  # M365 dashboard: with its firmware
        "55aa06216400",  # M365 ESC answers it
        "5aa50120220110",  # Ninebot ESC asks for the serial number
        "5aa50020225a00",  # Ninebot ESC's heartbeat
        "5aa501202201300c",  # Ninebot ESC polls
        "5aa50c22205a30",  # a pack's answers
        "5aa50c22200430",
        "5aa51222200410",
        "5aa510223d0410",  # the same on a bench, to packtap
    )
)


def inverted_hits(sample: bytes) -> int:
    """Return how often an opening of a known frame stands in the bytes upside down."""
    return max(
        sum(sample.count(each) for each in _images(waits=waits, drops=drops))
        for waits in (True, False)
        for drops in (True, False)
    )


def image(data: bytes, *, waits: bool, drops: bool) -> bytes:
    """Return what a UART makes of bytes sent back to back on an inverted line, from rest.

    Only what these bytes decide is returned: what follows them may change the last ones.

    Args:
        data: what was sent.
        waits: a missing stop bit is followed by waiting for the next fall of the line; otherwise
            the low bit itself counts as the next start.
        drops: bytes without a stop bit are not handed over.
    """
    levels = [0] + [1 - bit for byte in data for bit in _framed(byte)]
    seen = bytearray()
    at = 1
    while at + _BITS <= len(levels):
        if not (levels[at - 1] == 1 and levels[at] == 0):
            at += 1
            continue
        while at + _BITS <= len(levels):
            value = sum(bit << place for place, bit in enumerate(levels[at + 1 : at + 9]))
            has_stop = levels[at + 9] == 1
            if has_stop or not drops:
                seen.append(value)
            at += _BITS if has_stop or waits else _BITS - 1
            if has_stop or waits:
                break
    return bytes(seen)


@cache
def _images(*, waits: bool, drops: bool) -> frozenset[bytes]:
    found = (image(opening, waits=waits, drops=drops) for opening in _OPENINGS)
    return frozenset(each for each in found if len(each) >= _MIN_IMAGE)


def _framed(byte: int) -> Iterator[int]:
    yield 0
    for place in range(8):
        yield byte >> place & 1
    yield 1
