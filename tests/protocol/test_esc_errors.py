"""Error codes of the scooter: where they are seen, and what they are about."""

import pytest

from ninebot_bms import ESC_ERRORS, Dialect, Frame, esc_error_of
from ninebot_bms.frames import parse_frame
from recorded import frame_vectors

ESC, DASH, BMS = 0x20, 0x21, 0x22
SHOWN = bytes((0x02, 0x04, 0x00, 0x00, 0x11, 21))


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Dialect.XIAOMI, None, DASH, 0x64, 0x00, SHOWN),
        Frame(Dialect.NINEBOT, ESC, DASH, 0x64, 0x00, SHOWN),
        Frame(Dialect.XIAOMI, ESC, None, 0x01, 0x1B, b"\x15\x00"),
        Frame(Dialect.XIAOMI, ESC, None, 0x01, 0xB0, b"\x15" + bytes(31)),
        Frame(Dialect.NINEBOT, ESC, 0x3E, 0x04, 0x1A, b"\x34\x01\x15\x00"),
    ],
    ids=["dashboard", "Ninebot dashboard", "register", "block of the app", "Ninebot register"],
)
def test_a_frame_that_shows_the_error_is_read(frame: Frame) -> None:
    assert esc_error_of(frame) == 21


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Dialect.XIAOMI, None, DASH, 0x64, 0x00, SHOWN[:4]),  # an M365 shows no more
        Frame(Dialect.XIAOMI, None, DASH, 0x65, 0x00, SHOWN),
        Frame(Dialect.XIAOMI, None, ESC, 0x64, 0x00, SHOWN),  # the dashboard speaks
        Frame(Dialect.NINEBOT, 0x3E, DASH, 0x64, 0x00, SHOWN),
        Frame(Dialect.XIAOMI, ESC, None, 0x01, 0x3A, b"\x15\x00"),
        Frame(Dialect.XIAOMI, BMS, None, 0x01, 0x1B, b"\x15\x00"),
        Frame(Dialect.XIAOMI, None, ESC, 0x01, 0x1B, b"\x02"),
    ],
    ids=["short", "other command", "other way", "from an app", "other register", "pack", "request"],
)
def test_any_other_frame_does_not_say(frame: Frame) -> None:
    assert esc_error_of(frame) is None


def test_no_error_is_none_shown_and_not_unknown() -> None:
    assert esc_error_of(Frame(Dialect.XIAOMI, None, DASH, 0x64, 0x00, bytes(6))) == 0


def test_no_genuine_frame_shows_an_error() -> None:
    frames = [parse_frame(vector.raw) for vector in frame_vectors() if vector.checksum_ok]
    assert {esc_error_of(frame) for frame in frames} == {None, 0}


def test_every_code_says_what_it_means_and_only_those_of_the_battery_have_a_topic() -> None:
    assert all(error.code == code and error.meaning for code, error in ESC_ERRORS.items())
    assert {code for code, error in ESC_ERRORS.items() if not error.battery} == {10, 11, 12, 40}
    assert not any(error.topic for error in ESC_ERRORS.values() if not error.battery)
