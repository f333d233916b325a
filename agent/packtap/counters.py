"""The counters of a `link` message, floor 1: tap, outbox and host.

One field a counter; the fields are the JSON keys and the fields of measurement `link`, so what the
agent sends and what ingest knows cannot differ. Whole numbers only, for ever. What is not known is
None, and is not sent.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final

from ninebot_bms.errors import Reason

__all__ = ["COUNTERS", "Counters", "rejects_by_name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Counters of tap and uplink since the agent started, and how outbox and host are now.

    Attributes:
        readings: snapshots taken.
        readings_dropped: readings that the store did not take.
        gap_messages: messages that the store's size bound dropped undelivered, since it began.
        gap_samples: readings, events and counters in them.
        thinned_samples: samples that it left out of undelivered readings, since it began.
        bytes_unread: bytes that came faster than they were taken, all lines.
        frames: whole frames.
        requests: frames that ask a pack.
        replies: frames in which a pack answers.
        unanswered: requests without a reply.
        rejects_header: runs of bytes in which no frame begins.
        rejects_length: frames with an impossible length, or that never became whole.
        rejects_checksum: frames whose sum is wrong.
        rejects_sanity: frames whose content contradicts their command.
        acknowledged: messages that the broker has acknowledged.
        refused: messages that the broker has refused.
        collisions: own questions on a shared wire that did not come back as they were sent.
        backoffs: times that asking on a shared wire was left off for seconds or minutes.
        share_asking: 1 if the shared wire is being asked on, 0 if packtap is silent there for now;
            like the next three not sent where no wire is shared.
        share_asked: own questions on it.
        share_held_back: questions that were not sent, since their moment had passed.
        share_sent_late: questions that may have left behind their moment.
        outbox_messages: messages that wait to be sent.
        outbox_bytes: their bodies.
        outbox_undated: messages among them that wait for a known clock.
        outbox_first_seq: lowest number that waits to be sent; the next to be given if none does.
        outbox_oldest_s: age of the oldest dated one, seconds; 0 if none waits.
        outbox_stranded: undated ones of earlier boots, whose clock was never known.
        buffer_hours_left: how long messages still fit if none is delivered; not sent while unknown.
        disk_free_bytes: room on the store's disk.
        host_load_pct: work that waited in the last minute, 100 = all processors busy.
        host_temperature_c: of the processor.
        clock_known: 1 if UTC is known, else 0.
        uptime_s: since the machine was started.
        certificate_hours_left: until the broker will no longer take this device's certificate;
            below 0: it takes it no more.
    """

    readings: int
    readings_dropped: int
    gap_messages: int
    gap_samples: int
    bytes_unread: int
    frames: int
    requests: int
    replies: int
    unanswered: int
    rejects_header: int
    rejects_length: int
    rejects_checksum: int
    rejects_sanity: int
    acknowledged: int
    refused: int
    collisions: int = 0
    backoffs: int = 0
    thinned_samples: int = 0
    share_asking: int | None = None
    share_asked: int | None = None
    share_held_back: int | None = None
    share_sent_late: int | None = None
    outbox_messages: int | None = None
    outbox_bytes: int | None = None
    outbox_undated: int | None = None
    outbox_first_seq: int | None = None
    outbox_oldest_s: int | None = None
    outbox_stranded: int | None = None
    buffer_hours_left: int | None = None
    disk_free_bytes: int | None = None
    host_load_pct: int | None = None
    host_temperature_c: int | None = None
    clock_known: int | None = None
    uptime_s: int | None = None
    certificate_hours_left: int | None = None

    def as_dict(self) -> dict[str, int]:
        """Return what is known by name, for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


#: Names of the counters.
COUNTERS: Final = tuple(item.name for item in fields(Counters))


def rejects_by_name(rejects: Mapping[Reason, int]) -> dict[str, int]:
    """Return what was refused as counters, one a reason; 0 for a reason that did not occur."""
    return {f"rejects_{reason.lower()}": rejects.get(reason, 0) for reason in Reason}
