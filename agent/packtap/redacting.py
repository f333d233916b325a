"""Takes out of a recording what names a pack or a scooter, floor 4: in two passes, in place.

The first pass (`identity_survey`) notes every serial. The second (`Redactor`) gives the same chunks
with other bytes:

- In a reply that carries registers, what a row of `identity_rows` names is replaced, and the sum is
  made anew. This is the only frame that is built here: same node, command, index and length, a
  reply, so nothing that a pack would obey (guarantee 2).
- In any other frame, and in a stretch that no framer took, what may name somebody is blanked (0x00)
  and the sum is left: such a frame is none any more. A refused stretch is searched three ways: by
  what its headers claim, for four characters of a known serial that follow each other, and for six
  letters or digits, whatever they say.

Everything else stays byte for byte, and so do the ends of chunks. What comes out goes through a
framer of its own: a frame that nobody sent (a sum that fits by chance) is an error, never a file.
Memory is bounded: a line whose frame never ends is cut off once a mebibyte waits for it.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from ninebot_bms import Chunk, Frame, Framer, Reject, checksum
from ninebot_bms.frames import ESC, HEADERS, LAYOUTS, MAX_PAYLOAD
from packtap.errors import CaptureError
from packtap.identity_rows import (
    NODES,
    PRIVATE_COMMANDS,
    READ,
    READ_REPLY,
    WRITES,
    Kind,
    Span,
    is_register_reply,
    spans,
)
from packtap.identity_survey import Assembly, Survey

__all__ = ["Redactor", "Tally", "with_payload"]

#: So many characters of a serial that follow each other give it away: in a frame, and where bytes
#: were refused (there the last five may be all that is left of it).
_TELLING: Final = 6
_TELLING_REFUSED: Final = 4
_ANY_TEXT: Final = re.compile(rb"[0-9A-Za-z]{6,}")
_HEADER: Final = re.compile(b"|".join(re.escape(header) for header in HEADERS.values()))
_DIALECT_OF: Final = {header: dialect for dialect, header in HEADERS.items()}
#: A Xiaomi reply's address is that of its node and this. Source: protocol.md section 3.
_REPLY_OFFSET: Final = 3
_ANSWERS: Final = frozenset({READ, READ_REPLY})
#: A dashboard's read with its inputs; the ESC might answer with the same command.
_DASHBOARD_READ: Final = 0x61
_MAX_HELD: Final = 1 << 20
#: What a chunk costs besides its bytes: a flood of tiny ones must not cost more than is bounded.
_CHUNK_COST: Final = 64


@dataclass(slots=True)
class Tally:
    """What was done to a recording."""

    frames: int = 0  #: intact frames, of all nodes
    replaced_frames: int = 0  #: replies in which something was replaced
    voided_frames: int = 0  #: other frames that told something, and are none any more
    blanked_bytes: int = 0  #: in those, and in refused stretches
    renamed_lines: int = 0  #: names of lines that held a serial
    chunks: int = 0
    data_bytes: int = 0
    #: By words for people, how many frames held it.
    replaced: dict[str, int] = field(default_factory=dict)
    #: The serials' new names, in the order in which they were first replaced.
    pseudonyms: dict[str, None] = field(default_factory=dict)


def with_payload(reply: Frame, payload: bytes) -> bytes:
    """Return the bytes of the same reply with another payload of the same length.

    Raises:
        ValueError: it is no reply with registers, or the length differs.
    """
    if not is_register_reply(reply) or len(payload) != len(reply.payload):
        raise ValueError("only the payload of a register reply can be replaced, by its own length")
    body = reply.raw[2 : -2 - len(payload)] + payload
    return reply.raw[:2] + body + LAYOUTS[reply.dialect].tail.pack(checksum(body))


class _Line:
    """One wire: what waits for its frame, as it came and as it goes out."""

    __slots__ = ("came", "checker", "decided", "expected", "framer", "goes")

    def __init__(self) -> None:
        self.framer = Framer()
        self.checker = Framer()
        self.came = bytearray()
        self.goes = bytearray()
        self.decided = 0  # bytes of both that belong to a frame or a reject by now
        self.expected: deque[tuple[object, ...]] = deque()  # frames that must come out


class Redactor:
    """The second pass: chunks in, the same chunks without names out.

    Args:
        survey: the first pass over the same recording, closed.
    """

    def __init__(self, survey: Survey) -> None:
        self.tally = Tally()
        self._names = survey.pseudonyms
        self._lines: dict[str | None, _Line] = {}
        self._line_names: dict[str | None, str | None] = {}
        self._held: deque[Chunk] = deque()
        self._held_bytes = 0
        self._assembly = Assembly()
        self._runs = {size: self._names.runs(size) for size in (_TELLING, _TELLING_REFUSED)}

    def take(self, chunk: Chunk) -> Iterator[Chunk]:
        """Take the next chunk; yield those that are ready, in the order in which they came."""
        line = self._lines.setdefault(chunk.line, _Line())
        line.came += chunk.data
        line.goes += chunk.data
        self._held.append(chunk)
        self._held_bytes += len(chunk.data) + _CHUNK_COST
        self._decide(chunk.line, line, line.framer.receive_data(chunk.data))
        yield from self._release()
        if self._held_bytes > _MAX_HELD:
            for name, each in self._lines.items():
                self._decide(name, each, each.framer.idle())
                self._check(each, each.checker.idle())
            yield from self._release()
        if self._held_bytes > _MAX_HELD:
            yield from self.close()

    def close(self) -> Iterator[Chunk]:
        """Yield the rest.

        Raises:
            CaptureError: the bytes would say something that nobody sent.
        """
        for name, line in self._lines.items():
            self._decide(name, line, line.framer.close())
            self._check(line, line.checker.close())
            if line.expected:
                raise _changed()
        yield from self._release()

    def _release(self) -> Iterator[Chunk]:
        while self._held:
            chunk = self._held[0]
            size = len(chunk.data)
            line = self._lines[chunk.line]
            if line.decided < size:
                return
            self._held.popleft()
            self._held_bytes -= size + _CHUNK_COST
            data = bytes(line.goes[:size])
            del line.came[:size], line.goes[:size]
            line.decided -= size
            self.tally.chunks += 1
            self.tally.data_bytes += size
            yield replace(chunk, line=self._line_name(chunk.line), data=data)

    def _decide(self, name: str | None, line: _Line, found: Iterable[Frame | Reject]) -> None:
        for each in found:
            start = line.decided
            if isinstance(each, Frame):
                line.decided += len(each.raw)
                self.tally.frames += 1
                self._redact_frame(name, line, each, start)
            else:
                line.decided += each.size
                self._redact_refused(line, start, line.decided)
            self._check(line, line.checker.receive_data(line.goes[start : line.decided]))

    def _redact_frame(self, name: str | None, line: _Line, frame: Frame, start: int) -> None:
        if is_register_reply(frame):
            raw = with_payload(frame, self._replace(name, frame))
            line.goes[start : start + len(raw)] = raw
            self.tally.replaced_frames += raw != frame.raw
        else:
            at = start + len(frame.raw) - 2 - len(frame.payload)
            places = set(self._telling(frame))
            if self._blank(line, {at + place for place in places}):
                self.tally.voided_frames += 1
                return  # its sum is wrong now: it must not come out
        line.expected.append(_shape(frame))

    def _replace(self, name: str | None, frame: Frame) -> bytes:
        """Return a reply's payload without what names somebody."""
        payload = bytearray(frame.payload)
        node = -1 if frame.source is None else frame.source
        for span in spans(node, frame.index, len(payload)):
            old = bytes(payload[span.start : span.stop])
            new = self._other(name, frame, span, old)
            payload[span.start : span.stop] = new
            if new != old:
                what = span.row.what
                self.tally.replaced[what] = self.tally.replaced.get(what, 0) + 1
        for place in _places_of(bytes(payload), self._runs[_TELLING], _TELLING):
            payload[place] = 0  # a serial where no row expects one
        return bytes(payload)

    def _other(self, name: str | None, frame: Frame, span: Span, old: bytes) -> bytes:
        if span.row.kind is Kind.BYTES:
            return self._names.of_bytes(old)
        if span.row.kind is Kind.CODE:
            return bytes(0x30 if byte not in (0, 0xFF) else byte for byte in old)
        current = self._assembly.take(name, frame, span)
        stop = span.offset + len(old)
        whole = self._names.of_part(current, span.offset, stop)
        new = whole[span.offset : stop]
        if new != old:
            bare = whole.strip(b"\0")
            words = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in bare)
            self.tally.pseudonyms[words] = None
        return new

    def _telling(self, frame: Frame) -> Iterator[int]:
        """Yield the places in a payload, of a frame that is not built anew, that tell a name."""
        payload = frame.payload
        if frame.command in PRIVATE_COMMANDS:
            yield from range(len(payload))
        for node in _register_owners(frame):
            for span in spans(node, frame.index, len(payload)):
                yield from range(span.start, span.stop)
        yield from _places_of(payload, self._runs[_TELLING], _TELLING)

    def _redact_refused(self, line: _Line, start: int, stop: int) -> None:
        data = bytes(line.came[start:stop])
        places = set(_places_of(data, self._runs[_TELLING_REFUSED], _TELLING_REFUSED))
        for match in _ANY_TEXT.finditer(data):
            places |= set(range(*match.span()))
        for match in _HEADER.finditer(data):
            places |= set(_claimed_places(data, match.start()))
        self._blank(line, {start + place for place in places})

    def _blank(self, line: _Line, places: set[int]) -> bool:
        blanked = sum(line.goes[place] != 0 for place in places)
        for place in places:
            line.goes[place] = 0
        self.tally.blanked_bytes += blanked
        return blanked > 0

    def _check(self, line: _Line, found: Iterable[Frame | Reject]) -> None:
        """Hold what comes out against what came: the same frames, none besides."""
        for each in found:
            if isinstance(each, Frame) and (
                not line.expected or line.expected.popleft() != _shape(each)
            ):
                raise _changed()

    def _line_name(self, name: str | None) -> str | None:
        """Return what a line is called: by its number, if its name holds a serial."""
        if name not in self._line_names:
            given = name
            if name is not None and any(True for _ in _places_of(
                name.encode("ascii"), self._runs[_TELLING], _TELLING
            )):  # fmt: skip
                given = f"line-{len(self._line_names) + 1}"
                self.tally.renamed_lines += 1
            self._line_names[name] = given
        return self._line_names[name]


