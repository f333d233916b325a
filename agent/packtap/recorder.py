"""Capture files: written in parts, bounded in size, packed, floor 3.

A part is capture text (a remark in its first line, then `(seconds) line HEX`), or the same in gzip
if its name ends in `.gz`. What has been flushed can be read even if the recorder is killed: gzip
data is flushed to a whole block each time, and readers take all up to a break. The first part has
the name that was asked for; the next ones have a number before the suffix. When there are more
parts than allowed, the oldest goes.
"""

import os
import zlib
from collections import deque
from pathlib import Path
from typing import IO, Final

from ninebot_bms import Chunk, format_chunk

__all__ = ["CaptureWriter", "part_path"]

_GZIP_BITS: Final = 31  # zlib's way to ask for a gzip header and trailer
_SUFFIXES: Final = (".log.gz", ".txt.gz", ".gz", ".log", ".txt")


class CaptureWriter:
    """Writes chunks to a capture file and its further parts.

    Args:
        path: of the first part; nothing is overwritten.
        part_bytes: a part that has reached this is closed and the next one begun.
        parts: most parts kept.
        remark: what the first line of each part says, one line.

    Attributes:
        parts: the parts there are, oldest first.
        written: bytes of all parts ever written, as they stand in the files.

    Raises:
        FileExistsError: there is such a file already.
        OSError: it cannot be written (here, and in every method).
    """

    def __init__(self, path: Path, *, part_bytes: int, parts: int, remark: str) -> None:
        self._path = path
        self._part_bytes = part_bytes
        self._most = parts
        self._remark = " ".join(remark.split())
        self._count = 0
        self._in_part = 0
        self.parts: deque[Path] = deque()
        self.written = 0
        self._file: IO[bytes] | None = None
        self._packer = zlib.compressobj(wbits=_GZIP_BITS)
        self._begin()

    def write(self, chunk: Chunk) -> None:
        """Append one chunk with a time and a line name.

        Raises:
            ValueError: it has none.
        """
        self._put(format_chunk(chunk).encode() + b"\n")
        if self._in_part >= self._part_bytes:
            self._end()
            self._begin()

    def flush(self) -> None:
        """Let a reader see everything so far, whatever happens to this process."""
        if self._file is None:
            return
        if self._is_packed:
            self._out(self._packer.flush(zlib.Z_SYNC_FLUSH))
        self._file.flush()
        # What is packed but not yet out is not counted before: bound the part by what is there.
        if self._in_part >= self._part_bytes:
            self._end()
            self._begin()

    def close(self) -> None:
        """End the last part; what it holds is on the disk afterwards."""
        self._end()

    @property
    def _is_packed(self) -> bool:
        return self._path.suffix == ".gz"

    def _begin(self) -> None:
        self._count += 1
        path = part_path(self._path, self._count)
        self._file = path.open("xb")
        self.parts.append(path)
        self._in_part = 0
        self._packer = zlib.compressobj(wbits=_GZIP_BITS)
        part = "" if self._count == 1 else f"; part {self._count}"
        self._put(f"# {self._remark}{part}\n".encode())
        while len(self.parts) > self._most:
            self.parts.popleft().unlink(missing_ok=True)

    def _end(self) -> None:
        if self._file is None:
            return
        with self._file:
            if self._is_packed:
                self._out(self._packer.flush())
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file = None

    def _put(self, text: bytes) -> None:
        self._out(self._packer.compress(text) if self._is_packed else text)

    def _out(self, data: bytes) -> None:
        if self._file is None:
            raise ValueError("the recording has ended")
        self._file.write(data)
        self._in_part += len(data)
        self.written += len(data)


def part_path(path: Path, number: int) -> Path:
    """Return the name of a part: `ride.log.gz`, `ride-2.log.gz`, `ride-3.log.gz`."""
    if number == 1:
        return path
    suffix = next((each for each in _SUFFIXES if path.name.endswith(each)), "")
    stem = path.name.removesuffix(suffix)
    return path.with_name(f"{stem}-{number}{suffix}")
