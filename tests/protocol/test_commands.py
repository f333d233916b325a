"""Guarantee 2: nothing but a read of a pack can be built or passed."""

import ast
import inspect
import subprocess
import sys
import types
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ninebot_bms
from frame_strategies import byte, frames
from ninebot_bms._encoding import encode
from ninebot_bms.commands import MAX_READ, READ, is_read_request, read_request
from ninebot_bms.frames import BMS, BMS2, Dialect, Frame, parse_frame
from recorded import frame_vectors

XIAOMI, NINEBOT = Dialect.XIAOMI, Dialect.NINEBOT
POLL = bytes.fromhex("55aa032201300c9dff")
sizes = st.integers(1, MAX_READ // 2).map(lambda words: 2 * words)


def test_the_poll_of_a_real_m365_is_built_byte_for_byte() -> None:
    assert read_request(XIAOMI, 0x30, 12) == POLL
    assert read_request(XIAOMI, 0x10, 16) == bytes.fromhex("55aa0322011010b9ff")


def test_the_poll_of_a_real_es2_is_built_byte_for_byte() -> None:
    assert read_request(NINEBOT, 0x30, 12, source=0x20) == bytes.fromhex("5aa501202201300c7fff")
    assert read_request(NINEBOT, 0x30, 32) == bytes.fromhex("5aa5013d220130204eff")


@given(st.sampled_from(Dialect), byte, sizes)
def test_every_request_is_one_whole_read_of_a_pack(dialect: Dialect, index: int, size: int) -> None:
    data = read_request(dialect, index, size)
    frame = parse_frame(data)

    assert is_read_request(data)
    assert (frame.command, frame.index, frame.requested_size) == (READ, index, size)
    assert frame.target == BMS
    assert frame.source == (0x3D if dialect is NINEBOT else None)


def test_an_external_pack_is_asked_in_ninebot_only() -> None:
    assert parse_frame(read_request(NINEBOT, 0x30, 12, target=BMS2)).target == BMS2
    with pytest.raises(ValueError, match="0x23 is no pack"):
        read_request(XIAOMI, 0x30, 12, target=BMS2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "cannot read 0 bytes"),
        ({"size": -2}, "cannot read -2 bytes"),
        ({"size": 13}, "cannot read 13 bytes"),
        ({"size": 66}, "cannot read 66 bytes"),
        ({"index": -1}, "register -1"),
        ({"index": 256}, "register 256"),
        ({"target": 0x20}, "0x20 is no pack"),
        ({"target": 0x11}, "0x11 is no pack"),
        ({"source": 0x22}, "source 34"),
        ({"source": 256}, "source 256"),
        ({"dialect": "morse"}, "morse"),
    ],
    ids=str,
)
def test_a_request_outside_the_bounds_is_the_callers_mistake(
    change: dict[str, typing.Any], message: str
) -> None:
    arguments: dict[str, typing.Any] = {"dialect": NINEBOT, "index": 0x30, "size": 12}
    with pytest.raises(ValueError, match=message):
        read_request(**(arguments | change))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(POLL[:-1], id="cut short"),
        pytest.param(POLL + b"\0", id="a byte behind it"),
        pytest.param(POLL + POLL, id="two requests"),
        pytest.param(POLL + bytes.fromhex("55aa0322033001aaff"), id="a write behind it"),
        pytest.param(POLL[:-1] + b"\xfe", id="wrong sum"),
        pytest.param(encode(Frame(XIAOMI, None, 0x20, 1, 0x30, b"\x0c")), id="read of the ESC"),
        pytest.param(encode(Frame(XIAOMI, None, BMS, 3, 0x30, b"\x0c")), id="write"),
        pytest.param(encode(Frame(XIAOMI, None, BMS, 1, 0x30, b"\x0c\x00")), id="two-byte payload"),
        pytest.param(encode(Frame(XIAOMI, BMS, None, 1, 0x30, b"\x0c")), id="reply"),
        pytest.param(encode(Frame(XIAOMI, None, BMS, 1, 0x30, b"\x42")), id="read of 66 bytes"),
        pytest.param(encode(Frame(XIAOMI, None, BMS, 1, 0x30, b"\x00")), id="read of nothing"),
        pytest.param(encode(Frame(XIAOMI, None, BMS, 1, 0x30, b"\x0d")), id="read of half words"),
        pytest.param(encode(Frame(NINEBOT, 0x3D, 0x12, 1, 0x30, b"\x0c")), id="pack of a Z10"),
        pytest.param(encode(Frame(NINEBOT, 0x22, 0x22, 1, 0x30, b"\x0c")), id="in a pack's name"),
        pytest.param(encode(Frame(NINEBOT, 0x20, BMS, 0x5A, 0, b"")), id="ES2 heartbeat"),
    ],
)
def test_anything_but_one_read_of_a_pack_is_refused(data: bytes) -> None:
    assert not is_read_request(data)


