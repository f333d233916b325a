"""The copper that the doctor's tests are made of: it does what UARTs do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uart_wire import Sent, read_wave, resampled, wave_of

TEXT = bytes(range(256))


def test_what_is_sent_is_read_at_the_same_rate() -> None:
    assert resampled(TEXT, 115200, 115200) == TEXT


@pytest.mark.parametrize("sender", [115200 * 0.979, 117600])
def test_a_clock_two_percent_off_is_read_all_the_same(sender: float) -> None:
    assert resampled(TEXT, sender, 115200) == TEXT


@pytest.mark.parametrize("sender", [76800, 57600, 230400])
def test_another_rate_is_read_as_other_bytes(sender: float) -> None:
    heard = resampled(TEXT, sender, 115200)
    assert heard
    assert heard != TEXT


def test_a_slow_byte_is_read_as_the_bits_that_a_fast_receiver_samples() -> None:
    # 0x00 at half the rate: low for 18 fast bits, so one byte without a stop bit, then it is over.
    assert resampled(b"\x00", 57600, 115200, drops=False) == b"\x00"
    assert resampled(b"\x00", 57600, 115200) == b""
    # 0xFF at half the rate: low for two fast bits: bit 0 is low, the others high.
    assert resampled(b"\xff", 57600, 115200) == b"\xfe"


def test_an_inverted_line_rests_low_and_is_read_upside_down() -> None:
    wave = wave_of([Sent(0.0, b"\x55")]).inverted()
    assert wave.at(-1) == 0
    # 0x55 upside down is 1 0 1 0 1 0 1 0 1 0: the first fall is one bit late, the rest is 0x55.
    assert next(byte for _, byte in read_wave(wave, 115200, drops=False)) == 0x55


def test_two_senders_at_once_pull_the_wire_low_together() -> None:
    both = wave_of([Sent(0.0, b"\xf0"), Sent(0.0, b"\x3c")])
    assert [byte for _, byte in read_wave(both, 115200)] == [0xF0 & 0x3C]


def test_senders_one_after_the_other_are_both_read() -> None:
    first = Sent(0.0, b"\xaa\x01")
    wave = wave_of([first, Sent(first.end + 1e-4, b"\x02")])
    assert bytes(byte for _, byte in read_wave(wave, 115200)) == b"\xaa\x01\x02"


@given(st.binary(max_size=40), st.sampled_from([115200, 76800]), st.floats(0, 1))
def test_any_bytes_from_any_moment_arrive_in_order_and_in_time(
    data: bytes, baud: int, t: float
) -> None:
    found = read_wave(wave_of([Sent(t, data, baud)]), baud)
    assert bytes(byte for _, byte in found) == data
    times = [at for at, _ in found]
    assert times == sorted(times)
    if times:
        assert times[-1] == pytest.approx(Sent(t, data, baud).end)
