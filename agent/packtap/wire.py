"""Message <-> JSON: what travels over MQTT, floor 2.

One dataclass a message; its fields are the JSON keys, so the encoder here, the decoder of ingest
(msgspec, on these same classes) and the document cannot differ. Topics are
`packtap/v1/<site>/<agent>/<bus>/<kind>`.

Two families:

* queued (`readings`, `event`, `health`, `link`): carry store id and `seq`, wait in the outbox until
  the broker has acknowledged them, and are stored by ingest exactly once in effect;
* retained (`status`, `pack`, `state`, `diagnosis`): the latest only, outside `seq`.

A queued payload is one JSON object; or, deflated (zlib), one or more of them, a line each: a
backlog goes in bundles, and a batch of readings says nearly the same many times over. Events go as
they are.

And one that nobody keeps: `doctor`, by which `packtap doctor` learns whether the broker lets this
device publish. It is not retained, and ingest passes over it.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Final

__all__ = [
    "ADDED",
    "DEFLATED_MOST",
    "QUEUED_KINDS",
    "RETAINED_KINDS",
    "SCHEMA",
    "TOPIC_ROOT",
    "TRIAL_KIND",
    "EventMessage",
    "HealthMessage",
    "HealthValue",
    "JsonValue",
    "LinkMessage",
    "QueuedMessage",
    "ReadingsMessage",
    "Topic",
    "bundle",
    "encode",
    "parse_topic",
    "unbundle",
]

SCHEMA: Final = 1
TOPIC_ROOT: Final = "packtap/v1"
QUEUED_KINDS: Final = frozenset({"readings", "event", "health", "link"})
RETAINED_KINDS: Final = frozenset({"status", "pack", "state", "diagnosis"})
#: Fields that came later: one that says nothing is left out, as before there was one.
ADDED: Final = frozenset({"gaps", "thinned"})
#: Published on trial only: stored by nobody.
TRIAL_KIND: Final = "doctor"
#: What is larger is not deflated: few deflated bytes may hold much, and a receiver must bound it.
DEFLATED_MOST: Final = 2**20
_LEVEL: Final = 6
#: How zlib begins; no JSON object does.
_DEFLATED: Final = b"\x78"
#: Kinds of which a bus has one for each pack; that of the second pack ends in /bms2.
_OF_EACH_PACK: Final = frozenset({"pack", "state", "diagnosis"})

#: A register value as JSON carries it. Cells are a list, cell 1 first.
JsonValue = int | float | str | list[int | None] | None
#: A derived value as JSON carries it: a number, a text, or one number a cell, cell 1 first.
HealthValue = int | float | str | list[int | float | None] | None


@dataclass(frozen=True, slots=True)
class Topic:
    """The five names in a topic; each `[a-z0-9_-]+`, 1-64 characters."""

    site: str
    agent: str
    bus: str
    kind: str

    def __str__(self) -> str:
        return f"{TOPIC_ROOT}/{self.site}/{self.agent}/{self.bus}/{self.kind}"


def parse_topic(topic: str) -> Topic | None:
    """Return the names in a packtap topic, or None if it is not one."""
    head, _, rest = topic.partition(f"{TOPIC_ROOT}/")
    parts = rest.split("/")
    if head or len(parts) not in (4, 5) or not all(parts[:4]):
        return None
    if len(parts) == 5 and (parts[4] != "bms2" or parts[3] not in _OF_EACH_PACK):
        return None
    return Topic(*parts[:4])


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingsMessage:
    """A batch of readings of one pack, columnar.

    Attributes:
        t: sample times, UTC milliseconds, strictly increasing, length n (1-10000).
        columns: row name -> n values, None where the reading did not report it.
    """

    v: int = SCHEMA
    agent: str
    bus: str
    pack: str
    store: str
    seq: int
    boot: str
    t: list[int]
    columns: dict[str, list[JsonValue]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMessage:
    """One raised or cleared event; `t` has length 1 (UTC milliseconds)."""

    v: int = SCHEMA
    agent: str
    bus: str
    pack: str
    store: str
    seq: int
    boot: str
    t: list[int]
    id: str
    kind: str
    severity: str
    state: str
    cell: int | None = None
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMessage:
    """Counters of tap, outbox and host since the agent started; `t` has length 1.

    Attributes:
        gaps: runs of numbers that the agent has dropped undelivered, the newest ones: first and
            last `seq`, samples in them, UTC milliseconds of the first sample (None: never dated).
        thinned: runs of which it has left samples out before they were delivered, likewise; the
            samples are those that are missing.
    """

    v: int = SCHEMA
    agent: str
    bus: str
    pack: str
    store: str
    seq: int
    boot: str
    t: list[int]
    counters: dict[str, int | float] = field(default_factory=dict)
    gaps: list[tuple[int, int, int, int | None]] = field(default_factory=list)
    thinned: list[tuple[int, int, int, int | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthMessage:
    """What the pack's memory and the diagnosis say; `t` has length 1 (UTC milliseconds).

    Attributes:
        rows: derived row name (`packtap.derived`) -> value; what is not known is None or absent.
        causes: cause of the diagnosis -> probability, 0-1; empty for a pack that has none.
    """

    v: int = SCHEMA
    agent: str
    bus: str
    pack: str
    store: str
    seq: int
    boot: str
    t: list[int]
    rows: dict[str, HealthValue] = field(default_factory=dict)
    causes: dict[str, float] = field(default_factory=dict)


#: Every message that carries `seq`.
QueuedMessage = ReadingsMessage | EventMessage | HealthMessage | LinkMessage


def encode(message: QueuedMessage) -> bytes:
    """Return the message as compact JSON, keys in the order of the fields.

    Raises:
        ValueError: a number is NaN or infinite (JSON has no such thing).
    """
    if not is_dataclass(message):
        raise TypeError(f"not a message: {message!r}")
    body = {item.name: getattr(message, item.name) for item in fields(message)}
    return _dump({name: value for name, value in body.items() if name not in ADDED or value})


def bundle(payloads: Sequence[bytes]) -> bytes:
    """Return payloads of one topic as one."""
    return zlib.compress(b"\n".join(payloads), _LEVEL)


def unbundle(payload: bytes | bytearray, max_bytes: int) -> list[bytes]:
    """Return the payloads of which this one consists; itself if it is not deflated.

    Args:
        payload: as it came.
        max_bytes: that may come out of it: a few bytes can swell to gigabytes.

    Raises:
        ValueError: damaged, or more comes out of it.
    """
    if not payload.startswith(_DEFLATED):
        return [bytes(payload)]
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(payload, max_bytes + 1)
    except zlib.error as exc:
        raise ValueError(f"damaged: {exc}") from exc
    if len(text) > max_bytes or not stream.eof or stream.unused_data:
        raise ValueError(f"not whole, or more than {max_bytes} bytes inside")
    return text.split(b"\n")


def _dump(body: dict[str, object] | Sequence[object]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
