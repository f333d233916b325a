"""Blocks gathered into snapshots: ages, freshness, cells, swapped packs, doubts."""

from dataclasses import FrozenInstanceError
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninebot_bms.errors import DecodeError
from ninebot_bms.framer import Framer
from ninebot_bms.frames import BMS, BMS2, Frame
from ninebot_bms.identity import SerialKind
from ninebot_bms.registers import Block, Value, block_of, by_name, encode_register
from ninebot_bms.snapshot import Snapshot, SnapshotAssembler
from recorded import recording

SERIAL = b"3JAGJ17A8D3660"
STATUS = bytes.fromhex("0100710e2f0001000a0e2b2b")  # the recorded M365: 0.01 A, 35.94 V, 23 degC
TEN = (3594, 3595, 3593, 3594, 3596, 3594, 3592, 3594, 3595, 3593)


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "little") for number in numbers)


def cells(*millivolts: int, size: int = 15) -> Block:
    """A read of the cell words, as long as apps read them."""
    return Block(BMS, 0x40, words(*millivolts).ljust(2 * size, b"\0"))


def row(name: str, value: Value) -> Block:
    """A block of one register with that value."""
    return Block(BMS, by_name[name].index, encode_register(name, value))


def status(current_a: float, voltage_v: float) -> Block:
    current = encode_register("current_a", current_a)
    return Block(BMS, 0x30, STATUS[:6] + current + encode_register("voltage_v", voltage_v))


def snapshot_of(*blocks: Block, t: float | None = 1.0) -> Snapshot:
    """Feed blocks, all read at the same time, and take what they give."""
    assembler = SnapshotAssembler()
    for block in blocks:
        assembler.receive_block(block, t)
    snapshot = assembler.take(None)
    assert snapshot is not None
    return snapshot


# -- values, ages, freshness --------------------------------------------------------------------


def test_nothing_received_gives_no_snapshot() -> None:
    assembler = SnapshotAssembler()
    assert assembler.take(None) is None
    assert assembler.take(5.0) is None


def test_a_block_gives_its_values_and_nothing_else() -> None:
    snapshot = snapshot_of(Block(BMS, 0x30, STATUS))
    assert snapshot == Snapshot(
        t=1.0,
        address=BMS,
        values={
            "status": 1,
            "remaining_capacity_mah": 3697,
            "soc_pct": 47,
            "current_a": 0.01,
            "voltage_v": 35.94,
            "temperature_1_c": 23,
            "temperature_2_c": 23,
        },
        times=dict.fromkeys(snapshot.values, 1.0),
        fresh=frozenset(snapshot.values),
        cell_count=None,
        doubts=(),
        temperatures_raw={"temperature_1_c": 43, "temperature_2_c": 43},
    )
    assert snapshot.trusted("cell_voltages_mv") is None


def test_each_value_keeps_its_own_age() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(Block(BMS, 0x10, SERIAL), 10.0)
    assembler.receive_block(Block(BMS, 0x30, STATUS), 12.5)
    snapshot = assembler.take(12.5)
    assert snapshot is not None
    assert snapshot.t == 12.5
    assert snapshot.age_s("serial", 13.0) == 3.0
    assert snapshot.age_s("current_a", 13.0) == 0.5
    assert snapshot.age_s("health_pct", 13.0) is None


def test_only_what_was_read_since_the_last_snapshot_is_fresh() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(Block(BMS, 0x10, SERIAL), 1.0)
    first = assembler.take(1.0)
    assembler.receive_block(row("health_pct", 91), 2.0)
    second = assembler.take(2.0)
    assert first is not None
    assert second is not None
    assert first.fresh == {"serial"}
    assert second.fresh == {"health_pct"}
    assert second.values == {"serial": "3JAGJ17A8D3660", "health_pct": 91}
    assert assembler.take(3.0) is None


def test_a_snapshot_does_not_change_when_more_is_read() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(status(0.0, 35.0), 1.0)
    snapshot = assembler.take(1.0)
    assembler.receive_block(status(0.0, 34.0), 2.0)
    assert snapshot is not None
    assert snapshot.values["voltage_v"] == 35.0
    assert snapshot.times["voltage_v"] == 1.0
    with pytest.raises(FrozenInstanceError):
        snapshot.t = 2.0  # type: ignore[misc]


