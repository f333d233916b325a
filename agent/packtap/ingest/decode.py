"""Payload -> message, or the reason why not. Nothing that a broker delivers can raise out of here.

Three layers, each refusing with a reason: the topic (who may have sent this: the broker allows a
device its own name only), the JSON (msgspec, strictly against the dataclasses of `packtap.wire`),
and the content (bounds, times, columns, types of known rows).
"""

import json
import math
import re
from collections.abc import Callable
from typing import Final

import msgspec

from packtap.clock import kernel_synchronised
from packtap.ingest.sinks import Decoded, KeptForLater, QueuedMessage, Refused, Why
from packtap.kinds import by_name
from packtap.model import EventState, Severity
from packtap.points import wrong_counter, wrong_health, wrong_value
from packtap.wire import (
    QUEUED_KINDS,
    RETAINED_KINDS,
    SCHEMA,
    TRIAL_KIND,
    EventMessage,
    HealthMessage,
    HealthValue,
    JsonValue,
    LinkMessage,
    ReadingsMessage,
    Topic,
    parse_topic,
)

__all__ = ["MAX_PAYLOAD", "decode"]

MAX_PAYLOAD: Final = 4 * 2**20  #: bytes; 10000 readings with ten cells are about 2 MB
MAX_READINGS: Final = 10_000
MAX_COLUMNS: Final = 256
MAX_TEXT: Final = 256  #: characters of a name or value
MAX_SENTENCE: Final = 2000  #: characters of the sentence of an event
MAX_CELLS: Final = 16
MAX_CAUSES: Final = 32
MAX_GAPS: Final = 64  #: runs that one `link` message tells of
MAX_INTEGER: Final = 2**63 - 1  #: what the stores can hold

EARLIEST_MS: Final = 1_577_836_800_000  #: 2020-01-01: before it no packtap existed
LATEST_MS: Final = 4_102_444_800_000  #: 2100-01-01: no reading is from so late, whatever clocks say
AHEAD_MS: Final = 86_400_000  #: one day: a device's clock may be a little ahead of ours

_NAME = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)
_PRINTABLE = re.compile(r"[ -~]+")
_ROW = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class _Version(msgspec.Struct):
    v: int


_VERSION: Final = msgspec.json.Decoder(_Version, strict=True)
_DECODERS: Final[dict[str, Callable[[bytes], QueuedMessage]]] = {
    "readings": msgspec.json.Decoder(ReadingsMessage, strict=True).decode,
    "event": msgspec.json.Decoder(EventMessage, strict=True).decode,
    "health": msgspec.json.Decoder(HealthMessage, strict=True).decode,
    "link": msgspec.json.Decoder(LinkMessage, strict=True).decode,
}


def decode(
    topic: str,
    payload: bytes,
    now_ms: int,
    synchronised: Callable[[], bool] = kernel_synchronised,
) -> Decoded | None:
    """Return the valid message, or None for a kind that is not stored (retained ones).

    Args:
        topic: where it was published.
        payload: its bytes.
        now_ms: this machine's UTC milliseconds; 0 if they are not known at all.
        synchronised: whether they are known to be right; asked only if it matters.

    Raises:
        Refused: it will never be valid; the reason says why.
        KeptForLater: it is valid, unless this machine's clock is right, which is not known.
    """
    names = parse_topic(topic)
    if names is None or not all(
        _NAME.fullmatch(name) for name in (names.site, names.agent, names.bus, names.kind)
    ):
        raise Refused("the topic is not packtap/v1/<site>/<agent>/<bus>/<kind>", Why.TOPIC)
    if names.kind in RETAINED_KINDS or names.kind == TRIAL_KIND:
        return None
    if names.kind not in QUEUED_KINDS:
        raise Refused(
            f"kind {names.kind!r} is not known to this version: update packtap ingest", Why.KIND
        )
    if len(payload) > MAX_PAYLOAD:
        raise Refused(f"{len(payload)} bytes, at most {MAX_PAYLOAD} are taken", Why.SIZE)
    message = _parse(names.kind, payload)
    _check_sender(names, message)
    _check_times(message.t)
    if isinstance(message, ReadingsMessage):
        _check_columns(message)
    elif isinstance(message, EventMessage):
        _check_event(message)
    elif isinstance(message, HealthMessage):
        _check_health(message)
    else:
        _check_counters(message)
        _check_gaps(message)
    _check_clock(message.t[-1], now_ms, synchronised)
    return Decoded(names, message)


