"""What is so now: the latest snapshot of each pack, lines, counters, floor 4.

From it come the now-file's document, the retained messages `state` and `pack`, and the counters of
the `link` message. A value is shown with its age, and one that nobody reported is not shown.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Final

from ninebot_bms import BMS, BMS2, Snapshot, by_name, status_flags
from packtap import __version__
from packtap.analysis.open_events import OpenEvents
from packtap.batch import json_value
from packtap.certificates import read_certificate
from packtap.config import AgentConfig
from packtap.counters import Counters, rejects_by_name
from packtap.host import HostFigures
from packtap.link import LinkDown, LinkUp
from packtap.model import Event
from packtap.poller import Bus
from packtap.store import Outbox
from packtap.uplink import UplinkStats
from packtap.wire import SCHEMA, JsonValue

__all__ = ["Present", "Surroundings", "as_payload", "in_one_line", "ranked", "substance"]

#: Registers below this index say what the pack is, not how it is. Source: protocol.md section 5.
_IDENTITY_END: Final = 0x30
_OLDER_S: Final = 1.0


@dataclass(slots=True)
class _Line:
    name: str
    port: str
    is_up: bool = False
    reason: str = "not opened yet"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the parts around the tap say of themselves now.

    Attributes:
        bus: has its counters, and what is wrong with it.
        uplink: how delivery goes.
        unread: bytes that came faster than they were taken, by line.
        outbox: what waits to be sent; None: the store does not say.
        host: the machine.
    """

    bus: Bus
    uplink: UplinkStats
    unread: Mapping[str, int] = field(default_factory=dict)
    outbox: Outbox | None = None
    host: HostFigures = field(default_factory=HostFigures)


