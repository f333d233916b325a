"""Recordings to chunks of bytes, floor 0: the format is found by looking at the beginning.

Owns the reading of every form in which scooter bytes are passed around: hex text, raw bytes,
capture text, JSON lines, serial exports of Saleae Logic. It is handed a binary stream and never
opens, unpacks or closes anything; what reading the stream raises, it lets through.

Promises: no content can raise; what cannot be understood is counted in `bad_lines` and skipped;
memory stays constant whatever the length of the recording or of one line (a gigabyte of hex
digits without a line end is read in pieces). Line ends may be LF, CR, CRLF or mixed; NUL bytes
(a file system's filler after a power cut) end a line; byte order marks are understood.
"""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import BinaryIO, Final

from ninebot_bms.capture_lines import (
    Chunk,
    ParsedLine,
    format_chunk,
    hex_bytes,
    parse_hex_line,
    parse_json_line,
    parse_text_line,
)
from ninebot_bms.capture_saleae import SaleaeTable

__all__ = ["CaptureFormat", "CaptureReader", "Chunk", "format_chunk", "read_capture"]

#: Bytes looked at, at most, to find the format.
_HEAD: Final = 16_384
#: Bytes asked of the stream at a time.
_PIECE: Final = 65536
#: A longer line is cut (hex text) or skipped and counted (every other form).
_MAX_LINE: Final = 262_144
#: Line names beyond this many are damage, not wires: each name costs its reader a framer.
_MAX_NAMES: Final = 16

_LINE_ENDS: Final = bytes.maketrans(b"\r\0", b"\n\n")
_BLANK_LINES: Final = re.compile(rb"\n+")
_TEXT_START: Final = re.compile(rb"\s*\(-?\d+(?:\.\d*)?\)\s+\S+\s+[0-9A-Fa-f]{2}")
_HEX_SEPARATORS: Final = b" \t,:;-"
_HEADERS: Final = (b"\x55\xaa", b"\x5a\xa5")


class CaptureFormat(StrEnum):
    """The forms of a recording, in words for people."""

    TEXT = "capture text"
    JSON = "JSON lines"
    SALEAE = "Saleae serial CSV"
    HEX = "hex text"
    RAW = "raw bytes"


