"""Guarantee 2 across the project: packtap cannot write to a battery.

The sources are read as syntax, so that a lazy import inside a function counts as well.
"""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ninebot_bms
import packtap
from ninebot_bms import BMS, BMS2, Dialect, Frame, read_request
from ninebot_bms._encoding import encode
from packtap.emulated_bus import PtyLine
from packtap.errors import LinkError
from packtap.link import SerialLine
from serial_ends import wait_until

ROOTS = {
    "ninebot_bms": Path(ninebot_bms.__file__).parent,
    "packtap": Path(packtap.__file__).parent,
}
#: What can build a frame that is no read request.
ENCODERS = ("ninebot_bms._encoding", "ninebot_bms.emulator", "ninebot_bms.emulated_esc")
#: Who may: the emulation, which writes to pseudo-terminals of its own only.
EMULATION = {
    "ninebot_bms.emulator",
    "ninebot_bms.emulator.pack",
    "ninebot_bms.emulator.dashboard",
    "ninebot_bms.emulated_esc",
    "packtap.simulated.wires",
    "packtap.simulated.shared",
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield every module of the project, by its dotted name."""
    for package, root in ROOTS.items():
        for path in sorted(root.rglob("*.py")):
            parts = (package, *path.relative_to(root).with_suffix("").parts)
            name = ".".join(parts).removesuffix(".__init__")
            yield name, ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


SOURCES = dict(sources())


def imported(module: str, tree: ast.Module) -> set[str]:
    """Return the modules and names that a module imports anywhere, relative ones resolved."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = module.split(".")[: -node.level]
                base = ".".join([*parent, base]).rstrip(".")
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def calls(tree: ast.Module, attribute: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == attribute
    ]


def test_every_module_of_the_project_is_looked_at() -> None:
    assert {"packtap.agent", "packtap.link.line", "packtap.cli.demo", "ninebot_bms.session"} <= set(
        SOURCES
    )


@pytest.mark.parametrize("encoder", ENCODERS)
def test_only_the_emulation_can_build_anything_but_a_read(encoder: str) -> None:
    importers = {
        name
        for name, tree in SOURCES.items()
        if any(each == encoder or each.startswith(f"{encoder}.") for each in imported(name, tree))
    }
    assert importers <= EMULATION, importers - EMULATION


def test_only_commands_that_make_pseudo_terminals_reach_the_emulation() -> None:
    importers = {
        name for name, tree in SOURCES.items() if "packtap.emulated_bus" in imported(name, tree)
    }
    assert importers == {"packtap.cli.simulate"}


def test_nothing_imports_modules_by_computed_name_but_the_command_line() -> None:
    computed = {
        name
        for name, tree in SOURCES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "import_module")
        or (isinstance(node, ast.Name) and node.id in ("__import__", "exec", "eval"))
    }
    assert computed <= {"packtap.cli"}


def test_pyserial_enters_by_one_door() -> None:
    importers = {
        name
        for name, tree in SOURCES.items()
        if any(each == "serial" or each.startswith("serial.") for each in imported(name, tree))
    }
    assert importers == {"packtap.link.line"}


def test_a_port_is_written_in_exactly_one_place_behind_the_check() -> None:
    tree = SOURCES["packtap.link.line"]
    [write] = calls(tree, "write")
    [send] = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.lineno <= write.lineno <= (node.end_lineno or 0)
    ]
    assert send.name == "send"
    checks = [
        node
        for node in ast.walk(send)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "is_read_request"
    ]
    assert len(checks) == 1
    assert checks[0].lineno < write.lineno
    # What was checked is what is written: one name, bound once.
    [checked], [written] = checks[0].args, write.args
    assert isinstance(checked, ast.Name)
    assert isinstance(written, ast.Name)
    assert checked.id == written.id
    bound = [
        node
        for node in ast.walk(send)
        if isinstance(node, ast.Name) and node.id == written.id and isinstance(node.ctx, ast.Store)
    ]
    assert len(bound) == 1


