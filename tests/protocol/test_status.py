"""The status word: what each bit says, and which bits are faults."""

import pytest

from ninebot_bms.frames import parse_frame
from ninebot_bms.registers import block_of, decode_block
from ninebot_bms.registers_rows import Evidence
from ninebot_bms.status import STATUS_FLAGS, fault_flags, status_flags
from recorded import frame_vectors


def test_published_status_words_have_the_published_flags() -> None:
    compared = 0
    for vector in frame_vectors():
        published = vector.derived.get("registers", {}).get("status_flags")
        if published is None:
            continue
        block = block_of(parse_frame(vector.raw))
        assert block is not None
        status = decode_block(block.index, block.data)["status"]
        assert isinstance(status, int)
        assert list(status_flags(status)) == published
        assert fault_flags(status) == ()
        compared += 1
    assert compared == 13


@pytest.mark.parametrize(
    ("status", "flags", "faults"),
    [
        (0x0001, ("config_valid",), ()),
        (0x0000, (), ("config_invalid",)),
        (0x0003, ("config_valid", "activated"), ()),
        (0x0041, ("config_valid", "charging"), ()),
        (0x00C1, ("config_valid", "charging", "charger_connected"), ()),
        (0x0201, ("config_valid", "over_voltage"), ()),
        (0x0241, ("config_valid", "charging", "over_voltage"), ()),
        (0x0101, ("config_valid", "over_discharge"), ("over_discharge",)),
        (0x0401, ("config_valid", "over_temperature"), ("over_temperature",)),
        (0x2001, ("config_valid", "charge_error"), ("charge_error",)),
        (0x4001, ("config_valid", "deep_undervoltage"), ("deep_undervoltage",)),
        (0x1801, ("config_valid", "test_mode", "powered_on"), ()),
        (0x8001, ("config_valid",), ()),
        (0x0140, ("charging", "over_discharge"), ("config_invalid", "over_discharge")),
        (
            0x6500,
            ("over_discharge", "over_temperature", "charge_error", "deep_undervoltage"),
            (
                "config_invalid",
                "over_discharge",
                "over_temperature",
                "charge_error",
                "deep_undervoltage",
            ),
        ),
    ],
    ids=lambda value: f"0x{value:04x}" if isinstance(value, int) else "",
)
def test_status_words_read_as_seen_on_real_packs(
    status: int, flags: tuple[str, ...], faults: tuple[str, ...]
) -> None:
    assert status_flags(status) == flags
    assert fault_flags(status) == faults


def test_each_bit_but_the_unused_one_is_a_row_of_its_own() -> None:
    assert [flag.bit for flag in STATUS_FLAGS] == list(range(15))
    assert [flag.mask for flag in STATUS_FLAGS] == [1 << bit for bit in range(15)]
    assert len({flag.name for flag in STATUS_FLAGS}) == 15


def test_the_faults_are_bit_0_cleared_and_bits_8_10_13_14_set() -> None:
    assert {flag.bit: flag.fault_level for flag in STATUS_FLAGS if flag.fault} == {
        0: 0, 8: 1, 10: 1, 13: 1, 14: 1,
    }  # fmt: skip


def test_a_bit_that_is_not_confirmed_says_why() -> None:
    unsure = [flag for flag in STATUS_FLAGS if flag.evidence is not Evidence.CONFIRMED]
    assert {flag.bit for flag in unsure} == {2, 11, 12, 13, 14}
    assert all(flag.doubt for flag in unsure)
