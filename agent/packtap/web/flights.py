"""Flight recordings: the captures that an agent wrote around critical events, beside its store.

The folder `flight` beside a store is all that can be reached, and of it only plain files whose
names are those that the flight recorder gives. A name that a visitor sends is looked up in the
folder's listing and never becomes part of a path by itself; links, pipes and devices are left out,
also if one takes a file's place between looking and opening.
"""

import contextlib
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from packtap.web.missing import MissingError

__all__ = ["Flight", "Flights", "UnknownFlightError", "pieces"]

_NAME: Final = re.compile(r"flight-(boot-)?(\d{1,12}(?:\.\d{1,6})?)-([a-z0-9_]{1,60})\.log\.gz")
#: As the first line of a recording says it: `...: PACK/kind/cell/store/number; times: ...`.
_REMARK: Final = re.compile(r"# flight recording by packtap [^:]{1,40}: ([^/]{1,100})/")
_HEAD: Final = 512
_MOST: Final = 200
_FOLDER: Final = "flight"
_PIECE: Final = 65536


class UnknownFlightError(MissingError):
    """There is no such recording."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One recording.

    Attributes:
        name: of the file.
        t_ms: when the event was, UTC milliseconds; None: the clock was not known.
        kind: of the event.
        pack: on which it was, as the recording says; "" if it does not.
        size: bytes.
    """

    name: str
    t_ms: int | None
    kind: str
    pack: str
    size: int


class Flights:
    """The recordings beside one store.

    Args:
        store: path of the store.
    """

    def __init__(self, store: Path) -> None:
        self._folder = store.parent / _FOLDER

    def all(self) -> list[Flight]:
        """Return the latest recordings, latest first; none if there is no such folder."""
        return [flight for _, flight in sorted(self._found(), key=lambda it: -it[0])[:_MOST]]

    def path(self, name: str) -> tuple[Path, int]:
        """Return where a recording is, and its size.

        Raises:
            UnknownFlightError: there is none of this name.
        """
        with self.open(name) as (_, size):
            return self._folder / name, size

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        """Open a recording; give it with its size at this moment.

        Raises:
            UnknownFlightError: there is none of this name, or it cannot be read.
        """
        with contextlib.ExitStack() as opened:
            try:
                if not any(entry.name == name for entry in self._entries()):
                    raise UnknownFlightError("There is no such recording any more; look again.")
                file = opened.enter_context(_open(self._folder, name))
                status = os.fstat(file.fileno())
            except OSError as error:
                raise UnknownFlightError(
                    f"This recording cannot be read: {error.strerror}."
                ) from error
            if not stat.S_ISREG(status.st_mode):
                raise UnknownFlightError("This is no recording.")
            yield file, status.st_size

    def _entries(self) -> Iterator["os.DirEntry[str]"]:
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        yield entry
        except OSError:
            return  # no folder: nothing critical has happened yet

    def _found(self) -> Iterator[tuple[float, Flight]]:
        for entry in list(self._entries()):
            named = _NAME.fullmatch(entry.name)
            if named is None:
                continue
            is_undated, stamp, kind = named.groups()
            t_ms = None if is_undated else round(1000 * float(stamp))
            try:
                status = entry.stat(follow_symlinks=False)
                pack = self._pack_of(entry.name)
            except OSError:
                continue  # gone since: the recorder makes room
            yield status.st_mtime, Flight(entry.name, t_ms, kind, pack, status.st_size)

    def _pack_of(self, name: str) -> str:
        with _open(self._folder, name) as file:
            packed = file.read(_HEAD)
        try:
            text = zlib.decompressobj(wbits=31).decompress(packed, _HEAD)
        except zlib.error:
            return ""
        told = _REMARK.match(text.decode("utf-8", errors="replace"))
        return told.group(1) if told else ""


def _open(folder: Path, name: str) -> BinaryIO:
    """Open a file of this folder, and no link out of it; never wait for a pipe."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return os.fdopen(
            os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place), "rb"
        )
    finally:
        os.close(place)


def pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield so many bytes of a file, some at a time: one that grows meanwhile is cut there."""
    while size > 0 and (piece := file.read(min(_PIECE, size))):
        size -= len(piece)
        yield piece
