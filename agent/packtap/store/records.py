"""The values that enter and leave the store, floor 3.

Times are boot-relative milliseconds plus the UTC offset of their origin; an origin without an
offset is undated. At ingest everything is UTC, with offset 0.
"""

from collections.abc import Mapping, Sized
from dataclasses import KW_ONLY, asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final, Self

from packtap.model import Value
from packtap.wire import (
    ADDED,
    SCHEMA,
    EventMessage,
    HealthMessage,
    HealthValue,
    LinkMessage,
    QueuedMessage,
    ReadingsMessage,
    Topic,
)

__all__ = [
    "MESSAGE_OF",
    "Draft",
    "Gap",
    "KeptMemory",
    "Message",
    "Outbox",
    "Queued",
    "StoredEvent",
    "StoredHealth",
    "StoredReading",
    "body_of",
    "compose",
    "kind_of",
]

Message = QueuedMessage

#: Message kind (last name of the topic) -> its class.
MESSAGE_OF: Final[Mapping[str, type[Message]]] = {
    "readings": ReadingsMessage,
    "event": EventMessage,
    "health": HealthMessage,
    "link": LinkMessage,
}
_ENVELOPE: Final = frozenset({"v", "agent", "bus", "pack", "store", "seq", "boot", "t"})
_BODY_FIELDS: Final = {
    kind: frozenset(item.name for item in fields(message)) - _ENVELOPE
    for kind, message in MESSAGE_OF.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message to be queued; the store gives it its `seq`.

    Attributes:
        kind: "readings", "event", "health" or "link".
        boot: boot id that `times_ms` counts from.
        utc_offset_ms: UTC minus boot time; None while the clock is not known.
        times_ms: sample times, milliseconds since boot, strictly increasing, at least one.
        body: the message's own fields, without the envelope: `columns` (each as long as
            `times_ms`), the fields of an event, `rows` and `causes`, or `counters`.
    """

    kind: str
    site: str
    agent: str
    bus: str
    pack: str
    boot: str
    utc_offset_ms: int | None
    times_ms: tuple[int, ...]
    body: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.kind not in MESSAGE_OF:
            raise ValueError(f"kind {self.kind!r}: not one of {', '.join(MESSAGE_OF)}")
        if not self.times_ms or any(later <= earlier for earlier, later in pairwise(self.times_ms)):
            raise ValueError("times_ms must hold at least one time and increase strictly")
        foreign = self.body.keys() - _BODY_FIELDS[self.kind]
        if foreign:
            raise ValueError(f"{self.kind}: {', '.join(sorted(foreign))} do not belong in its body")
        if self.kind == "readings":
            columns: Mapping[str, Sized] = self.body["columns"]
            uneven = [name for name, column in columns.items() if len(column) != len(self.times_ms)]
            if uneven:
                raise ValueError(f"columns {uneven} are not as long as times_ms")

    def dated(self, utc_offset_ms: int) -> Self:
        """Return it with the offset, unless it has one."""
        if self.utc_offset_ms is not None:
            return self
        return replace(self, utc_offset_ms=utc_offset_ms)


@dataclass(frozen=True, slots=True)
class Queued:
    """A dated message that waits for delivery; `payload` is what goes over MQTT."""

    seq: int
    topic: Topic
    payload: bytes


@dataclass(frozen=True, slots=True)
class Outbox:
    """What waits for delivery.

    Attributes:
        count: messages, undated ones included.
        bytes: their bodies.
        oldest_ms: first sample time of the oldest dated one, UTC milliseconds.
        undated: messages that wait for a known clock.
        first_seq: lowest number that waits; the next to be given if nothing does.
        stranded: undated ones of boots that are over; nothing will date them by itself.
    """

    count: int
    bytes: int
    oldest_ms: int | None
    undated: int
    first_seq: int | None = None
    stranded: int = 0

    def as_document(self) -> dict[str, object]:
        """Return it as JSON keys and values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that the size bound removed before they were delivered.

    Attributes:
        kind: message kind.
        first_seq: with `last_seq` the unbroken run of numbers that will never arrive.
        samples: readings (or events) in them.
        first_ms: boot-relative milliseconds of the first sample.
        last_ms: of the last one.
        utc_offset_ms: UTC minus boot time; None if that boot was never dated.
    """

    kind: str
    pack: str
    boot: str
    first_seq: int
    last_seq: int
    samples: int
    first_ms: int
    last_ms: int
    utc_offset_ms: int | None

    @property
    def count(self) -> int:
        """Messages lost."""
        return self.last_seq - self.first_seq + 1


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One reading of the history.

    Attributes:
        t_ms: sample time, UTC milliseconds.
        values: only what was reported, by row name; cells as a tuple, cell 1 first.
    """

    t_ms: int
    agent: str
    bus: str
    pack: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event with both its ends, as far as they are known.

    Attributes:
        raised_ms: UTC milliseconds; None while undated (or, at ingest, still on its way).
        cleared_ms: UTC milliseconds; None while open or undated.
        is_open: not cleared yet.
    """

    id: str
    agent: str
    bus: str
    pack: str
    kind: str
    severity: str
    cell: int | None
    value: float | None
    limit: float | None
    unit: str
    text: str
    raised_ms: int | None
    cleared_ms: int | None
    _: KW_ONLY
    is_open: bool


@dataclass(frozen=True, slots=True)
class KeptMemory:
    """What is to be remembered of a pack.

    Attributes:
        pack: its serial.
        place: its address on the bus.
        document: in the form of `packtap.memory`.
    """

    pack: str
    place: int
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StoredHealth:
    """What memory and diagnosis said of a pack at one time.

    Attributes:
        t_ms: UTC milliseconds.
        rows: derived row name -> value; None = not known.
        causes: cause -> probability; empty if there was no diagnosis.
    """

    t_ms: int
    agent: str
    bus: str
    pack: str
    rows: Mapping[str, HealthValue]
    causes: Mapping[str, float]


def kind_of(message: Message) -> str:
    """Return the message kind: the last name of the topic it travels under."""
    return next(kind for kind, cls in MESSAGE_OF.items() if isinstance(message, cls))


def body_of(message: Message) -> dict[str, Any]:
    """Return the message's own fields, without the envelope."""
    body = {name: getattr(message, name) for name in _BODY_FIELDS[kind_of(message)]}
    return {name: value for name, value in body.items() if name not in ADDED or value}


def compose(
    *, kind: str, topic: Topic, pack: str, store: str, seq: int, boot: str, t: list[int], body: Any
) -> Message:
    """Put envelope and body together again.

    Raises:
        KeyError, TypeError: the row does not hold a message of this kind.
    """
    return MESSAGE_OF[kind](
        v=SCHEMA,
        agent=topic.agent,
        bus=topic.bus,
        pack=pack,
        store=store,
        seq=seq,
        boot=boot,
        t=t,
        **body,
    )
