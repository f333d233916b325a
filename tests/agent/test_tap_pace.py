"""How many snapshots the tap takes: every poll of a master, however late or early it is read."""

import random

import pytest

from ninebot_bms import Chunk, Observer
from packtap.analysis.open_events import OpenEvents
from packtap.batch import reading_of
from packtap.model import Value
from packtap.replaying import replay
from packtap.tap import Tap, TapSettings
from recorded import recording

#: Reply of a BMS with one word of register 0x31, capacity left.
_REPLY = bytes.fromhex("55aa04250131")


def _readings(chunks: list[Chunk]) -> list[dict[str, Value]]:
    tap = Tap(TapSettings(), OpenEvents("test"))
    after_ms = -1
    found = []
    for digest in replay(chunks, tap, Observer()):
        for pack, snapshot in digest.snapshots:
            reading = reading_of(pack, snapshot, after_ms)
            assert reading is not None
            after_ms = reading.boot_ms
            found.append(dict(reading.values))
    return found


def _capacity(mah: int, t: float) -> Chunk:
    body = _REPLY[2:] + mah.to_bytes(2, "little")
    check = ~sum(body) & 0xFFFF
    return Chunk(t, "bms", b"\x55\xaa" + body + check.to_bytes(2, "little"))


@pytest.mark.parametrize("late_s", [0.0, 0.02, 0.1])
def test_every_reply_of_a_recording_is_a_reading_however_late_the_port_delivers_it(
    late_s: float,
) -> None:
    rng = random.Random(1)
    chunks, last = [], 0.0
    for t, line, data in recording("m365_esc_bms"):
        last = max(last, t + rng.uniform(0, late_s))
        chunks.append(Chunk(last, line, data))
    readings = _readings(chunks)
    assert len(readings) == 49
    in_time = [Chunk(t, line, data) for t, line, data in recording("m365_esc_bms")]
    assert readings == _readings(in_time)


def test_replies_of_a_second_that_are_read_at_once_are_readings_of_their_own() -> None:
    chunks = [_capacity(mah, 0.2 * mah) for mah in range(20)]
    chunks += [_capacity(mah, 5.0) for mah in range(20, 25)]
    readings = _readings(chunks)
    assert [values["remaining_capacity_mah"] for values in readings] == list(range(25))


def test_master_that_asks_fifty_times_a_second_gets_five_snapshots_a_second() -> None:
    readings = _readings([_capacity(mah, mah / 50) for mah in range(50 * 60)])
    assert 5 * 60 <= len(readings) <= 5.5 * 60  # the rest is the first burst
    assert readings[-1] == {"remaining_capacity_mah": 50 * 60 - 1}
