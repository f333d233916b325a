"""Frames with their times: whatever the slicing, each frame keeps the time of its own bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninebot_bms import Dialect, Frame, read_request
from ninebot_bms.frame_times import FrameTimes
from ninebot_bms.pairing import BYTE_S

ASK = read_request(Dialect.XIAOMI, 0x30, 12)
OTHER = read_request(Dialect.NINEBOT, 0x40, 20)


def test_a_read_of_two_frames_gives_both_their_times() -> None:
    one, other = FrameTimes().receive_data(ASK + OTHER, 2.0)
    assert other.end == pytest.approx(2.0)
    assert other.start == one.end == pytest.approx(2.0 - len(OTHER) * BYTE_S)
    assert one.start == pytest.approx(2.0 - len(ASK + OTHER) * BYTE_S)


def test_a_frame_behind_a_false_header_keeps_its_own_time() -> None:
    times = FrameTimes()
    assert times.receive_data(b"\x55\xaa\x40" + ASK, 1.0) == []
    found = times.idle()
    assert [type(each.item) for each in found] == [type(found[0].item), Frame]
    assert found[1].end == pytest.approx(1.0)
    late = FrameTimes()
    late.receive_data(b"\x55\xaa\x14" + ASK, 1.0)
    found = late.receive_data(ASK * 2, 3.0)
    frames = [each for each in found if isinstance(each.item, Frame)]
    assert [round(each.end, 3) for each in frames] == [1.0, 2.999, 3.0]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.binary(max_size=40))
def test_every_frame_ends_within_the_read_that_completed_it(cuts: list[int], noise: bytes) -> None:
    data = noise + ASK + OTHER + noise + ASK
    times = FrameTimes()
    now = 10.0
    last_end = 0.0
    for cut in [*cuts, len(data)]:
        piece, data = data[:cut], data[cut:]
        now += 0.01
        for each in times.receive_data(piece, now):
            assert last_end - 1e-9 <= each.end <= now
            assert each.start <= each.end
            last_end = each.end
    assert times.receive_data(b"", now + 1.0) == []