def _parse(kind: str, payload: bytes) -> QueuedMessage:
    try:
        version = _VERSION.decode(payload).v
        if version > SCHEMA:
            raise Refused(
                f"schema {version} is newer than {SCHEMA}, which is known here: "
                "update packtap ingest",
                Why.KIND,
            )
        if version < 1:
            raise Refused(f"schema {version} never existed", Why.KIND)
        message = _DECODERS[kind](payload)
        # A JSON parser silently keeps one of two values of the same key: nobody can say which one
        # was meant, so such a message is not believed.
        json.loads(payload, object_pairs_hook=_unique)
    except (msgspec.DecodeError, ValueError) as exc:
        raise Refused(f"not a valid {kind} message: {_short(exc)}", Why.FORM) from exc
    except RecursionError as exc:
        raise Refused(f"not a valid {kind} message: nested too deeply", Why.FORM) from exc
    return message


def _unique(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:64]!r} stands there twice")


def _short(exc: Exception) -> str:
    text = str(exc)
    return text if len(text) <= 200 else text[:200] + "..."


def _check_sender(topic: Topic, message: QueuedMessage) -> None:
    if (message.agent, message.bus) != (topic.agent, topic.bus):
        raise Refused(
            f"the payload says agent {message.agent[:64]!r} bus {message.bus[:64]!r}, the broker "
            f"says {topic.agent!r} {topic.bus!r}: a device may speak for itself only",
            Why.SENDER,
        )
    for name in ("pack", "store", "boot"):
        text = getattr(message, name)
        if not text.strip() or len(text) > MAX_TEXT:
            raise Refused(f"{name} has {len(text)} characters, 1-{MAX_TEXT} are allowed")
    if not _PRINTABLE.fullmatch(message.pack):
        raise Refused("pack is not plain ASCII: it becomes the name of a series")
    if not 1 <= message.seq <= MAX_INTEGER:
        raise Refused("seq is not between 1 and 2^63 - 1")


def _check_times(times: list[int]) -> None:
    if not 1 <= len(times) <= MAX_READINGS:
        raise Refused(f"{len(times)} sample times, 1-{MAX_READINGS} are allowed")
    before = 0
    for index, t in enumerate(times):
        if not EARLIEST_MS <= t <= LATEST_MS:
            raise Refused(
                f"t[{index}] is {str(t)[:24]} ms, not between 2020 and 2100: "
                "the clock of the device is wrong",
                Why.TIME,
            )
        if t <= before:
            raise Refused(f"t[{index}] is not later than the time before it", Why.TIME)
        before = t


def _check_clock(latest_ms: int, now_ms: int, synchronised: Callable[[], bool]) -> None:
    if now_ms <= EARLIEST_MS or latest_ms <= now_ms + AHEAD_MS:
        return
    if synchronised():
        raise Refused(
            f"t is {latest_ms} ms, more than one day from now: the clock of the device is wrong",
            Why.TIME,
        )
    # Whose clock is wrong? A device stamps only what it knows the time of; this machine may well
    # be the one that is days behind, and a good reading must not be refused for that.
    raise KeptForLater(
        "it shows a time more than a day before that of a reading",
        "nothing says that it is right: let it follow a time server (timedatectl), "
        "or correct the clock of the device",
    )


def _check_columns(message: ReadingsMessage) -> None:
    if not 1 <= len(message.columns) <= MAX_COLUMNS:
        raise Refused(f"{len(message.columns)} columns, 1-{MAX_COLUMNS} are allowed")
    for name, values in message.columns.items():
        if not _ROW.fullmatch(name):
            raise Refused(f"column {name[:64]!r} is not the name of a row")
        if len(values) != len(message.t):
            raise Refused(f"column {name} has {len(values)} values for {len(message.t)} times")
        for index, value in enumerate(values):
            problem = None if value is None else _wrong(name, value)
            if problem is not None:
                raise Refused(f"{name}[{index}] {problem}")


