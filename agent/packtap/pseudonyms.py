"""Other names for the serial numbers of one recording, floor 2: same serial, same pseudonym.

A pseudonym has the form of its serial: a digit for a digit, a letter for a letter, blanks and signs
where they were. What is kept is what a repair needs and what does not name one pack::

    M M M M x Y Y m d n n n n n      a vendor's serial: M and the date stay, x and n are replaced

- M: model and variant, the first four characters.
- x: "X" ("Y" for a serial that has an "X" there). It marks a pseudonym, and breaks the serial up:
  no more than four characters that follow each other are those of the serial.
- Y Y m d: the date, if the serial encodes one. Register 0x20 says it too, and whether the two agree
  is evidence (another pack's serial). A serial without a date gets a pseudonym without one.
- n: the number, by a hash under a key that is drawn for this recording and kept nowhere. So nobody
  can find the serial by trying all numbers, and two recordings of a pack do not show that they
  are of one.

Any other text that names something (a vehicle's serial, an emulator's words) keeps its form alone.
What every board of a kind says, and names nobody, stays: the factory serial, BOTOX001, filler.
"""

import hashlib
import hmac
import secrets
import string
from collections.abc import Iterator
from typing import Final

from ninebot_bms.identity import SerialKind, serial_date, serial_kind

__all__ = ["UNREAD", "Pseudonyms", "names_nobody"]

_MODEL: Final = 4
_MARK_AT: Final = 4
_NUMBER_AT: Final = 9
_SHARED: Final = b"BOTOX001"
#: A text of fewer different characters is filler ("00000000000000"), not a number.
_MIN_DIFFERENT: Final = 4
#: More serials than this are no recording of scooters; each costs memory.
_MAX_SERIALS: Final = 1000
#: So many characters of a serial that follow each other give it away.
_TELLING: Final = 6
_ATTEMPTS: Final = 200
_ALPHABETS: Final = tuple(
    letters.encode() for letters in (string.digits, string.ascii_uppercase, string.ascii_lowercase)
)
#: Bytes that are no ASCII, without those that end a frame's header.
_OTHERS: Final = bytes(set(range(0x80, 0xFF)) - {0xA5, 0xAA})
_FILLER: Final = b"\0 \xff"
#: Stands where a part of a serial was never read.
UNREAD: Final = 0


