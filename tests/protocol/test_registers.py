"""The register table: genuine blocks, construct as oracle, hostile bytes, the printed table."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from construct import Array, Int16ul
from hypothesis import given, settings
from hypothesis import strategies as st

from ninebot_bms.errors import DecodeError
from ninebot_bms.framer import Framer
from ninebot_bms.frames import ESC, Dialect, Frame, parse_frame
from ninebot_bms.registers import (
    ESC_REGISTERS,
    REGISTERS,
    Block,
    Evidence,
    Register,
    Value,
    block_of,
    by_name,
    cell_slots,
    decode_block,
    decode_esc,
    encode_register,
    esc_block_of,
    markdown,
    temperatures_raw,
)
from ninebot_bms.registers_codecs import CELLS, cells_from_slots
from recorded import Vector, frame_vectors, recording

GOOD = [vector for vector in frame_vectors() if vector.checksum_ok]

#: What frames.jsonl calls a quantity, and how our value reads in its terms.
Reading = Callable[[dict[str, Value]], Any]


def same(name: str) -> Reading:
    return lambda values: values[name]


def bits(name: str) -> Reading:
    return lambda values: int.from_bytes(encode_register(name, values[name]), "little")


def padded_cells(values: dict[str, Value]) -> list[int | None]:
    cells = values["cell_voltages_mv"]
    assert isinstance(cells, tuple)
    return list(cells)


def first_cell_v(values: dict[str, Value]) -> float:
    cells = values["cell_voltages_mv"]
    assert isinstance(cells, tuple)
    assert cells[0] is not None
    return cells[0] / 1000


def charged_raw(values: dict[str, Value]) -> int:
    total = values["total_charged_mah"]
    assert total is None or isinstance(total, int)
    return 0 if total is None else total // 10  # 0 on the wire is "not reported" here


NAMES: dict[str, Reading] = {
    "serial": same("serial"),
    "fw": same("firmware"),
    "fw_raw": bits("firmware"),
    "design_capacity_mah": same("design_capacity_mah"),
    "design_mah": same("design_capacity_mah"),
    "full_capacity_mah": same("full_capacity_mah"),
    "full_mah": same("full_capacity_mah"),
    "design_voltage_v": same("design_voltage_v"),
    "full_cycles": same("cycle_count"),
    "charge_count": same("charge_count"),
    "charged_total_raw": charged_raw,
    "overcurrent_count": same("overcurrent_count"),
    "overdischarge_count": same("overdischarge_count"),
    "mfg_date": same("manufacture_date"),
    "mfg_date_raw": bits("manufacture_date"),
    "status": same("status"),
    "status_raw": same("status"),
    "remaining_mah": same("remaining_capacity_mah"),
    "soc_percent": same("soc_pct"),
    "percent": same("soc_pct"),
    "current_a": same("current_a"),
    "voltage_v": same("voltage_v"),
    "temp_low_byte_c": same("temperature_1_c"),
    "temp_high_byte_c": same("temperature_2_c"),
    "temp1_c": same("temperature_1_c"),
    "temp2_c": same("temperature_2_c"),
    "balance_bits": bits("balancing_cells"),
    "balance_map": bits("balancing_cells"),
    "health_percent": same("health_pct"),
    "health": same("health_pct"),
    "cells_mv": padded_cells,
    "cell_1_v": first_cell_v,
}
#: Compared in test_status.
ELSEWHERE = {"status_flags"}
#: Quantities of the ESC: out of scope, as it is not the battery.
OF_THE_ESC = {
    "avg_speed_kmh", "batt_percent", "battery", "bms_fw", "current_a", "range_km", "raw",
    "speed_kmh", "temp_c", "trip_m", "trip_seconds", "voltage_v",
}  # fmt: skip


def stated(value: Any) -> Any:
    """Bring a value of frames.jsonl into the terms of ours."""
    if isinstance(value, str) and value.startswith("0x"):
        return int(value, 16)
    if isinstance(value, list):  # trailing zeros are unused slots
        return value[: max(number for number, mv in enumerate(value, 1) if mv)]
    return value


def vector_id(vector: Vector) -> str:
    return vector.raw.hex()[:28]


def spread_over_image(index: int, data: bytes) -> bytes:
    """The register file with one block in it, everything else zero."""
    return (bytes(2 * index) + data).ljust(512 + len(data), b"\0")


@pytest.mark.parametrize(
    "vector", [v for v in GOOD if "registers" in v.derived or v.decoded], ids=vector_id
)
def test_every_published_quantity_is_decoded_as_its_source_says(vector: Vector) -> None:
    block = block_of(parse_frame(vector.raw))
    published = vector.derived.get("registers", {}) | vector.decoded
    if block is None:
        assert set(published) <= OF_THE_ESC
        return
    values = decode_block(block.index, block.data)
    for name, value in published.items():
        if name not in ELSEWHERE:
            assert NAMES[name](values) == stated(value), name


def test_every_genuine_frame_of_a_pack_that_answers_carries_registers() -> None:
    answers = [v for v in GOOD if "registers" in v.derived]
    blocks = [block_of(parse_frame(v.raw)) for v in answers]
    assert len(answers) == 44
    assert all(block is not None for block in blocks)
    assert {block.address for block in blocks if block} == {0x22, 0x11, 0x12}


def test_frames_that_are_no_answer_of_a_pack_carry_no_registers() -> None:
    others = [v for v in GOOD if "registers" not in v.derived]
    assert len(others) > 80
    assert [v.note for v in others if block_of(parse_frame(v.raw)) is not None] == []


def test_a_published_error_code_of_the_esc_is_decoded() -> None:
    frames = [parse_frame(v.raw) for v in GOOD]
    blocks = [block for frame in frames if (block := esc_block_of(frame)) is not None]
    codes = [decode_esc(b.index, b.data).get("esc_error_code") for b in blocks]
    assert 0 in codes  # the 0xB0 block of a healthy M365
    assert decode_esc(0x1B, b"\x15\x00") == {"esc_error_code": 21}
    assert decode_esc(0xB0, b"\x16\x00\x09\x00") == {"esc_error_code": 22}
    assert decode_esc(0x1C, b"\x16\x00") == {}


def recorded_values(name: str) -> list[dict[str, Value]]:
    framers: dict[str, Framer] = {}
    values = []
    for _, line, data in recording(name):
        for item in framers.setdefault(line, Framer()).receive_data(data):
            block = block_of(item) if isinstance(item, Frame) else None
            if block is not None:
                values.append(decode_block(block.index, block.data))
    return values


def test_the_recorded_m365_reads_as_its_battery_was() -> None:
    values = recorded_values("m365_esc_bms")
    assert values[0] == {"serial": "3JAGJ17A8D3660", "firmware": "1.1.5"}
    assert len(values) == 49
    polls = values[1:]
    assert {v["status"] for v in polls} == {1}
    assert {v["voltage_v"] for v in polls} <= {35.93, 35.94, 35.95}
    assert all(isinstance(a := v["current_a"], float) and 0 <= a < 0.1 for v in polls)
    assert {(v["soc_pct"], v["temperature_1_c"], v["temperature_2_c"]) for v in polls} == {
        (47, 23, 23)
    }


def test_the_recorded_app_session_shows_the_battery_page() -> None:
    seen: dict[str, Value] = {}
    for values in recorded_values("m365_dash_app"):
        seen |= values
    assert seen["health_pct"] == 98
    assert seen["soc_pct"] == 46
    assert seen["voltage_v"] == 35.88
    assert seen["serial"] == "3JAGJ17A8D3660"
    assert seen["manufacture_date"] == "2017-01-08"


def test_the_recorded_emulator_is_decoded_as_it_lies() -> None:
    seen: dict[str, Value] = {}
    for values in recorded_values("m365_commercial_emulator"):
        seen |= values
    assert seen["serial"] == "  IVAN100KWT  "
    assert seen["cell_voltages_mv"] == (225,) * 15
    assert seen["voltage_v"] == 2.25


def test_a_scooter_without_a_pack_gives_no_registers() -> None:
    assert recorded_values("m365_esc_no_bms") == []


# -- the table --------------------------------------------------------------------------------

#: Every register of section 5 of the protocol notes, by first and last word.
DOCUMENTED = [
    (0x00, 0x00), *((i, i) for i in range(0x01, 0x0E)), (0x0F, 0x0F), (0x10, 0x16), (0x17, 0x17),
    (0x18, 0x18), (0x19, 0x19), (0x1A, 0x1A), (0x1B, 0x1B), (0x1C, 0x1C), (0x1D, 0x1E),
    (0x1F, 0x1F), (0x20, 0x20), (0x21, 0x21), (0x22, 0x22), (0x23, 0x23),
    *((i, i) for i in range(0x30, 0x40)), (0x40, 0x4F), (0x50, 0x50), (0x51, 0x51),
    (0x52, 0x52), (0x53, 0x53), (0x60, 0x63), (0x70, 0x75), (0x7B, 0x7B), (0x80, 0x80),
]  # fmt: skip

#: Names that others rely on.
PROMISED = (
    "serial firmware design_capacity_mah full_capacity_mah design_voltage_v cycle_count "
    "charge_count total_charged_mah manufacture_date status remaining_capacity_mah soc_pct "
    "current_a voltage_v temperature_1_c temperature_2_c balancing_cells undervoltage_cells "
    "overvoltage_cells health_pct displayed_soc_pct cell_voltages_mv"
)


def test_every_documented_register_is_a_row_and_no_other() -> None:
    assert {(row.index, row.index + row.words - 1) for row in REGISTERS} == set(DOCUMENTED)


def test_the_promised_names_are_rows() -> None:
    assert set(PROMISED.split()) <= set(by_name)


def test_names_are_unique_and_rows_do_not_overlap() -> None:
    assert len(by_name) == len(REGISTERS)
    end = 0
    for row in REGISTERS:
        assert row.offset >= end, row.name
        end = row.offset + row.codec.size


@pytest.mark.parametrize("row", [*REGISTERS, *ESC_REGISTERS], ids=lambda row: row.name)
def test_a_row_fills_its_words_or_one_byte(row: Register) -> None:
    assert row.codec.size == (2 * row.words if row.byte is None else 1)
    assert row.description
    assert row.evidence in Evidence


@pytest.mark.parametrize("row", REGISTERS, ids=lambda row: row.name)
def test_a_row_with_a_unit_ends_in_it(row: Register) -> None:
    suffix = {"mAh": "_mah", "V": "_v", "A": "_a", "%": "_pct", "degC": "_c", "mV": "_mv"}
    ending = suffix.get(row.unit)
    if ending is None:
        assert row.unit == ""
        assert not row.name.endswith(tuple(suffix.values()))
    else:
        assert row.name.endswith(ending)


@pytest.mark.parametrize("row", REGISTERS, ids=lambda row: row.name)
def test_a_row_that_is_not_sure_says_why(row: Register) -> None:
    if row.evidence in (Evidence.DISPUTED, Evidence.UNKNOWN):
        assert row.doubt


def test_set_points_without_a_stated_unit_are_raw() -> None:
    assert all(row.name.endswith("_raw") for row in REGISTERS if 1 <= row.index <= 0x0D)


def test_rows_know_the_type_of_their_values() -> None:
    values = decode_block(0, b"A" * 512)  # 0x4141 is a value of every kind, the date 2032-10-01
    assert set(values) == set(by_name)
    for name, value in values.items():
        assert type(value) is by_name[name].value_type, name


# -- decoding ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "words", "expected"),
    [
        (0x33, "83ff", {"current_a": -1.25}),
        (0x33, "0080", {"current_a": -327.68}),
        (0x1D, "0100 0200", {"total_charged_mah": 1310730}),
        (0x1D, "0000 0000", {"total_charged_mah": None}),
        (0x1F, "0305", {"overcurrent_count": 3, "overdischarge_count": 5}),
        (0x17, "0009", {"firmware": "9.0.0"}),
        (0x17, "5206", {"firmware": "6.5.2"}),
        (0x17, "3412", {"firmware": "12.3.4"}),
        (0x17, "0000", {"firmware": None}),
        (0x17, "ffff", {"firmware": None}),
        (0x1A, "420e", {"design_voltage_v": 36.5}),
        (0x1A, "0000", {"design_voltage_v": None}),
        (0x18, "ffff", {"design_capacity_mah": None}),
        (0x20, "2822", {"manufacture_date": "2017-01-08"}),
        (0x20, "0000", {"manufacture_date": None}),
        (0x20, "ffff", {"manufacture_date": None}),
        (0x20, "5e22", {"manufacture_date": None}),  # 30 February 2017
        (0x36, "0020", {"balancing_cells": (14,)}),
        (0x37, "0180", {"undervoltage_cells": (1, 16)}),
        (0x38, "0000", {"overvoltage_cells": ()}),
        (0x39, "f4ff", {"coulomb_capacity_mah": -12}),
        (0x3B, "0000", {"health_pct": None}),
        (0x35, "2f30", {"temperature_1_c": 27, "temperature_2_c": 28}),
        (0x35, "00ff", {"temperature_1_c": None, "temperature_2_c": None}),
        (0x35, "01fe", {"temperature_1_c": -19, "temperature_2_c": 234}),
        (0x53, "3200", {"temperature_5_c": 30, "temperature_6_c": None}),
        (0x60, "0102030405060708", {"crypto_code": "0102030405060708"}),
        (0x70, "00" * 12, {"mcu_id": None}),
        (0x7B, "0299", {"warning_code": 2}),
        (0x0E, "0100", {}),
        (0xFF, "0100", {}),
        (0x10, "20204956414e3130304b57542020", {"serial": "  IVAN100KWT  "}),
        (0x10, "424f544f58303031000000000000", {"serial": "BOTOX001"}),
        (0x10, "00" * 14, {"serial": None}),
        (0x10, "ff" * 14, {"serial": None}),
        (0x10, "334a004a31374138443336363031", {"serial": None}),  # NUL inside
        (0x10, "3350" * 6, {}),  # half a serial
        (0x11, "3350" * 6 + "1501", {"firmware": "1.1.5"}),
    ],
)
def test_words_are_decoded(index: int, words: str, expected: dict[str, Value]) -> None:
    assert decode_block(index, bytes.fromhex(words)) == expected


@pytest.mark.parametrize(
    ("index", "words", "cells"),
    [
        (0x40, "a00f a10f 0000 0000", (4000, 4001)),
        (0x40, "a00f 0000 a10f 0000", (4000, 0, 4001)),
        (0x40, "0000 a10f", (0, 4001)),
        (0x40, "a00f ffff a10f ffff", (4000, None, 4001)),
        (0x40, "0000 0000 ffff", None),
        (0x42, "a00f 0000", (None, None, 4000)),
        (0x4F, "a00f 0100", (None,) * 15 + (4000,)),
        (0x3F, "0a00 a00f", (4000,)),
        (0x40, "a00f" * 16, (4000,) * 16),
    ],
)
def test_cells_are_told_from_unused_slots(
    index: int, words: str, cells: tuple[int | None, ...] | None
) -> None:
    assert decode_block(index, bytes.fromhex(words))["cell_voltages_mv"] == cells


def test_cell_words_can_be_seen_as_they_stand() -> None:
    assert cell_slots(0x4E, bytes.fromhex("a00f 0000 0100")) == (14, (4000, 0))
    assert cell_slots(0x50, b"\1\0") is None


def test_the_bytes_of_temperatures_that_are_none_stay_reachable() -> None:
    block = bytes.fromhex("00ff 0000")
    assert temperatures_raw(0x35, block) == {"temperature_1_c": 0, "temperature_2_c": 255}
    assert temperatures_raw(0x51, bytes.fromhex("0700 3131 3200")) == {
        "temperature_3_c": 0x31,
        "temperature_4_c": 0x31,
        "temperature_5_c": 0x32,
        "temperature_6_c": 0x00,
    }
    assert temperatures_raw(0x40, b"\0\0") == {}
    assert not [name for name in by_name if name.startswith("temperature") and "raw" in name]


def test_the_long_read_of_a_vendor_sample_holds_all_from_status_to_the_sixth_sensor() -> None:
    values = decode_block(0x30, bytes(range(1, 73)))
    assert {row.name for row in REGISTERS if 0x30 <= row.index <= 0x53} == set(values)


@pytest.mark.parametrize("decode", [decode_block, decode_esc, cell_slots, temperatures_raw])
@pytest.mark.parametrize(
    ("index", "data"),
    [(0x30, b""), (0x30, b"\1"), (0x40, bytes(33)), (-1, b"\1\0"), (0x100, b"\1\0")],
    ids=["empty", "one byte", "half a word at the end", "before the map", "behind the map"],
)
def test_a_block_that_is_none_is_refused(
    decode: Callable[[int, bytes], object], index: int, data: bytes
) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(index, data)
    assert (caught.value.index, caught.value.data) == (index, data)


@given(
    st.integers(0, 0xFF) | st.integers(),
    st.binary(max_size=64).map(lambda half: half * 2) | st.binary(max_size=300),
)
def test_any_bytes_at_any_index_decode_or_are_refused(index: int, data: bytes) -> None:
    refused = not data or len(data) % 2 == 1 or not 0 <= index <= 0xFF
    for decode in (decode_block, decode_esc):
        try:
            values = decode(index, data)
        except DecodeError:
            assert refused
        else:
            assert not refused
            for name, value in values.items():
                row = by_name.get(name, ESC_REGISTERS[0])
                assert value is None or type(value) is row.value_type


def by_construct(index: int, data: bytes) -> dict[str, Value]:
    """Decode with construct itself: the oracle of the derived codecs."""
    start, end = 2 * index, 2 * index + len(data)
    values: dict[str, Value] = {}
    for row in REGISTERS:
        stop = row.offset + row.codec.size
        if row.codec is CELLS:
            first, last = max(start, row.offset), min(end, stop)
            if first < last:
                words = Array((last - first) // 2, Int16ul).parse(data[first - start :])
                values[row.name] = cells_from_slots((first - row.offset) // 2, list(words))
        elif start <= row.offset and stop <= end:
            values[row.name] = row.codec.schema.parse(data[row.offset - start : stop - start])
    return values


@given(
    st.integers(0, 0xFF),
    st.lists(st.sampled_from([0, 0xFF, 0x2F, 0x41]) | st.integers(0, 255), min_size=1).map(bytes),
)
def test_derived_codecs_agree_with_construct(index: int, half: bytes) -> None:
    data = half + half[::-1]
    assert decode_block(index, data) == by_construct(index, data)


@given(st.integers(0, 0xFF), st.binary(min_size=1, max_size=64))
def test_a_slice_reads_as_the_same_words_in_a_longer_block(index: int, half: bytes) -> None:
    data = half * 2
    whole = decode_block(0, spread_over_image(index, data))
    part = decode_block(index, data)
    part.pop("cell_voltages_mv", None)
    assert part.items() <= whole.items()


@pytest.mark.parametrize("row", REGISTERS, ids=lambda row: row.name)
@settings(max_examples=30)
@given(data=st.data())
def test_a_value_survives_encoding(row: Register, data: st.DataObject) -> None:
    words = data.draw(st.binary(min_size=row.codec.size, max_size=row.codec.size))
    value = row.codec.schema.parse(words)
    encoded = encode_register(row.name, value)
    assert row.codec.schema.parse(encoded) == value


@given(st.dates(date(2000, 1, 1), date(2127, 12, 31)))
def test_every_day_of_the_date_word_survives_encoding(day: date) -> None:
    encoded = encode_register("manufacture_date", day.isoformat())
    assert decode_block(0x20, encoded) == {"manufacture_date": day.isoformat()}


@given(st.integers(0, 0xFFFF))
def test_no_date_word_ever_throws(word: int) -> None:
    value = decode_block(0x20, word.to_bytes(2, "little"))["manufacture_date"]
    expected = None
    if 1 <= word >> 5 & 0xF <= 12 and word & 0x1F:
        expected = f"{2000 + (word >> 9)}-{word >> 5 & 0xF:02}-{word & 0x1F:02}"
    assert value in (expected, None)  # None also for 30 February


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("current_a", -1.25, "83ff"),
        ("temperature_1_c", 27, "2f"),
        ("temperature_1_c", None, "00"),
        ("status", None, "0000"),
        ("serial", None, "00" * 14),
        ("firmware", None, "0000"),
        ("manufacture_date", None, "0000"),
        ("mcu_id", None, "00" * 12),
        ("balancing_cells", None, "0000"),
        ("cell_voltages_mv", (4000, None), "a00f ffff" + "0000" * 14),
    ],
)
def test_values_are_encoded_for_register_images(name: str, value: Value, words: str) -> None:
    assert encode_register(name, value) == bytes.fromhex(words)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("soc_pct", 65536),
        ("soc_pct", -1),
        ("current_a", 400.0),
        ("serial", "3JAGJ17A8D36600"),
        ("serial", "3JÄGJ17A8D3660"),
        ("manufacture_date", "yesterday"),
        ("cell_voltages_mv", (4000,) * 17),
        ("soc_pct", "47"),
    ],
)
def test_a_value_that_does_not_fit_is_the_callers_mistake(name: str, value: Value) -> None:
    with pytest.raises(ValueError, match=name):
        encode_register(name, value)


def test_encoding_an_unknown_register_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        encode_register("horn", 1)


# -- which frames carry registers -------------------------------------------------------------


def ninebot(source: int, command: int, index: int, payload: bytes) -> Frame:
    return Frame(Dialect.NINEBOT, source, 0x20, command, index, payload)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (ninebot(0x22, 0x04, 0x30, b"\1\0"), Block(0x22, 0x30, b"\1\0")),
        (ninebot(0x23, 0x04, 0x30, b"\1\0"), Block(0x23, 0x30, b"\1\0")),
        (ninebot(0x22, 0x01, 0x30, b"\1\0"), Block(0x22, 0x30, b"\1\0")),
        (ninebot(0x22, 0x5A, 0x30, bytes(12)), Block(0x22, 0x30, bytes(12))),
        (ninebot(0x22, 0x55, 0x30, bytes(12)), Block(0x22, 0x30, bytes(12))),
        (
            Frame(Dialect.XIAOMI, 0x22, None, 0x55, 0x30, bytes(12)),
            Block(0x22, 0x30, bytes(12)),
        ),
        (Frame(Dialect.XIAOMI, 0x22, None, 0x01, 0x40, b"\1\0"), Block(0x22, 0x40, b"\1\0")),
        (Frame(Dialect.XIAOMI, None, 0x22, 0x01, 0x30, b"\x0c"), None),
        (ninebot(0x20, 0x04, 0x30, b"\1\0"), None),
        (ninebot(0x20, 0x55, 0x30, bytes(25)), None),
        (ninebot(0x22, 0x55, 0x30, bytes(25)), None),
        (ninebot(0x22, 0x55, 0x31, bytes(12)), None),
        (ninebot(0x22, 0x05, 0x30, b"\1\0"), None),
        (ninebot(0x22, 0x04, 0x30, b""), None),
        (ninebot(0x22, 0x04, 0x30, b"\1"), None),
    ],
)
def test_a_frame_carries_registers_only_if_a_pack_answers(
    frame: Frame, expected: Block | None
) -> None:
    assert block_of(frame) == expected


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (Frame(Dialect.XIAOMI, ESC, None, 0x01, 0x1B, b"\x15\0"), Block(ESC, 0x1B, b"\x15\0")),
        (ninebot(ESC, 0x04, 0xB0, b"\x15\0"), Block(ESC, 0xB0, b"\x15\0")),
        (Frame(Dialect.XIAOMI, ESC, None, 0x01, 0x1B, b"\x15"), None),
        (Frame(Dialect.XIAOMI, ESC, None, 0x64, 0x00, b"\x15\0"), None),
        (Frame(Dialect.XIAOMI, 0x22, None, 0x01, 0x1B, b"\x15\0"), None),
    ],
)
def test_a_frame_carries_registers_of_the_esc_only_if_it_answers(
    frame: Frame, expected: Block | None
) -> None:
    assert esc_block_of(frame) == expected


def test_the_markdown_table_has_one_line_a_row() -> None:
    lines = markdown().splitlines()
    assert len(lines) == len(REGISTERS) + 2
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("| reg | words | type | scale | unit | name |")
    assert any(line.startswith("| 0x34 | 1 | u16 | 0.01 | V | voltage_v | C |") for line in lines)
