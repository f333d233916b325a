"""The dashboard *Agents*: is everything delivered, and how are the devices?"""

from typing import Final

from packtap.dashboards.panel import Dashboard, Panel
from packtap.dashboards.query import q

__all__ = ["AGENTS"]

_EVERY: Final = "$__interval"
_KNOWN: Final = {"0": ("not known", "orange"), "1": ("known", "green")}


def _course(title: str, counters: str, unit: str, words: str) -> Panel:
    return Panel(
        title, "timeseries", words,
        (q("link", counters, "agent", "bus", every=_EVERY),),
        unit=unit, alias="$tag_agent $tag_bus $col",
    )  # fmt: skip


AGENTS: Final = Dashboard(
    "packtap-agents",
    "Agents",
    "The devices: what they hear, what they could not deliver yet, clock and host.",
    (
        Panel(
            "Last heard, longest silence first", "table",
            "An agent tells of itself every 5 minutes. One that is silent has lost power or "
            "network; what it reads is kept on it until it is back.",
            (q("link", 'last("uptime_s") AS uptime', "agent", "bus", "site"),),
            sort=("Time", False), units={"Time": "ago", "uptime": "s"}, rename={"Time": "heard"},
        ),
        Panel(
            "Clock", "state-timeline",
            "Readings of an unknown clock wait on the device until it is known.",
            (q("link", 'last("clock_known")', "agent", "bus", every=_EVERY),),
            alias="$tag_agent $tag_bus", mappings=_KNOWN,
        ),
        _course(
            "Damaged frames", 'max("rejects_checksum") AS "wrong sums", '
            'max("rejects_length") AS "wrong lengths"', "count",
            "Since the agent started; steadily rising: wire, ground or rate. packtap doctor says "
            "which.",
        ),
        _course(
            "Requests without a reply", 'max("unanswered") AS unanswered', "count",
            "Since the agent started. A pack that is asleep answers nothing.",
        ),
        _course(
            "Messages that wait", 'max("outbox_messages") AS messages', "count",
            "Not delivered yet. A growing heap: the network or the broker is away.",
        ),
        _course(
            "Room left in the buffer", 'min("buffer_hours_left") AS hours', "h",
            "For how long messages still fit if none is delivered. At 0 the oldest are dropped, "
            "and that is recorded.",
        ),
        _course(
            "Certificate", 'last("certificate_hours_left") AS hours', "h",
            "Until the broker refuses the device. Enrol it anew with packtap fleet before.",
        ),
        _course("Processor", 'max("host_load_pct") AS load', "%", "100: all processors are busy."),
        _course(
            "Temperature of the processor", 'max("host_temperature_c") AS temperature', "degC",
            "A Pi slows down above 80 degrees.",
        ),
        _course(
            "Room on the disk", 'min("disk_free_bytes") AS free', "bytes", "Of the agent's store."
        ),
        Panel(
            "Gaps", "table",
            "Runs of messages that a device dropped because its store was full.",
            (q("gap", 'sum("samples") AS samples', "agent", "bus", "site"),), hide=("Time",),
        ),
    ),
    range="now-7d",
)  # fmt: skip