class CaptureReader:
    """The chunks of one recording, in order; iterate once.

    The beginning of the stream is read when the reader is made, the rest while it is iterated. A
    stream with `read1` (a pipe, a terminal) is never asked to wait for more than it has.

    Args:
        stream: readable binary; stays open.

    Attributes:
        format: what the recording was taken for; None if it is empty.
        bad_lines: lines skipped, or of which only a part was understood, so far.
        bytes_read: bytes taken from the stream so far.
        remark: its first line if that begins with `#`, without the mark; "" otherwise. Whoever
            wrote the recording says there what it is.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.bad_lines = 0
        self.bytes_read = 0
        self._read: Callable[[int], bytes | None] = getattr(stream, "read1", stream.read)
        self._ended = False
        self._names: set[str | None] = set()
        head = self._look()
        self.format = _likely_format(_plain_head(head)) if head else None
        self.remark = _remark(_plain_head(head))
        self._chunks = self._make_chunks(head)

    def __iter__(self) -> Iterator[Chunk]:
        return self._chunks

    def _take(self, size: int) -> bytes:
        # A terminal that has said "end" once must not be asked to say it again.
        piece = b"" if self._ended else self._read(size) or b""
        self._ended = not piece
        self.bytes_read += len(piece)
        return piece

    def _look(self) -> bytes:
        """Read until the format is certain: at once on a live pipe, at most `_HEAD` bytes."""
        head = b""
        next_look = 1
        while len(head) < _HEAD and (piece := self._take(_HEAD - len(head))):
            head += piece
            if len(head) >= next_look:
                if _certain_format(_plain_head(head)) is not None:
                    break
                next_look = 2 * len(head)  # byte-wise delivery must not cost a look a byte
        return head

    def _pieces(self, head: bytes) -> Iterator[bytes]:
        yield head
        while piece := self._take(_PIECE):
            yield piece

    def _make_chunks(self, head: bytes) -> Iterator[Chunk]:
        if self.format is None:
            return
        if self.format is CaptureFormat.RAW:
            for piece in self._pieces(head):
                yield Chunk(None, None, piece)
            return
        parse = _PARSERS.get(self.format) or SaleaeTable(_split(_plain_head(head))).parse
        cut = _hex_cut if self.format is CaptureFormat.HEX else _no_cut
        for line in _lines(_plain_pieces(self._pieces(head)), cut):
            chunk, clean = (None, False) if line is None else parse(line)
            if chunk is not None and not self._is_wire(chunk.line):
                chunk, clean = None, False
            self.bad_lines += not clean
            if chunk is not None:
                yield chunk

    def _is_wire(self, name: str | None) -> bool:
        if name not in self._names:
            if len(self._names) >= _MAX_NAMES:
                return False
            self._names.add(name)
        return True


def read_capture(stream: BinaryIO) -> CaptureReader:
    """Read a recording of any known form.

    Args:
        stream: readable binary, unpacked; stays open.

    Returns:
        An iterator over its chunks that knows the format and counts what it could not read.
    """
    return CaptureReader(stream)


_PARSERS: Final[dict[CaptureFormat, Callable[[bytes], ParsedLine]]] = {
    CaptureFormat.TEXT: parse_text_line,
    CaptureFormat.JSON: parse_json_line,
    CaptureFormat.HEX: parse_hex_line,
}


def _certain_format(head: bytes) -> CaptureFormat | None:
    """Name the format if no further byte can change the answer."""
    *lines, _unfinished = _split(head)
    for line in _split(head):
        if _TEXT_START.match(line):
            return CaptureFormat.TEXT
        if line.lstrip().startswith(b"{") and b'"hex"' in line:
            return CaptureFormat.JSON
    if any(SaleaeTable.is_header(line) for line in lines):
        return CaptureFormat.SALEAE
    if any(header in head for header in _HEADERS):
        return CaptureFormat.RAW
    if any(header in _hex_of(line) for line in lines for header in _HEADERS):
        return CaptureFormat.HEX
    return None


def _likely_format(head: bytes) -> CaptureFormat:
    """Name the format that fits best; raw bytes if no text does."""
    certain = _certain_format(head + b"\n")
    if certain is not None:
        return certain
    lines = [line for line in _split(head) if line.partition(b"#")[0].strip()]
    readable = sum(bool(_hex_of(line)) for line in lines)
    return CaptureFormat.HEX if 2 * readable > len(lines) else CaptureFormat.RAW


def _hex_of(line: bytes) -> bytes:
    found = hex_bytes(line.partition(b"#")[0].decode("latin-1"))
    return found[0] if found else b""


def _split(data: bytes) -> list[bytes]:
    data = data.translate(_LINE_ENDS)
    # A gigabyte of filler must not become a thousand million empty lines.
    return _BLANK_LINES.split(data) if b"\n\n" in data else data.split(b"\n")


def _is_utf16(head: bytes) -> bool:
    # Windows shells write UTF-16 when output is redirected; half of its bytes are then 0.
    marked = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return marked and 3 * head.count(0) >= len(head)


def _remark(head: bytes) -> str:
    line = head.partition(b"\n")[0]
    return line[1:].decode("ascii", "replace").strip() if line.startswith(b"#") else ""


def _plain_head(head: bytes) -> bytes:
    return b"".join(_plain_pieces([head]))


def _plain_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Take away byte order marks, and make UTF-8 of UTF-16."""
    decoder: codecs.IncrementalDecoder | None = None
    first = True
    for piece in pieces:
        if first and _is_utf16(piece):
            decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
        plain = decoder.decode(piece).encode(errors="replace") if decoder else piece
        yield plain.removeprefix(codecs.BOM_UTF8) if first else plain
        first = False


def _lines(pieces: Iterable[bytes], cut: Callable[[bytearray], int]) -> Iterator[bytes | None]:
    """Cut pieces into lines, without their ends; None stands for a line too long to keep.

    Never holds more than `_MAX_LINE` and one piece. `cut` says how much of a line too long may be
    handed out as a line of its own; 0 gives the line up.
    """
    pending = bytearray()
    skipping = False
    for piece in pieces:
        *ended, rest = _split(piece)
        for part in ended:
            yield None if skipping else bytes(pending + part)
            pending.clear()
            skipping = False
        if skipping:
            continue
        pending += rest
        while len(pending) > _MAX_LINE and not skipping:
            size = cut(pending)
            if size:
                yield bytes(pending[:size])
                del pending[:size]
            else:
                pending.clear()
                skipping = True
    yield None if skipping else bytes(pending)


def _no_cut(_line: bytearray) -> int:
    return 0


def _hex_cut(line: bytearray) -> int:
    """Find where a long line of hex text comes apart between two bytes; 0 if it is a comment."""
    comment = line.find(b"#")
    if comment >= 0:
        return comment
    after_separator = 1 + max(line.rfind(separator) for separator in _HEX_SEPARATORS)
    before_prefix = max(line.rfind(b"x"), line.rfind(b"X")) - 1
    # Without either, digits stand in pairs from the line's beginning.
    return max(after_separator, before_prefix) or len(line) // 2 * 2