def test_snapshots_are_no_closer_than_the_interval() -> None:
    assembler = SnapshotAssembler(min_interval_s=0.2)
    taken = []
    for tick in range(100):  # a block every 50 ms for 5 s
        now = tick * 0.05
        assembler.receive_block(Block(BMS, 0x30, STATUS), now)
        if assembler.take(now) is not None:
            taken.append(now)
    assert all(later - earlier >= 0.2 - 1e-9 for earlier, later in pairwise(taken))
    assert 20 <= len(taken) <= 25


def test_what_comes_too_soon_waits_and_is_not_lost() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(Block(BMS, 0x30, STATUS), 1.0)
    assert assembler.take(1.0) is not None
    assembler.receive_block(row("health_pct", 91), 1.1)
    assert assembler.take(1.1) is None
    forced = assembler.take(None)
    assert forced is not None
    assert forced.fresh == {"health_pct"}
    assembler.receive_block(row("health_pct", 90), 1.2)
    assert assembler.take(1.2) is None  # the forced one counts, at the time of its newest block
    assert assembler.take(1.31) is not None


def test_a_clock_that_goes_back_does_not_silence_the_pack() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(Block(BMS, 0x30, STATUS), 1e9)
    assert assembler.take(1e9) is not None
    assembler.receive_block(Block(BMS, 0x30, STATUS), 5.0)
    snapshot = assembler.take(5.0)
    assert snapshot is not None
    assert snapshot.t == 5.0


def test_input_without_times_gives_a_snapshot_for_each_block() -> None:
    assembler = SnapshotAssembler()
    for _ in range(3):
        assembler.receive_block(cells(*TEN), None)
        snapshot = assembler.take(None)
        assert snapshot is not None
        assert snapshot.t is None
        assert snapshot.times == {"cell_voltages_mv": None}
        assert snapshot.age_s("cell_voltages_mv", 5.0) is None
        assert snapshot.values["cell_voltages_mv"] == TEN


def test_a_block_of_another_pack_is_left_alone() -> None:
    assembler = SnapshotAssembler(BMS2)
    assembler.receive_block(Block(BMS, 0x30, STATUS), 1.0)
    assert assembler.take(None) is None
    assembler.receive_block(Block(BMS2, 0x30, STATUS), 1.0)
    snapshot = assembler.take(None)
    assert snapshot is not None
    assert snapshot.address == BMS2


def test_a_block_without_whole_words_is_refused_and_changes_nothing() -> None:
    assembler = SnapshotAssembler()
    with pytest.raises(DecodeError):
        assembler.receive_block(Block(BMS, 0x30, b"\1"), 1.0)
    assert assembler.take(None) is None


def test_a_block_with_no_known_row_is_nothing_new() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(Block(BMS, 0x90, bytes(8)), 1.0)
    assert assembler.take(None) is None


def test_a_broken_temperature_sensor_is_none_and_its_byte_stays_reachable() -> None:
    snapshot = snapshot_of(Block(BMS, 0x35, b"\x00\xff"))
    assert snapshot.values == {"temperature_1_c": None, "temperature_2_c": None}
    assert snapshot.temperatures_raw == {"temperature_1_c": 0, "temperature_2_c": 255}


# -- a swapped pack -----------------------------------------------------------------------------


def test_another_serial_is_another_pack_and_everything_is_forgotten() -> None:
    assembler = SnapshotAssembler()
    for block in (Block(BMS, 0x10, SERIAL), cells(*TEN), Block(BMS, 0x30, STATUS)):
        assembler.receive_block(block, 1.0)
    assert assembler.take(1.0) is not None
    assembler.receive_block(Block(BMS, 0x10, b"4KBEQ17J6V0010"), 60.0)
    snapshot = assembler.take(60.0)
    assert snapshot is not None
    assert snapshot.values == {"serial": "4KBEQ17J6V0010"}
    assert snapshot.times == {"serial": 60.0}
    assert snapshot.fresh == {"serial"}
    assert snapshot.cell_count is None
    assert snapshot.temperatures_raw == {}


def test_the_cell_count_of_a_swapped_pack_is_its_own() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(Block(BMS, 0x10, SERIAL), 1.0)
    for t in (1.0, 2.0, 3.0):
        assembler.receive_block(cells(*TEN), t)
    assembler.receive_block(Block(BMS, 0x10, b"4KBEQ17J6V0010"), 60.0)
    assembler.receive_block(cells(*TEN[:7]), 61.0)
    snapshot = assembler.take(61.0)
    assert snapshot is not None
    assert snapshot.cell_count == 7