class Present:
    """Collects what is so now.

    Args:
        config: who we are.
        boot_id: of this boot.

    Attributes:
        readings: snapshots taken.
        dropped: readings that left the memory unsaved, while the store took none.
        hours_left: how long messages still fit if none is delivered; None: not known.
        lost: messages, and samples in them, that the store dropped undelivered since it began.
        certificate_until_ms: end of the device's certificate, as the connection took it at the
            start, UTC milliseconds; None: there is none, or it cannot be read.
        thinned: samples that it left out of readings before they were delivered.
    """

    def __init__(self, config: AgentConfig, boot_id: str) -> None:
        self._config = config
        self._boot_id = boot_id
        self._lines: dict[str, _Line] = {
            line.name: _Line(line.name, line.port) for line in config.lines
        }
        # Address of the pack (a bus may have two) -> its name and its latest snapshot.
        self._latest: dict[int, tuple[str, Snapshot]] = {}
        self._open: tuple[Event, ...] = ()
        self._announced: tuple[Event, ...] = ()
        self._unsaved: frozenset[str] = frozenset()
        self._complained: set[str] = set()
        self.readings = 0
        self.dropped = 0
        self.hours_left: float | None = None
        self.lost = (0, 0)
        self.certificate_until_ms = _certificate_until_ms(config)
        self.thinned = 0

    def line_changed(self, item: LinkUp | LinkDown) -> None:
        """Note that a line was opened or lost."""
        line = self._lines[item.line]
        line.is_up = isinstance(item, LinkUp)
        line.reason = "" if isinstance(item, LinkUp) else item.reason

    def snapshot_taken(self, pack: str, snapshot: Snapshot) -> None:
        """Note the latest snapshot of a pack."""
        self._latest[snapshot.address] = (pack, snapshot)
        self.readings += 1

    def events_changed(self, open_events: OpenEvents, unsaved: Collection[Event] = ()) -> None:
        """Note what is raised now, on any pack.

        Args:
            open_events: all of them.
            unsaved: ends of events that are not on disk. While there are any, what is retained
                stays as it was.
        """
        self._open = open_events.all()
        self._unsaved = frozenset(event.id for event in unsaved)
        if not unsaved:
            self._announced = self._open

    def complain_once(self, topic: str) -> bool:
        """Return True the first time that this topic is complained about."""
        first = topic not in self._complained
        self._complained.add(topic)
        return first

    def counters(
        self, now: float, utc_offset_ms: int | None, around: Surroundings
    ) -> dict[str, int]:
        """Return the counters of tap and uplink since the agent started, and what is so now.

        Args:
            now: seconds since boot.
            utc_offset_ms: UTC minus boot time, None while the clock is not known.
            around: what the parts around the tap say of themselves.
        """
        outbox, uplink, host = around.outbox, around.uplink, around.host
        counted = around.bus.tally
        return Counters(
            readings=self.readings,
            readings_dropped=self.dropped,
            gap_messages=self.lost[0],
            gap_samples=self.lost[1],
            thinned_samples=self.thinned,
            bytes_unread=sum(around.unread.values()),
            frames=counted.frames,
            requests=counted.requests,
            replies=counted.replies,
            unanswered=counted.unanswered,
            **rejects_by_name(counted.rejects),
            acknowledged=uplink.acked,
            refused=uplink.refused,
            collisions=counted.collisions,
            backoffs=counted.backoffs,
            **counted.of_sharing(around.bus.sharing),
            outbox_messages=None if outbox is None else outbox.count,
            outbox_bytes=None if outbox is None else outbox.bytes,
            outbox_undated=None if outbox is None else outbox.undated,
            outbox_first_seq=None if outbox is None else outbox.first_seq,
            outbox_oldest_s=_oldest_s(outbox, now, utc_offset_ms),
            outbox_stranded=None if outbox is None else outbox.stranded,
            buffer_hours_left=None if self.hours_left is None else int(self.hours_left),
            disk_free_bytes=host.disk_free_bytes,
            host_load_pct=host.load_pct,
            host_temperature_c=host.temperature_c,
            clock_known=int(utc_offset_ms is not None),
            uptime_s=int(now),
            certificate_hours_left=_hours_until(self.certificate_until_ms, now, utc_offset_ms),
        ).as_dict()

    def document(
        self,
        now: float,
        utc_offset_ms: int | None,
        around: Surroundings,
        *,
        store_trouble: str | None,
        known: Mapping[str, object],
    ) -> dict[str, object]:
        """Return the now-file's document.

        Args:
            now: seconds since boot.
            utc_offset_ms: UTC minus boot time, None while the clock is not known.
            around: what the parts around the tap say of themselves.
            store_trouble: why the store takes nothing, None if it does.
            known: further keys: what memory and diagnosis say of the main pack.
        """
        uplink, outbox = around.uplink, around.outbox
        pack, snapshot = self._main()
        return {
            "v": SCHEMA,
            "version": __version__,
            "site": self._config.site,
            "agent": self._config.agent,
            "bus": self._config.bus,
            "mode": self._config.mode,
            "boot": self._boot_id,
            "boot_s": round(now, 3),
            "t": None if utc_offset_ms is None else round(now * 1000) + utc_offset_ms,
            "pack": pack,
            "values": {} if snapshot is None else _values(snapshot),
            "ages_s": {} if snapshot is None else _ages(snapshot, now),
            "flags": [] if snapshot is None else _flags(snapshot),
            "cell_count": None if snapshot is None else snapshot.cell_count,
            "doubts": []
            if snapshot is None
            else [{"name": doubt.name, "text": doubt.text} for doubt in snapshot.doubts],
            "events": [
                {
                    "id": event.id,
                    "kind": event.kind,
                    "cell": event.cell,
                    "severity": event.severity.value,
                    "since_s": None if event.t is None else round(now - event.t, 1),
                    "text": event.text,
                    "saved": event.id not in self._unsaved,
                }
                for event in self._open
            ],
            "lines": [asdict(line) for line in self._lines.values()],
            "counters": self.counters(now, utc_offset_ms, around),
            "uplink": {
                "connected": uplink.connected,
                "last_error": uplink.last_error,
                "acknowledged_age_s": uplink.acknowledged_age_s
                and round(uplink.acknowledged_age_s, 1),
            },
            "outbox": {} if outbox is None else outbox.as_document(),
            "buffer_hours_left": None if self.hours_left is None else round(self.hours_left, 1),
            "store_trouble": store_trouble,
            "bus_trouble": around.bus.trouble,
            "sharing": around.bus.sharing,
            **known,
        }

    def head(self, pack: str | None, now: float, utc_offset_ms: int | None) -> dict[str, object]:
        """Return how every retained message begins: who speaks, of which pack, when."""
        return {
            "v": SCHEMA,
            "agent": self._config.agent,
            "bus": self._config.bus,
            "pack": pack,
            "boot": self._boot_id,
            "t": None if utc_offset_ms is None else round(now * 1000) + utc_offset_ms,
        }

    def retained(
        self,
        now: float,
        utc_offset_ms: int | None,
        before: Callable[[str], str | None] = lambda _: None,
        *,
        sharing: Mapping[str, object] = MappingProxyType({}),
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the retained messages, kind and payload: `state` and `pack`, for each pack.

        `state` is one flat object: row name -> value; `age_s` is the age of the newest of them,
        and `<row>_age_s` stands beside each row that is older than that by more than a second.

        Args:
            now: seconds since boot.
            utc_offset_ms: UTC minus boot time, None while the clock is not known.
            before: says which pack was in this one's place.
            sharing: what is being done about asking on a shared wire, see `sharing_now`.
        """
        for address, (pack, snapshot) in self._latest.items():
            suffix = "/bms2" if address == BMS2 else ""
            head = self.head(pack, now, utc_offset_ms)
            values = _values(snapshot)
            state = {
                "mode": self._config.mode,
                **sharing,
                **values,
                "flags": _flags(snapshot),
                "events": [event.kind for event in self._announced if event.pack == pack],
                **_flat_ages(_ages(snapshot, now)),
            }
            yield f"state{suffix}", as_payload(head | state)
            identity = {name: value for name, value in values.items() if _is_identity(name)}
            doubts = [doubt.name for doubt in snapshot.doubts]
            more = {"cells": snapshot.cell_count, "doubts": doubts, "pack_before": before(pack)}
            yield f"pack{suffix}", as_payload(head | identity | more)

    def _main(self) -> tuple[str, Snapshot] | tuple[None, None]:
        """Return the pack at the main address, or whichever there is."""
        if BMS in self._latest:
            return self._latest[BMS]
        return next(iter(self._latest.values()), (None, None))


def _values(snapshot: Snapshot) -> dict[str, JsonValue]:
    return {name: json_value(value) for name, value in snapshot.values.items() if value is not None}


def _ages(snapshot: Snapshot, now: float) -> dict[str, float]:
    ages = {name: snapshot.age_s(name, now) for name in _values(snapshot)}
    return {name: round(age, 1) for name, age in ages.items() if age is not None}


def _flat_ages(ages: Mapping[str, float]) -> dict[str, float | None]:
    newest = min(ages.values(), default=None)
    old = {
        f"{name}_age_s": age
        for name, age in ages.items()
        if newest is not None and age > newest + _OLDER_S
    }
    return {"age_s": newest, **old}


def _oldest_s(outbox: Outbox | None, now: float, utc_offset_ms: int | None) -> int | None:
    if outbox is None:
        return None
    if outbox.oldest_ms is None:
        return 0
    if utc_offset_ms is None:
        return None
    return max(0, round(now - (outbox.oldest_ms - utc_offset_ms) / 1000))


def _certificate_until_ms(config: AgentConfig) -> int | None:
    tls = config.mqtt.tls
    if tls is None or tls.cert_file is None:
        return None
    try:
        return round(read_certificate(tls.cert_file).not_after.timestamp() * 1000)
    except (OSError, ValueError):
        return None  # the uplink says what is wrong with it


def _hours_until(t_ms: int | None, now: float, utc_offset_ms: int | None) -> int | None:
    if t_ms is None or utc_offset_ms is None:
        return None
    return math.floor((t_ms - utc_offset_ms - now * 1000) / 3_600_000)


def _flags(snapshot: Snapshot) -> list[str]:
    status = snapshot.values.get("status")
    return list(status_flags(status)) if isinstance(status, int) else []


def _is_identity(name: str) -> bool:
    row = by_name.get(name)
    return row is not None and row.index < _IDENTITY_END


def in_one_line(document: Mapping[str, Any]) -> str:
    """Return the now-file's document in a line of words, as `systemctl status` shows it."""
    lines = document["lines"]
    said = [f"{line['name']} is {'open' if line['is_up'] else 'not open'}" for line in lines]
    said.append(document["pack"] or "no pack seen yet")
    uplink, waiting = document["uplink"], document["outbox"].get("messages")
    said.append("broker connected" if uplink["connected"] else "no broker")
    if waiting:
        said.append(f"{waiting} messages wait")
    if document["store_trouble"]:
        said.append("the store takes nothing, readings wait in memory")
    return ", ".join(said)


def substance(payload: bytes) -> object:
    """Return what a retained message says, without what only time has changed: times and ages."""
    document = json.loads(payload)
    said = {name: value for name, value in document.items() if not name.endswith("age_s")}
    return said | {"t": document.get("t") is None}


def ranked(payload: bytes) -> list[dict[str, Any]]:
    """Return the causes of a retained diagnosis, the most probable first."""
    causes: list[dict[str, Any]] = json.loads(payload)["diagnosis"]
    return causes


def as_payload(document: Mapping[str, object]) -> bytes:
    """Return the payload of a retained message."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
