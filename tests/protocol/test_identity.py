"""Serials: what kind they are, and the date they encode."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninebot_bms.identity import (
    FACTORY_SERIAL,
    Identity,
    SerialKind,
    identify,
    is_factory_serial,
    serial_date,
    serial_kind,
)

#: Every pack that publishes both its serial and its date word.
PUBLISHED = {
    "3JAGJ17A8D3660": date(2017, 1, 8),
    "3JCGJ18ATD1125": date(2018, 1, 27),
    "4KBEQ17J6V0010": date(2017, 10, 6),
    "49YEQ18H1Q0423": date(2018, 8, 1),
    "49YEQ18H7R0033": date(2018, 8, 7),
}


@pytest.mark.parametrize(("serial", "day"), PUBLISHED.items())
def test_a_published_serial_encodes_the_date_of_its_date_word(serial: str, day: date) -> None:
    assert serial_date(serial) == day


def test_the_letters_of_the_day_skip_i_and_o() -> None:
    letters = "123456789ABCDEFGHJKLMNPQRSTUVWX"
    days = [serial_date(f"3JAGJ17A{letter}D3660") for letter in letters]
    assert days == [date(2017, 1, day) for day in range(1, 32)]


@pytest.mark.parametrize(
    "serial",
    [
        "",
        "3JAGJ17A8D366",
        "3JAGJ17A8D36600",
        "3JAGJXXA8D3660",
        "3JAGJ17M8D3660",
        "3JAGJ17AID3660",
        "3JAGJ17A0D3660",
        "3JAGJ17BXD3660",
        "BPAGJ17A8D3660",
        "BFAGJ17A8D3660",
        "3JAGJ\u0661\u0667A8D3660",
        "  IVAN100KWT  ",
        "BOTOX001",
        FACTORY_SERIAL,
    ],
    ids=[
        "empty",
        "short",
        "long",
        "no year",
        "no month",
        "letter I",
        "day 0",
        "31 February",
        "newer BP",
        "newer BF",
        "other digits",
        "emulator",
        "replacement",
        "factory",
    ],
)
def test_a_serial_of_another_pattern_encodes_no_date(serial: str) -> None:
    assert serial_date(serial) is None


@given(st.text())
def test_no_serial_makes_the_date_or_the_kind_throw(serial: str) -> None:
    assert serial_kind(serial) in SerialKind
    assert serial_date(serial) is None or len(serial) == 14


@pytest.mark.parametrize(
    ("serial", "kind"),
    [
        *((serial, SerialKind.VENDOR) for serial in PUBLISHED),
        ("FDCGJ2610BK283", SerialKind.VENDOR),
        ("3GA0016A1A0001", SerialKind.FACTORY),
        ("BOTOX001", SerialKind.REPLACEMENT),
        ("  IVAN100KWT  ", SerialKind.PLACEHOLDER),
        ("3JAGJ17A8D366", SerialKind.PLACEHOLDER),
        ("3JAGJ17A8D366Ä", SerialKind.PLACEHOLDER),
        ("00000000000000", SerialKind.PLACEHOLDER),
        ("              ", SerialKind.UNREADABLE),
        (None, SerialKind.UNREADABLE),
    ],
)
def test_the_kind_of_a_serial_says_what_it_is_good_for(
    serial: str | None, kind: SerialKind
) -> None:
    assert serial_kind(serial) is kind
    assert serial is None or is_factory_serial(serial) == (kind is SerialKind.FACTORY)


def test_an_identity_gathers_what_was_read() -> None:
    assert identify(
        {"serial": "3JAGJ17A8D3660", "firmware": "1.1.5", "manufacture_date": "2017-01-08"}
    ) == Identity(
        serial="3JAGJ17A8D3660",
        kind=SerialKind.VENDOR,
        serial_date=date(2017, 1, 8),
        manufacture_date=date(2017, 1, 8),
        firmware="1.1.5",
    )


def test_an_identity_of_which_nothing_was_read_is_unknown() -> None:
    assert identify({}) == Identity(None, None, None, None, None)


def test_a_serial_that_was_read_and_is_blank_is_unreadable_not_unread() -> None:
    assert identify({"serial": None, "manufacture_date": None, "firmware": None}) == Identity(
        None, SerialKind.UNREADABLE, None, None, None
    )