@pytest.mark.parametrize("again", [SERIAL, b"\xff" * 14], ids=["the same", "unreadable"])
def test_a_serial_that_is_not_another_forgets_nothing(again: bytes) -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(Block(BMS, 0x10, SERIAL), 1.0)
    assembler.receive_block(cells(*TEN), 1.0)
    assembler.receive_block(Block(BMS, 0x10, again), 2.0)
    snapshot = assembler.take(2.0)
    assert snapshot is not None
    assert snapshot.values["cell_voltages_mv"] == TEN


# -- cells --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 17))
def test_packs_of_one_to_sixteen_cells_are_counted(count: int) -> None:
    millivolts = tuple(3700 + cell for cell in range(count))
    snapshot = snapshot_of(cells(*millivolts, size=16))
    assert snapshot.cell_count == count
    assert snapshot.values["cell_voltages_mv"] == millivolts


@pytest.mark.parametrize("dead", range(9))
def test_a_dead_cell_before_a_live_one_is_a_cell(dead: int) -> None:
    millivolts = tuple(0 if cell == dead else mv for cell, mv in enumerate(TEN))
    snapshot = snapshot_of(cells(*millivolts))
    assert snapshot.cell_count == 10
    assert snapshot.values["cell_voltages_mv"] == millivolts


def test_without_other_evidence_a_trailing_zero_is_an_unused_slot() -> None:
    snapshot = snapshot_of(cells(*TEN[:9]))
    assert snapshot.cell_count == 9
    assert snapshot.values["cell_voltages_mv"] == TEN[:9]


def test_a_last_cell_that_dies_is_known_from_the_count_before() -> None:
    assembler = SnapshotAssembler()
    for t in (1.0, 2.0):
        assembler.receive_block(cells(*TEN), t)
    assembler.receive_block(cells(*TEN[:9]), 3.0)
    snapshot = assembler.take(3.0)
    assert snapshot is not None
    assert snapshot.cell_count == 10
    assert snapshot.values["cell_voltages_mv"] == (*TEN[:9], 0)


def test_one_corrupted_reading_does_not_invent_cells_for_ever() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(cells(*TEN), 1.0)
    assembler.receive_block(cells(*TEN, 17, 51966, 3, 4, 5), 2.0)
    assembler.receive_block(cells(*TEN), 3.0)
    assembler.receive_block(cells(*TEN, 17, 51966, 3, 4, 5), 4.0)
    assembler.receive_block(cells(*TEN), 5.0)
    snapshot = assembler.take(5.0)
    assert snapshot is not None
    assert snapshot.cell_count == 10


@pytest.mark.parametrize(
    ("design_v", "count"),
    [
        (36.0, 10),
        (36.5, 10),
        (37.0, 10),
        (51.0, 14),
        (43.2, 12),
        (46.8, 13),
        (54.0, 15),
        (57.6, 16),
    ],
)
def test_a_dead_last_cell_is_known_from_the_design_voltage(design_v: float, count: int) -> None:
    millivolts = tuple(3700 + cell for cell in range(count - 1))
    snapshot = snapshot_of(row("design_voltage_v", design_v), cells(*millivolts, size=16))
    assert snapshot.cell_count == count
    assert snapshot.values["cell_voltages_mv"] == (*millivolts, 0)


@pytest.mark.parametrize(
    ("design_v", "live"),
    [
        (None, 10),  # word not supported
        (36.0, 12),  # more live than designed
        (36.0, 7),  # three dead at the end: rather another pack than the word says
        (38.4, 10),  # no multiple of a lithium cell of this kind
        (3.6, 10),
        (0.5, 10),
        (95.0, 10),
    ],
)
def test_a_design_voltage_that_does_not_fit_adds_no_cells(
    design_v: float | None, live: int
) -> None:
    millivolts = tuple(3700 + cell for cell in range(live))
    snapshot = snapshot_of(row("design_voltage_v", design_v), cells(*millivolts, size=16))
    assert snapshot.cell_count == live


def test_the_design_voltage_of_a_replacement_bms_adds_no_cells() -> None:
    snapshot = snapshot_of(
        row("serial", "BOTOX001"), row("design_voltage_v", 36.0), cells(*TEN[:9])
    )
    assert snapshot.cell_count == 9
    assert snapshot.trusted("design_voltage_v") is None
    assert snapshot.values["design_voltage_v"] == 36.0


