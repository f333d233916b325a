"""What the library's errors carry, and what they say."""

import pytest

from ninebot_bms import DecodeError, FrameError, NinebotError, Reason, ReplyError, by_name


def test_a_wrong_checksum_shows_what_was_expected_and_what_stood_there() -> None:
    error = FrameError(Reason.CHECKSUM, b"\x5a\xa5\x00", expected=b"\x4e\xff", actual=b"\x4e\xfe")
    assert str(error) == "checksum: expected 4e ff, got 4e fe in 5a a5 00"
    assert (error.reason, error.raw) == (Reason.CHECKSUM, b"\x5a\xa5\x00")


def test_a_frame_without_bytes_says_so() -> None:
    assert str(FrameError(Reason.LENGTH, b"")) == "length in no bytes"


def test_a_reply_to_something_else_shows_its_bytes() -> None:
    error = ReplyError("asked for 0x30, got 0x40", b"\x55\xaa")
    assert str(error) == "asked for 0x30, got 0x40 in 55 aa"
    assert error.raw == b"\x55\xaa"


def test_a_block_that_cannot_be_cut_names_its_register() -> None:
    error = DecodeError("half a word", 0x30, b"\x01")
    assert str(error) == "half a word: register 0x30, 01"
    assert (error.index, error.data) == (0x30, b"\x01")


@pytest.mark.parametrize("error", [FrameError, ReplyError, DecodeError])
def test_one_except_catches_them_all(error: type[Exception]) -> None:
    assert issubclass(error, NinebotError)


@pytest.mark.parametrize(
    ("row", "scale"),
    [("voltage_v", 0.01), ("current_a", 0.01), ("total_charged_mah", 10), ("cycle_count", 1)],
)
def test_a_row_tells_its_unit_per_count(row: str, scale: float) -> None:
    assert float(by_name[row].scale) == scale
