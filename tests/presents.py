"""What an agent shows, built from snapshots without an agent."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ninebot_bms import Dialect, Session, Snapshot, read_request
from packtap.analysis.open_events import OpenEvents
from packtap.config import AgentConfig, LineConfig, MqttConfig
from packtap.link import LinkDown, LinkItem, LinkUp, Received
from packtap.model import Event, EventState, Severity
from packtap.poller import Bus, Listening, Polling
from packtap.present import Present, Surroundings
from packtap.store import Outbox
from packtap.uplink import UplinkStats

CONFIG = AgentConfig(
    site="depot",
    agent="pi",
    bus="a",
    now_file=Path("now.json"),
    lines=(LineConfig(name="esc", port="/dev/ttyE"), LineConfig(name="bms", port="/dev/ttyB")),
    mqtt=MqttConfig(host="broker"),
)
BOTH_UP: tuple[LinkItem, ...] = (
    LinkUp("esc", 1.0, "/dev/ttyE"),
    LinkUp("bms", 1.0, "/dev/ttyB"),
)


def event(
    kind: str = "cell_undervoltage",
    *,
    cell: int | None = 7,
    t: float | None = 90.0,
    severity: Severity = Severity.CRITICAL,
    pack: str = "P1",
    text: str = "Cell 7 is at 2700 mV, below 2800 mV. A cell this low is empty, weak or damaged.",
) -> Event:
    """Return something that is raised."""
    identity = f"{pack}/{kind}/{cell or 0:02d}/store/1"
    return Event(identity, t, pack, kind, severity, EventState.RAISED, cell, text=text)


def present_of(
    snapshots: Iterable[tuple[str, Snapshot]] = (),
    events: Iterable[Event] = (),
    lines: Sequence[LinkItem] = BOTH_UP,
) -> Present:
    """Return what is so after all this."""
    present = Present(CONFIG, "boot-a")
    for item in lines:
        assert isinstance(item, LinkUp | LinkDown)
        present.line_changed(item)
    for pack, snapshot in snapshots:
        present.snapshot_taken(pack, snapshot)
    present.events_changed(OpenEvents("store", events))
    return present


def document_of(
    present: Present,
    now: float = 100.0,
    *,
    offset_ms: int | None = None,
    uplink: UplinkStats | None = None,
    store_trouble: str | None = None,
    bus: Bus | None = None,
    known: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Return the now-document."""
    return present.document(
        now,
        offset_ms,
        Surroundings(
            bus or Listening(("esc", "bms")),
            uplink or UplinkStats(connected=True),
            outbox=Outbox(count=3, bytes=900, oldest_ms=None, undated=0),
        ),
        store_trouble=store_trouble,
        known=known or {},
    )


class _NoWire:
    def send(self, data: bytes) -> None:
        raise AssertionError(f"{data!r} was sent beside another master")


def beside_another_master() -> Polling:
    """Return a bench that has heard a foreign request."""
    polling = Polling(Session(), _NoWire())
    polling.line_changed(LinkUp("bms", 1.0, "/dev/ttyB"))
    polling.receive(Received("bms", 1.1, read_request(Dialect.XIAOMI, 0x31, 10)))
    return polling