def test_an_open_last_sense_wire_is_known_from_the_pack_voltage() -> None:
    snapshot = snapshot_of(status(0.02, 35.94), cells(*TEN[:9]))
    assert snapshot.cell_count == 10
    assert snapshot.values["cell_voltages_mv"] == (*TEN[:9], 0)


@pytest.mark.parametrize(
    ("current_a", "voltage_v"),
    [(8.0, 35.94), (0.0, 34.2), (0.0, 2.25), (0.0, 71.9), (0.0, 32.35)],
    ids=["under load", "half a cell", "fewer", "twice as much", "the sum"],
)
def test_a_pack_voltage_that_tells_nothing_adds_no_cells(
    current_a: float, voltage_v: float
) -> None:
    snapshot = snapshot_of(status(current_a, voltage_v), cells(*TEN[:9]))
    assert snapshot.cell_count == 9


def test_a_pack_voltage_that_goes_wrong_later_adds_no_cells() -> None:
    assembler = SnapshotAssembler()
    for t, voltage_v in ((1.0, 35.94), (2.0, 39.53), (3.0, 39.53)):
        assembler.receive_block(status(0.0, voltage_v), t)
        assembler.receive_block(cells(*TEN), t)
        snapshot = assembler.take(t)
        assert snapshot is not None
        assert snapshot.cell_count == 10
        assert bool(snapshot.doubts) == (t > 1.0)


def test_a_pack_voltage_of_another_time_adds_no_cells() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(status(0.0, 35.94), 1.0)
    assembler.receive_block(cells(*TEN[:9]), 30.0)
    snapshot = assembler.take(30.0)
    assert snapshot is not None
    assert snapshot.cell_count == 9


def test_cells_too_low_for_a_comparison_are_not_counted_by_pack_voltage() -> None:
    snapshot = snapshot_of(status(0.0, 10.0), cells(*([1000] * 8), 999))
    assert snapshot.cell_count == 9


@pytest.mark.parametrize("name", ["balancing_cells", "undervoltage_cells", "overvoltage_cells"])
def test_a_dead_last_cell_is_known_from_the_maps_of_the_bms(name: str) -> None:
    snapshot = snapshot_of(row(name, (3, 10)), cells(*TEN[:9]))
    assert snapshot.cell_count == 10
    assert snapshot.values["cell_voltages_mv"] == (*TEN[:9], 0)


def test_a_filled_map_invents_no_cells() -> None:
    snapshot = snapshot_of(row("undervoltage_cells", tuple(range(1, 17))), cells(*TEN))
    assert snapshot.cell_count == 10


@pytest.mark.parametrize(("size", "count"), [(10, 10), (9, 9), (11, 9), (15, 9), (16, 9)])
def test_a_read_of_just_one_word_more_than_live_cells_knows_the_pack(size: int, count: int) -> None:
    snapshot = snapshot_of(cells(*TEN[:9], size=size))
    assert snapshot.cell_count == count


def test_a_cell_that_was_not_read_is_none_not_zero() -> None:
    assembler = SnapshotAssembler()
    for t in (1.0, 2.0):
        assembler.receive_block(cells(*TEN), t)
    assembler.receive_block(cells(*TEN[:8], size=8), 9.0)
    snapshot = assembler.take(9.0)
    assert snapshot is not None
    assert snapshot.values["cell_voltages_mv"] == (*TEN[:8], None, None)


def test_a_filler_between_cells_is_none() -> None:
    snapshot = snapshot_of(cells(3700, 0xFFFF, 3701, 0xFFFF))
    assert snapshot.values["cell_voltages_mv"] == (3700, None, 3701)
    assert snapshot.cell_count == 3


def test_two_reads_close_together_make_one_picture_as_old_as_the_older() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(Block(BMS, 0x40, words(*TEN[:5])), 1.0)
    assembler.receive_block(Block(BMS, 0x45, words(*TEN[5:], 0, 0)), 1.5)
    snapshot = assembler.take(1.5)
    assert snapshot is not None
    assert snapshot.values["cell_voltages_mv"] == TEN
    assert snapshot.times["cell_voltages_mv"] == 1.0


def test_reads_far_apart_make_no_picture() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(Block(BMS, 0x40, words(*TEN[:5])), 1.0)
    assembler.receive_block(Block(BMS, 0x45, words(*TEN[5:])), 9.0)
    snapshot = assembler.take(9.0)
    assert snapshot is not None
    assert snapshot.values["cell_voltages_mv"] == (None,) * 5 + TEN[5:]
    assert snapshot.times["cell_voltages_mv"] == 9.0


