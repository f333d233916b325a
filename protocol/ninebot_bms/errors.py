"""What can go wrong on the bus, floor 0.

::

    NinebotError
    +-- FrameError    the bytes are no frame (reason, raw, expected, actual)
    +-- ReplyError    a well-formed frame that does not answer what was asked
    +-- DecodeError   a register block that cannot be cut into its registers

The caller's own mistakes are `ValueError` and `TypeError`. A noisy line is no exception at
all: the framer counts `Reason` and goes on.
"""

from enum import StrEnum

__all__ = ["DecodeError", "FrameError", "NinebotError", "Reason", "ReplyError"]


class Reason(StrEnum):
    """Why bytes were refused."""

    HEADER = "HEADER"  #: bytes in which no frame begins
    LENGTH = "LENGTH"  #: a length outside the dialect's range, or a frame that never became whole
    CHECKSUM = "CHECKSUM"  #: a whole frame whose sum is wrong
    SANITY = "SANITY"  #: a checked frame whose content contradicts its own command


class NinebotError(Exception):
    """Base of everything that this library raises about the bus."""


class FrameError(NinebotError):
    """Bytes that were to be one frame and are none.

    Args:
        reason: why they were refused.
        raw: the refused bytes, as seen.
        expected: checksum bytes that would have been right, low byte first; None if the frame
            did not get that far.
        actual: checksum bytes that stood there, low byte first; None likewise.
    """

    def __init__(
        self,
        reason: Reason,
        raw: bytes,
        expected: bytes | None = None,
        actual: bytes | None = None,
    ) -> None:
        self.reason = reason
        self.raw = raw
        self.expected = expected
        self.actual = actual
        detail = ""
        if expected is not None and actual is not None:
            detail = f": expected {expected.hex(' ')}, got {actual.hex(' ')}"
        super().__init__(f"{reason.value.lower()}{detail} in {raw.hex(' ') or 'no bytes'}")


class ReplyError(NinebotError):
    """A reply whose register or length is not what the request asked for.

    Args:
        message: what was asked and what came.
        raw: the reply, as seen on the wire.
    """

    def __init__(self, message: str, raw: bytes) -> None:
        self.raw = raw
        super().__init__(f"{message} in {raw.hex(' ')}")


class DecodeError(NinebotError):
    """A register block that cannot be decoded.

    Args:
        message: what is wrong with it.
        index: first register of the block (words).
        data: the block's bytes.
    """

    def __init__(self, message: str, index: int, data: bytes) -> None:
        self.index = index
        self.data = data
        super().__init__(f"{message}: register 0x{index:02x}, {data.hex(' ') or 'no bytes'}")