def test_no_other_way_to_send_through_a_port_is_used() -> None:
    tree = SOURCES["packtap.link.line"]
    for attribute in ("writelines", "send_break", "sendall", "fileno"):
        assert calls(tree, attribute) == [], attribute
    port_opened_elsewhere = [
        name
        for name, tree in SOURCES.items()
        if name not in ("packtap.link.line",) and calls(tree, "serial_for_url")
    ]
    assert port_opened_elsewhere == []


def test_the_library_offers_no_way_to_build_a_write() -> None:
    public = {name: getattr(ninebot_bms, name) for name in ninebot_bms.__all__}
    builders = {
        name
        for name, each in public.items()
        if callable(each) and not isinstance(each, type)
        and getattr(each, "__annotations__", {}).get("return") in (bytes, "bytes")
    }  # fmt: skip
    assert builders == {"read_request"}
    assert "encode" not in public


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("command", [0x00, 0x02, 0x03, 0x04, 0x05, 0x18, 0x5A, 0xF0])
def test_no_command_but_a_read_can_be_asked_for(dialect: Dialect, command: int) -> None:
    built = {
        read_request(dialect, index, size)[5 if dialect is Dialect.NINEBOT else 4]
        for index in range(0, 256, 5)
        for size in range(2, 66, 2)
    }
    assert built == {0x01}
    assert command not in built


FORBIDDEN = {
    "a write of one word": Frame(Dialect.XIAOMI, None, BMS, 0x03, 0x30, b"\x01\x00"),
    "a write without reply": Frame(Dialect.XIAOMI, None, BMS, 0x02, 0x30, b"\x01\x00"),
    "a Ninebot write": Frame(Dialect.NINEBOT, 0x3D, BMS, 0x02, 0x30, b"\x01\x00"),
    "a read of the ESC": Frame(Dialect.XIAOMI, None, 0x20, 0x01, 0x30, b"\x02"),
    "a heartbeat": Frame(Dialect.NINEBOT, 0x3D, BMS, 0x5A, 0x00, b""),
    "a reply": Frame(Dialect.XIAOMI, BMS, None, 0x01, 0x30, b"\x01\x00"),
}


@pytest.fixture
def wire() -> Iterator[tuple[SerialLine, PtyLine]]:
    pty = PtyLine("bms")
    line = SerialLine("bms", pty.path, transmit=True)
    line.open()
    try:
        yield line, pty
    finally:
        line.close()
        pty.unplug()


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_link_refuses_and_nothing_reaches_the_wire(
    what: str, wire: tuple[SerialLine, PtyLine]
) -> None:
    line, pty = wire
    with pytest.raises(LinkError, match="read requests"):
        line.send(encode(FORBIDDEN[what]))
    # A read that follows arrives, and alone: what was refused was not merely delayed.
    request = read_request(Dialect.XIAOMI, 0x30, 12)
    line.send(request)
    assert read_all(pty, len(request)) == request


def test_a_read_with_anything_before_or_behind_it_is_refused(
    wire: tuple[SerialLine, PtyLine],
) -> None:
    line, pty = wire
    request = read_request(Dialect.NINEBOT, 0x30, 12, target=BMS2)
    write = encode(FORBIDDEN["a Ninebot write"])
    for data in (request + write, write + request, request + b"\x00", request[:-1], b""):
        with pytest.raises(LinkError):
            line.send(data)
    line.send(request)
    assert read_all(pty, len(request)) == request


@given(st.binary(max_size=24))
def test_arbitrary_bytes_never_pass(data: bytes) -> None:
    line = SerialLine("bms", os.devnull, transmit=True)
    with pytest.raises(LinkError):
        line.send(data)


def read_all(pty: PtyLine, size: int) -> bytes:
    """Return what has come once it is at least so much."""
    came = bytearray()

    def enough() -> bool:
        came.extend(pty.read())
        return len(came) >= size

    wait_until(enough)
    return bytes(came) + pty.read()