def _register_owners(frame: Frame) -> frozenset[int]:
    """Return whose registers a frame that is not built anew may hold; empty: it holds none."""
    if frame.command in WRITES:
        node = frame.target if frame.target is not None else frame.source
    elif frame.source == ESC and frame.command == _DASHBOARD_READ:
        node = ESC
    elif frame.source is not None and frame.command in _ANSWERS and not frame.is_read_request:
        node = frame.source
    else:
        return frozenset()
    # Of a node that nobody knows, any register may be what it is of another one.
    return frozenset({node}) if node is not None and node in NODES else NODES


def _changed() -> CaptureError:
    return CaptureError(
        "the redacted bytes would hold a frame that nobody sent (a sum that fits by chance): "
        "nothing is written; try once more, for other pseudonyms"
    )


def _shape(frame: Frame) -> tuple[object, ...]:
    """Return all of a frame but the bytes of its payload."""
    return (
        frame.dialect, frame.source, frame.target, frame.command, frame.index, len(frame.payload),
    )  # fmt: skip


def _places_of(data: bytes, runs: frozenset[bytes], size: int) -> Iterator[int]:
    """Yield the places of every run that stands in the data; some twice."""
    if not runs:
        return
    for start in range(len(data) - size + 1):
        if data[start : start + size] in runs:
            yield from range(start, start + size)


def _claimed_places(data: bytes, start: int) -> Iterator[int]:
    """Yield where a name would be if the damaged frame that begins here were one."""
    layout = LAYOUTS[_DIALECT_OF[data[start : start + 2]]]
    head = data[start + 2 : start + layout.head.size]
    if len(head) < layout.head.size - 2:
        return
    *addresses, command, index = head[1:]
    if command not in WRITES | {READ, READ_REPLY}:
        return
    at = start + layout.head.size
    size = min(MAX_PAYLOAD, len(data) - at)  # its length byte may be what is damaged
    for address in addresses:
        node = address if address in NODES else address - _REPLY_OFFSET
        for span in spans(node, index, size):
            yield from range(at + span.start, at + span.stop)
