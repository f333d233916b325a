"""What hypothesis draws for the wire: frames, hostile garbage, cuts."""

from itertools import pairwise

from hypothesis import strategies as st

from ninebot_bms.frames import MAX_PAYLOAD, Dialect, Frame

byte = st.integers(0, 255)
payloads = st.binary(max_size=MAX_PAYLOAD)
xiaomi_replies = st.builds(
    Frame, st.just(Dialect.XIAOMI), st.integers(0x20, 0x22), st.none(), byte, byte, payloads
)
xiaomi_requests = st.builds(
    Frame,
    st.just(Dialect.XIAOMI),
    st.none(),
    byte.filter(lambda address: address not in range(0x23, 0x26)),
    byte,
    byte,
    payloads,
)
ninebot_frames = st.builds(Frame, st.just(Dialect.NINEBOT), byte, byte, byte, byte, payloads)
frames = st.one_of(xiaomi_replies, xiaomi_requests, ninebot_frames)

# Bytes of headers, small and large lengths: nested and unfinished false headers are the rule.
_hostile_bytes = st.sampled_from(bytes.fromhex("55aa5aa5 00 02 03 06 7f80 8182 ff"))
hostile_garbage = st.lists(_hostile_bytes, max_size=200).map(bytes)
garbage = st.one_of(hostile_garbage, st.binary(max_size=200))

#: Positions to cut at; any number of them, in any order, modulo the length.
cuts = st.lists(st.integers(0, 2000), max_size=12)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cut bytes at those positions."""
    edges = sorted({0, len(data), *(position % (len(data) + 1) for position in at)})
    return [data[start:stop] for start, stop in pairwise(edges)]
