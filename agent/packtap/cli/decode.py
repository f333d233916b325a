"""`packtap decode`: bytes to frames and register values.

`--json` gives one object a frame or reject, in order; its keys are a contract: kind, t, line, then
dialect, hex, source, target, command, index, payload, values (and flags, the names of the status
bits, beside a status) or reason, hex (and size, if more than the first 256 bytes were refused).
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from ninebot_bms.capture import CaptureReader
from ninebot_bms.frames import Dialect, Frame
from ninebot_bms.observer import BusEvent, Observer, Rejected, Seen
from ninebot_bms.registers import (
    Value,
    block_of,
    by_name,
    decode_block,
    decode_esc,
    esc_block_of,
)
from ninebot_bms.status import status_flags
from packtap.cli import EXIT_FINE, EXIT_SILENT
from packtap.inputs import STANDARD_INPUT, open_capture

__all__ = ["add_arguments", "run"]

_FORMS: Final = "hex text, raw bytes, capture text, JSON lines or Saleae serial CSV; .gz too"
#: Bytes of a payload or reject that a line for people shows.
_SHOWN: Final = 32

#: Source: protocol.md section 3.
_NODES: Final = {
    0x11: "BMS 1 (Z10)",
    0x12: "BMS 2 (Z10)",
    0x20: "ESC",
    0x21: "dashboard",
    0x22: "BMS",
    0x23: "BMS 2",
    0x3D: "PC/IoT box",
    0x3E: "phone",
    0x3F: "CAN adapter",
}
#: What the commands besides reads and heartbeats are called. Source: protocol.md section 4.
_COMMANDS: Final = {
    0x02: "write",
    0x03: "write without reply",
    0x06: "clear error",
    0x07: "firmware update: begin",
    0x08: "firmware update: page",
    0x09: "firmware update: checksum",
    0x0A: "reboot",
    0x0B: "firmware acknowledgement or power off",
    0x12: "save to flash",
    0x13: "test",
    0x18: "program serial number",
    0x50: "set Bluetooth name",
    0x53: "BMS power on",
    0x54: "BMS power off",
    0x55: "heartbeat",
    0x56: "test mode",
    0x57: "activate",
    0x58: "deactivate or factory reset",
    0x59: "activate all",
    0x61: "dashboard read with inputs",
    0x64: "dashboard inputs or outputs",
    0x65: "throttle and brake",
}
_COMMANDS_OF: Final = {
    Dialect.XIAOMI: {0x05: "extended read reply", 0x5A: "user reset"},
    Dialect.NINEBOT: {0x05: "write reply", 0x5A: "activate battery"},
}
#: How a unit ends a row's name, where that is not the unit itself in lower case.
_SUFFIXES: Final = {"%": "pct", "degC": "c"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("capture", metavar="FILE", help=f"{_FORMS}; - is standard input")
    parser.add_argument("--json", action="store_true", help="one object a frame or reject")


def run(arguments: argparse.Namespace) -> int:
    """Print what the bytes mean; exit 3 if not one frame is among them."""
    is_live = arguments.capture == STANDARD_INPUT
    if is_live and sys.stdin is not None and sys.stdin.isatty():
        print("packtap: type or paste bytes as hex, Ctrl-D ends", file=sys.stderr)
    show = _json_line if arguments.json else _text_line
    found: Counter[str] = Counter()
    observer = Observer()

    def put(events: Iterable[BusEvent]) -> None:
        for event in events:
            if isinstance(event, Seen | Rejected):
                found[_kind(event)] += 1
                print(show(event))

    # On a terminal the lines themselves show that it goes on.
    progress = None if sys.stdout.isatty() else sys.stderr
    with open_capture(arguments.capture, progress=progress) as capture:
        for chunk in capture:
            put(observer.idle(chunk.t))
            put(observer.receive_data(chunk.data, chunk.line, chunk.t))
            if is_live:
                sys.stdout.flush()
        put(observer.close())
        sys.stdout.flush()
    frames = sum(found[dialect] for dialect in Dialect)
    print(_summary(capture, found, frames), file=sys.stderr)
    return EXIT_FINE if frames else EXIT_SILENT


def _kind(event: Seen | Rejected) -> str:
    return event.frame.dialect if isinstance(event, Seen) else event.reject.reason


def _summary(capture: CaptureReader, found: Mapping[str, int], frames: int) -> str:
    if capture.format is None:
        return "packtap: the input is empty: nothing to decode"
    dialects = ", ".join(f"{found[name]} {name}" for name in Dialect if found.get(name))
    rejects = {name: count for name, count in sorted(found.items()) if name not in set(Dialect)}
    reasons = ", ".join(f"{count} {name}" for name, count in rejects.items())
    parts = [
        f"{frames} {'frame' if frames == 1 else 'frames'}" + (f" ({dialects})" if dialects else ""),
        f"{sum(rejects.values())} rejected" + (f" ({reasons})" if reasons else ""),
        f"{capture.bytes_read} bytes read as {capture.format}",
    ]
    if capture.bad_lines:
        parts.append(f"{capture.bad_lines} lines not understood")
    text = "; ".join(parts)
    if frames:
        return text
    return f"packtap: no frame found: {text}; known forms: {_FORMS}"


def _values(frame: Frame) -> dict[str, Value]:
    if (block := block_of(frame)) is not None:
        return decode_block(block.index, block.data)
    if (block := esc_block_of(frame)) is not None:
        return decode_esc(block.index, block.data)
    return {}


def _json_line(event: Seen | Rejected) -> str:
    row: dict[str, object] = {"kind": "frame", "t": event.t, "line": event.line}
    if isinstance(event, Rejected):
        reject = event.reject
        row |= {"kind": "reject", "reason": reject.reason, "hex": reject.raw.hex()}
        if reject.size > len(reject.raw):
            row["size"] = reject.size
        return json.dumps(row)
    frame = event.frame
    values = _values(frame)
    row |= {
        "dialect": frame.dialect,
        "hex": frame.raw.hex(),
        "source": frame.source,
        "target": frame.target,
        "command": frame.command,
        "index": frame.index,
        "payload": frame.payload.hex(),
        "values": values,
    }
    if isinstance(status := values.get("status"), int):
        row["flags"] = status_flags(status)
    return json.dumps(row)


def _text_line(event: Seen | Rejected) -> str:
    start = f"{_time_words(event.t):>15}  {event.line or '-':<5} "
    if isinstance(event, Rejected):
        reject = event.reject
        size = f"{reject.size} {'byte' if reject.size == 1 else 'bytes'}"
        return f"{start} {'rejected':<23} {reject.reason}, {size}: {_hex_words(reject.raw)}"
    frame = event.frame
    way = f"{_node(frame.source)} -> {_node(frame.target)}"
    what, is_block = _command_words(frame)
    text = f"{start} {way:<23} {what}"
    values = _values(frame)
    if values:
        return f"{text}: " + ", ".join(_value_words(name, value) for name, value in values.items())
    if frame.payload and is_block:
        return f"{text}: {_hex_words(frame.payload)}"
    return text


def _time_words(t: float | None) -> str:
    if t is None:
        return "-"
    try:
        # Seconds of this size are Unix time; smaller ones count from the recording's start.
        if t >= 1e9:
            return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    except (ValueError, OverflowError, OSError):
        pass  # beyond the calendar: the bare number
    return f"{t:.6f}"


def _node(address: int | None) -> str:
    # A Xiaomi frame names one end only: who asks, and who is answered, is not on the wire.
    return "?" if address is None else _NODES.get(address, f"0x{address:02x}")


def _command_words(frame: Frame) -> tuple[str, bool]:
    """Name the command; and tell whether its payload is worth showing beside it."""
    register = f"0x{frame.index:02x}"
    if frame.is_read_request:
        return f"read {register}, {frame.requested_size} bytes", False
    if frame.is_read_reply:
        return f"read reply {register}", True
    if frame.is_heartbeat_request:
        return "heartbeat request", False
    if frame.is_heartbeat_reply:
        return f"heartbeat reply {register}", True
    name = _COMMANDS_OF[frame.dialect].get(frame.command) or _COMMANDS.get(frame.command)
    return f"{name or 'unknown'} (command 0x{frame.command:02x}, {register})", True


def _hex_words(data: bytes) -> str:
    return data[:_SHOWN].hex(" ") + (" ..." if len(data) > _SHOWN else "")


def _value_words(name: str, value: Value) -> str:
    row = by_name.get(name)
    unit = row.unit if row is not None else ""
    label = name.removesuffix("_" + _SUFFIXES.get(unit, unit.lower())).replace("_", " ")
    if value is None:
        return f"{label} unknown"
    if name == "status" and isinstance(value, int):
        return f"status 0x{value:04x} ({', '.join(status_flags(value)) or 'no flags'})"
    if isinstance(value, tuple):
        return f"{label} {_cells_words(value)}{unit and ' ' + unit}"
    if isinstance(value, str):
        # Blanks at the ends would vanish.
        return f"{label} {value}" if value == value.strip() else f'{label} "{value}"'
    text = f"{label} {f'{value:g}' if isinstance(value, float) else value}"
    if unit:
        text += f" {unit}"
    if name == "current_a" and isinstance(value, float) and value:
        text += " discharging" if value > 0 else " charging"
    return text


def _cells_words(cells: tuple[int | None, ...]) -> str:
    return " ".join("?" if cell is None else str(cell) for cell in cells) or "none"