def test_of_all_commands_to_a_pack_only_the_read_passes() -> None:
    passed = {
        (dialect, command)
        for dialect, source, target in ((XIAOMI, None, BMS), (NINEBOT, 0x3D, BMS))
        for command in range(256)
        if is_read_request(encode(Frame(dialect, source, target, command, 0x30, b"\x0c")))
    }

    assert passed == {(XIAOMI, 1), (NINEBOT, 1)}


near_requests = st.one_of(
    st.builds(
        Frame,
        st.just(NINEBOT),
        byte,
        st.sampled_from((BMS, BMS2, 0x11)),
        st.sampled_from((READ, 0x02)),
        byte,
        st.binary(min_size=1, max_size=1),
    ),
    frames,
)


@given(near_requests)
def test_what_passes_is_exactly_what_can_be_built(frame: Frame) -> None:
    raw = encode(frame)
    try:
        built: bytes | None = read_request(
            frame.dialect,
            frame.index,
            frame.payload[0] if frame.payload else 0,
            target=0 if frame.target is None else frame.target,
            source=0x3D if frame.source is None else frame.source,
        )
    except ValueError:
        built = None

    assert is_read_request(raw) == (built == raw)


@given(st.binary(max_size=40))
def test_random_bytes_are_no_request(data: bytes) -> None:
    assert not is_read_request(data)


def test_genuine_requests_to_a_pack_pass_and_no_other_genuine_frame_does() -> None:
    passed = [vector for vector in frame_vectors() if is_read_request(vector.raw)]
    asked = [
        vector
        for vector in frame_vectors()
        if vector.derived.get("kind") == "read_request"
        and vector.derived.get("addr", vector.derived.get("dst")) in ("0x22", "0x23")
    ]

    assert passed == asked
    assert len(passed) == 26


def _returns_bytes(value: object) -> bool:
    if not inspect.isfunction(value):
        return False
    hint = typing.get_type_hints(value).get("return")
    return hint is bytes or (isinstance(hint, types.UnionType) and bytes in hint.__args__)


def test_the_only_public_function_that_builds_bytes_builds_a_read() -> None:
    builders = {name for name in ninebot_bms.__all__ if _returns_bytes(getattr(ninebot_bms, name))}

    assert builders == {"read_request"}


def test_the_package_does_not_expose_a_general_encoder() -> None:
    assert not [name for name in ninebot_bms.__all__ if "encod" in name.lower()]
    assert not hasattr(ninebot_bms, "encode")


def test_importing_the_library_does_not_load_the_general_encoder() -> None:
    program = "import sys, ninebot_bms; print('ninebot_bms._encoding' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "False"


def test_only_emulators_import_the_general_encoder() -> None:
    importers = set()
    for path in Path(ninebot_bms.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            if any(name.split(".")[-1] == "_encoding" for name in names):
                importers.add(path.stem)

    assert {name for name in importers if not name.startswith("emulat")} == set()