@pytest.mark.parametrize(
    "rest", [(0, 0, 0, 0, 0), TEN[5:]], ids=["behind the last", "the other half"]
)
def test_a_part_of_the_cells_does_not_take_the_whole_picture_away(rest: tuple[int, ...]) -> None:
    assembler = SnapshotAssembler()
    for t in (1.0, 2.0):
        assembler.receive_block(cells(*TEN), t)
        assert assembler.take(t) is not None
    assembler.receive_block(Block(BMS, 0x4A if not any(rest) else 0x45, words(*rest)), 9.0)
    assert assembler.take(9.0) is None  # nothing that could be shown is new
    assembler.receive_block(row("health_pct", 91), 9.1)
    snapshot = assembler.take(9.1)
    assert snapshot is not None
    assert snapshot.values["cell_voltages_mv"] == TEN
    assert snapshot.times["cell_voltages_mv"] == 2.0
    assert snapshot.fresh == {"health_pct"}
    assert snapshot.cell_count == 10


def test_cells_that_are_all_zero_were_not_measured() -> None:
    assembler = SnapshotAssembler()
    assembler.receive_block(cells(0, 0, 0), 1.0)
    never = assembler.take(1.0)
    for t in (2.0, 3.0):
        assembler.receive_block(cells(*TEN), t)
    assembler.receive_block(cells(0, 0, 0), 4.0)
    lost = assembler.take(4.0)
    assert never is not None
    assert lost is not None
    assert (never.values["cell_voltages_mv"], never.cell_count) == (None, None)
    assert (lost.values["cell_voltages_mv"], lost.cell_count) == (None, 10)


# -- doubts -------------------------------------------------------------------------------------


def replay(name: str) -> Snapshot:
    framers: dict[str, Framer] = {}
    assembler = SnapshotAssembler()
    for t, line, data in recording(name):
        for item in framers.setdefault(line, Framer()).receive_data(data):
            block = block_of(item) if isinstance(item, Frame) else None
            if block is not None:
                assembler.receive_block(block, t)
    snapshot = assembler.take(None)
    assert snapshot is not None
    return snapshot


def test_the_recorded_emulator_is_flagged_and_nothing_it_measures_is_believed() -> None:
    snapshot = replay("m365_commercial_emulator")
    assert snapshot.values["cell_voltages_mv"] == (225,) * 15
    assert {"emulator-constants", "serial-placeholder"} <= {d.name for d in snapshot.doubts}
    for name in ("serial", "cell_voltages_mv", "voltage_v", "soc_pct", "status", "current_a"):
        assert snapshot.trusted(name) is None
    assert snapshot.cell_count is None
    assert snapshot.identity.kind is SerialKind.PLACEHOLDER


def test_the_recorded_m365_is_believed() -> None:
    snapshot = replay("m365_esc_bms")
    assert snapshot.doubts == ()
    assert {name: snapshot.trusted(name) for name in snapshot.values} == snapshot.values
    assert snapshot.identity.serial == "3JAGJ17A8D3660"
    assert snapshot.identity.kind is SerialKind.VENDOR


def test_the_recorded_app_session_doubts_only_the_constant_health() -> None:
    snapshot = replay("m365_dash_app")
    assert [doubt.name for doubt in snapshot.doubts] == ["health-constant"]
    assert snapshot.trusted("health_pct") is None
    assert snapshot.trusted("voltage_v") == 35.88


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0x10, 0x1A, 0x30, 0x36, 0x40, 0x45]) | st.integers(0, 255),
            st.lists(st.sampled_from([0, 0xFF, 0x0E, 0x0F]) | st.integers(0, 255), min_size=1),
            st.none() | st.floats(0, 100),
        ),
        max_size=12,
    )
)
def test_any_words_give_snapshots_that_hold_together(
    blocks: list[tuple[int, list[int], float | None]],
) -> None:
    assembler = SnapshotAssembler()
    for index, data, t in blocks:
        assembler.receive_block(Block(BMS, index, bytes(data) * 2), t)
        snapshot = assembler.take(t)
        if snapshot is None:
            continue
        assert snapshot.fresh <= snapshot.values.keys() == snapshot.times.keys()
        millivolts = snapshot.values.get("cell_voltages_mv")
        if isinstance(millivolts, tuple):
            assert 1 <= len(millivolts) <= 16
            assert snapshot.cell_count in (None, len(millivolts))
        assert snapshot.identity.serial == snapshot.values.get("serial")