class Pseudonyms:
    """The names of one recording.

    Args:
        key: what pseudonyms are hashed under; None draws one, as everybody but a test should.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = secrets.token_bytes(32) if key is None else key
        self._texts: dict[bytes, None] = {}
        self._shared: dict[bytes, None] = {}
        self._given: dict[bytes, bytes] = {}
        self._taken: set[bytes] = set()

    @property
    def serials(self) -> int:
        """How many texts that name something were noted."""
        return len(self._texts)

    def note(self, text: bytes) -> None:
        """Take note of a serial before any is replaced.

        Args:
            text: as it stands in the registers; 0 where it was not read.

        Raises:
            ValueError: there are more than any recording of scooters has.
        """
        self._keep(text, self._shared if names_nobody(text) else self._texts)

    def note_part(self, text: bytes) -> None:
        """Take note of a serial of which the rest was never read; like `note`.

        Few different characters are no filler here: they may be the end of a number.
        """
        bare = text.strip(_FILLER)
        self._keep(text, self._shared if bare == _SHARED or len(set(bare)) < 2 else self._texts)

    def _keep(self, text: bytes, noted: dict[bytes, None]) -> None:
        noted[text] = None
        if len(self._texts) + len(self._shared) > _MAX_SERIALS:
            raise ValueError(f"more than {_MAX_SERIALS} different serial numbers")

    def runs(self, size: int) -> frozenset[bytes]:
        """Return every `size` characters that follow each other in a noted text."""
        return frozenset(
            run
            for text in self._texts
            for start in range(len(text) - size + 1)
            if UNREAD not in (run := text[start : start + size]) and len(set(run)) > 1
        )

    def of(self, text: bytes) -> bytes:
        """Return the pseudonym of a text; the text itself if it names nobody."""
        return text if names_nobody(text) else self._give(text)

    def of_part(self, text: bytes, start: int, stop: int) -> bytes:
        """Return the pseudonym of the text of which a part was read; as long as the text.

        Args:
            text: all that is known of the text now; `UNREAD` where it was not read.
            start: the first character that was read now.
            stop: one behind the last.
        """
        piece = text[start:stop]
        if text in self._shared or not piece.strip(_FILLER):
            return text
        if text in self._texts:
            return self._give(text)
        fitting = [
            noted
            for noted in (*self._texts, *self._shared)
            if noted[start:stop] == piece and len(noted) == len(text)
        ]
        if fitting:  # what it was a part of became known later, or on another line
            best = min(fitting, key=lambda noted: noted.count(UNREAD))
            return self._give(best) if best in self._texts else best
        alone = bytes(start) + piece + bytes(len(text) - stop)
        return self._give(alone)

    def _give(self, text: bytes) -> bytes:
        given = self._given.get(text)
        if given is None:
            given = self._given[text] = self._choose(text)
            self._taken.add(given)
        return given

    def of_bytes(self, data: bytes) -> bytes:
        """Return other bytes for a binary identity (at most 32); filler stays."""
        if not data.strip(b"\x00") or not data.strip(b"\xff"):
            return data
        return self._hash(b"bytes", data)[: len(data)]

    def _choose(self, text: bytes) -> bytes:
        telling = self.runs(_TELLING)
        kind, dated = _nature(text)
        candidate = text
        for attempt in range(_ATTEMPTS):
            candidate = self._draw(text, attempt)
            if (
                _nature(candidate) == (kind, dated)
                and not any(
                    candidate[at : at + _TELLING] in telling for at in range(len(candidate))
                )
                and candidate not in self._taken
            ):
                break
        return candidate

    def _draw(self, text: bytes, attempt: int) -> bytes:
        noise = self._hash(b"text %d" % attempt, text)
        drawn = bytearray(
            other if at in _replaced(text) else byte
            for at, (byte, other) in enumerate(zip(text, _others(text, noise), strict=True))
        )
        if _is_vendors(text):
            drawn[_MARK_AT] = ord("Y") if text[_MARK_AT] == ord("X") else ord("X")
        return bytes(drawn)

    def _hash(self, purpose: bytes, data: bytes) -> bytes:
        return hmac.digest(self._key, purpose + b"\0" + data, hashlib.sha256)


def names_nobody(text: bytes) -> bool:
    """Whether every board of a kind says this, or it is filler."""
    bare = text.strip(_FILLER)
    words = bare.decode("ascii", "replace")
    return (
        len(set(bare)) < _MIN_DIFFERENT
        or bare == _SHARED
        or serial_kind(words) is SerialKind.FACTORY
    )


def _words(text: bytes) -> str | None:
    """Read a text as the register row does: None if it is blank or not printable ASCII."""
    bare = text.rstrip(b"\0")
    words = bare.decode("ascii", "replace")
    return words if bare and bare.isascii() and words.isprintable() else None


def _nature(text: bytes) -> tuple[SerialKind, object]:
    words = _words(text)
    return serial_kind(words), None if words is None else serial_date(words)


def _is_vendors(text: bytes) -> bool:
    return _nature(text)[0] is SerialKind.VENDOR


def _replaced(text: bytes) -> range:
    """Return which characters are replaced."""
    kind, dated = _nature(text)
    if kind is SerialKind.VENDOR:
        return range(_MARK_AT if dated is None else _NUMBER_AT, len(text))
    if kind is SerialKind.REPLACEMENT:
        return range(len("BOTOX"), len(text))
    return range(len(text))


def _others(text: bytes, noise: bytes) -> Iterator[int]:
    """Yield for each byte another one of its class; blanks, signs and fillers as they are."""
    for byte, chance in zip(text, noise, strict=False):
        alphabet = next((each for each in _ALPHABETS if byte in each), None)
        if alphabet is None and 0x80 <= byte < 0xFF:
            alphabet = _OTHERS
        if alphabet is None:
            yield byte
            continue
        rest = alphabet.replace(bytes((byte,)), b"")
        yield rest[chance % len(rest)]
