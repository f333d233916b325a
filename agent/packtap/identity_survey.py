"""Which serial numbers a recording holds, floor 2: looked at before any of them is replaced.

A serial may come in several reads (0x10 with 8 bytes, 0x14 with 6), cut into chunks anywhere, and
on several lines: it is put together per node and line, as the registers stand.
"""

from collections.abc import Callable, Iterable

from ninebot_bms import Chunk, Frame, Framer, Reject
from packtap.errors import CaptureError
from packtap.identity_rows import Kind, Span, is_register_reply, spans
from packtap.pseudonyms import UNREAD, Pseudonyms

__all__ = ["Assembly", "Survey"]


class Assembly:
    """The text registers of one node on one line, put together from the reads of them."""

    def __init__(self) -> None:
        self._slots: dict[tuple[object, ...], bytearray] = {}

    def take(self, line: str | None, frame: Frame, span: Span) -> bytes:
        """Return the whole text as known with this read; `UNREAD` where it is not."""
        piece = frame.payload[span.start : span.stop]
        slots = self._slots.setdefault(
            (line, frame.dialect, frame.source, span.row.index), bytearray(span.row.size)
        )
        end = span.offset + len(piece)
        before = slots[span.offset : end]
        if any(old not in (UNREAD, new) for old, new in zip(before, piece, strict=True)):
            slots[:] = bytes(len(slots))  # another pack: what was read of the first is not its
        slots[span.offset : end] = piece
        return bytes(slots)


class Survey:
    """The first pass: which serials there are, and what form the recording needs."""

    def __init__(self, key: bytes | None = None) -> None:
        self.pseudonyms = Pseudonyms(key)
        self.frames = 0
        self.has_names_and_times = True  #: every chunk has both
        self._framers: dict[str | None, Framer] = {}
        self._assembly = Assembly()
        #: Texts of which a part was read, and which may still become whole.
        self._parts: dict[tuple[object, ...], bytes] = {}

    def take(self, chunk: Chunk) -> None:
        """Look at the next chunk."""
        self.has_names_and_times &= chunk.t is not None and chunk.line is not None
        framer = self._framers.setdefault(chunk.line, Framer())
        self._look(chunk.line, framer.receive_data(chunk.data))

    def close(self) -> None:
        """Look at what is left; call once, before the second pass."""
        for line, framer in self._framers.items():
            self._look(line, framer.close())
        for part in self._parts.values():
            self._note(self.pseudonyms.note_part, part)

    def _look(self, line: str | None, found: Iterable[Frame | Reject]) -> None:
        for frame in found:
            if not isinstance(frame, Frame):
                continue
            self.frames += 1
            if not is_register_reply(frame) or frame.source is None:
                continue
            for span in spans(frame.source, frame.index, len(frame.payload)):
                if span.row.kind is Kind.TEXT:
                    self._take_text(line, frame, span)

    def _take_text(self, line: str | None, frame: Frame, span: Span) -> None:
        key = (line, frame.dialect, frame.source, span.row.index)
        text = self._assembly.take(line, frame, span)
        before = self._parts.pop(key, b"")
        if any(old not in (UNREAD, new) for old, new in zip(before, text, strict=False)):
            self._note(self.pseudonyms.note_part, before)
        if UNREAD in text.rstrip(b"\0") or span.offset + span.stop - span.start < span.row.size:
            self._parts[key] = text
        else:
            self._note(self.pseudonyms.note, text)

    def _note(self, note: Callable[[bytes], None], text: bytes) -> None:
        try:
            note(text)
        except ValueError as error:
            raise CaptureError(f"{error}: no recording of scooters; nothing is written") from error
