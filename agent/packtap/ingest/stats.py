"""What ingest counts since its start, and the line that it logs about the last minute."""

import logging
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from packtap.ingest.sinks import Tally

__all__ = ["Stats", "log_difference"]

_log = logging.getLogger(__name__)

_MOST_TOLD: Final = 10  #: in one line


@dataclass(slots=True)
class Stats:
    """Counters since the start.

    Attributes:
        received: deliveries taken up, redeliveries included.
        stored: messages stored, and readings the samples in them.
        ignored: messages of kinds that are not stored (status, pack, state).
        refused: messages that were refused for good.
        unkept: refused messages of which no letter was kept: their agent had used up its share.
        overrun: unacknowledged (QoS 0) messages there was no room for; no agent sends such.
        refused_by: agent -> what its messages were refused for -> how many.
        given_up: dead letters that had to make room for newer ones.
        retries: times that a batch had to be kept for later.
        acknowledged: deliveries that the broker may forget.
        waiting: messages here that are neither stored nor refused yet.
        store: "ok", or why nothing can be stored now.
        connected: whether the broker is there.
    """

    received: int = 0
    stored: int = 0
    readings: int = 0
    ignored: int = 0
    refused: int = 0
    unkept: int = 0
    overrun: int = 0
    given_up: int = 0
    retries: int = 0
    acknowledged: int = 0
    waiting: int = 0
    store: str = "ok"
    connected: bool = False
    refused_by: Tally = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the counters by name, for JSON."""
        return asdict(self)

    def in_one_line(self) -> str:
        """Return how it goes in words, as `systemctl status` shows it."""
        broker = "subscribed" if self.connected else "no broker, tried again"
        store = "the store takes messages" if self.store == "ok" else f"waiting: {self.store}"
        return f"{broker}; {store}"


def log_difference(before: Stats, stats: Stats, seconds: float) -> None:
    """Log in one line what happened between two looks, and in a second what was given up.

    Args:
        before: the counters then.
        stats: the counters now.
        seconds: between the two.
    """
    _log.info(
        "last %.0f s: %d messages (%d readings) stored, %d refused, %d ignored, %d retries; "
        "store %s, broker %s",
        seconds,
        stats.stored - before.stored,
        stats.readings - before.readings,
        stats.refused - before.refused,
        stats.ignored - before.ignored,
        stats.retries - before.retries,
        stats.store,
        "connected" if stats.connected else "not connected",
    )
    if told := _new_refusals(before.refused_by, stats.refused_by):
        _log.warning("refused in the last %.0f s, by agent: %s", seconds, told)
    given_up = stats.given_up - before.given_up
    if given_up:
        _log.warning(
            "the dead letters are full: %d old ones given up in the last %.0f s; save them, or "
            "raise dead_letter.max_mb",
            given_up,
            seconds,
        )


def _new_refusals(before: Tally, now: Tally) -> str:
    """Return who was refused what between two looks, the most refused first."""
    rows = [
        (count - before.get(agent, {}).get(why, 0), agent, why)
        for agent, counts in now.items()
        for why, count in counts.items()
    ]
    rows = sorted((row for row in rows if row[0]), key=lambda row: (-row[0], row[1:]))
    words = [f"{agent} {count} {why}" for count, agent, why in rows[:_MOST_TOLD]]
    if len(rows) > _MOST_TOLD:
        words.append(f"and {len(rows) - _MOST_TOLD} more")
    return ", ".join(words)