def _wrong(row: str, value: JsonValue) -> str | None:
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            return f"has {len(value)} characters, at most {MAX_TEXT} are allowed"
    elif isinstance(value, list):
        if len(value) > MAX_CELLS:
            return f"has {len(value)} cells, at most {MAX_CELLS} are allowed"
        if any(item is not None and abs(item) > MAX_INTEGER for item in value):
            return "is beyond 64 bits"
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        return "is beyond 64 bits"
    return wrong_value(row, value)


def _check_event(message: EventMessage) -> None:
    if len(message.t) != 1:
        raise Refused(f"an event has one time, not {len(message.t)}")
    if message.kind not in by_name:
        raise Refused(
            f"kind {message.kind[:64]!r} is not the name of an event kind, or of a later version: "
            "update packtap ingest",
            Why.KIND,
        )
    if message.severity not in set(Severity):
        raise Refused(f"severity {message.severity[:64]!r} is not info, warning or critical")
    if message.state not in set(EventState):
        raise Refused(f"state {message.state[:64]!r} is not raised or cleared")
    if message.cell is not None and not 1 <= message.cell <= MAX_CELLS:
        raise Refused(f"cell is not between 1 and {MAX_CELLS}")
    if not message.id or len(message.id) > MAX_TEXT or len(message.unit) > MAX_TEXT:
        raise Refused(f"id or unit is not 1-{MAX_TEXT} characters long")
    if len(message.text) > MAX_SENTENCE:
        raise Refused(f"text has {len(message.text)} characters, at most {MAX_SENTENCE}")


def _check_health(message: HealthMessage) -> None:
    if len(message.t) != 1:
        raise Refused(f"a health message has one time, not {len(message.t)}")
    if len(message.rows) > MAX_COLUMNS or len(message.causes) > MAX_CAUSES:
        raise Refused(f"more than {MAX_COLUMNS} rows or {MAX_CAUSES} causes")
    if not message.rows and not message.causes:
        raise Refused("a health message without rows and causes says nothing")
    for name, value in message.rows.items():
        if not _ROW.fullmatch(name):
            raise Refused(f"row {name[:64]!r} is not the name of a row")
        if (problem := _wrong_health(name, value)) is not None:
            raise Refused(f"{name} {problem}")
    for name, share in message.causes.items():
        if not _ROW.fullmatch(name):
            raise Refused(f"cause {name[:64]!r} is not the name of a cause")
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise Refused(f"the probability of {name} is not between 0 and 1")


def _wrong_health(row: str, value: HealthValue) -> str | None:
    if isinstance(value, str) and len(value) > MAX_SENTENCE:
        return f"has {len(value)} characters, at most {MAX_SENTENCE} are allowed"
    each = value if isinstance(value, list) else [value]
    if len(each) > MAX_CELLS:
        return f"has {len(each)} cells, at most {MAX_CELLS} are allowed"
    numbers = [number for number in each if isinstance(number, int | float)]
    if any(not math.isfinite(number) or abs(number) > MAX_INTEGER for number in numbers):
        return "is beyond 64 bits"
    return wrong_health(row, value)


def _check_gaps(message: LinkMessage) -> None:
    for runs in (message.gaps, message.thinned):
        if len(runs) > MAX_GAPS:
            raise Refused(f"{len(runs)} gaps, at most {MAX_GAPS} are told at once")
    for first, last, samples, from_ms in [*message.gaps, *message.thinned]:
        if not (1 <= first <= last <= MAX_INTEGER and 0 <= samples <= MAX_INTEGER):
            raise Refused("a gap is not a run of numbers from 1 on")
        if from_ms is not None and not EARLIEST_MS <= from_ms <= LATEST_MS:
            raise Refused("a gap does not begin between 2020 and 2100")


def _check_counters(message: LinkMessage) -> None:
    if len(message.t) != 1:
        raise Refused(f"a link message has one time, not {len(message.t)}")
    if not 1 <= len(message.counters) <= MAX_COLUMNS:
        raise Refused(f"{len(message.counters)} counters, 1-{MAX_COLUMNS} are allowed")
    for name, value in message.counters.items():
        if not _ROW.fullmatch(name):
            raise Refused(f"counter {name[:64]!r} is not the name of a row")
        problem = "is beyond 64 bits" if abs(value) > MAX_INTEGER else wrong_counter(name, value)
        if problem is not None:
            raise Refused(f"counter {name} {problem}")
