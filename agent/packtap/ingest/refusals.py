"""What was refused, by agent and reason; and how many letters of it are kept.

Everything is counted. The dead letters are bounded, so each agent has a share of them an hour: one
that sends nonsense without end must not push out the letters of the others.
"""

from dataclasses import dataclass, field
from typing import Final

from packtap.ingest.sinks import Tally, Why

__all__ = ["UNKNOWN", "Refusals"]

#: Messages whose topic names no agent; and those of agents beyond the most that are told apart.
UNKNOWN: Final = "(unknown)"

_MOST_AGENTS: Final = 1000
_SHARE_LETTERS: Final = 300  #: an hour
_SHARE_BYTES: Final = 4 * 2**20  #: an hour
_SHARE_S: Final = 3600.0


@dataclass(slots=True)
class _Agent:
    counts: dict[Why, int] = field(default_factory=dict)
    since: float = 0.0
    letters: int = 0
    letter_bytes: int = 0


class Refusals:
    """Counts refusals and hands out shares of the dead letters."""

    def __init__(self) -> None:
        self._agents: dict[str, _Agent] = {}

    def count(self, agent: str, why: Why) -> None:
        """Count one refused message."""
        counts = self._of(agent).counts
        counts[why] = counts.get(why, 0) + 1

    def may_keep(self, agent: str, size: int, now: float) -> bool:
        """Return whether a letter of this size is within the agent's share, and take it from that.

        Args:
            agent: by its topic.
            size: bytes of the payload that would be kept.
            now: monotonic seconds.
        """
        one = self._of(agent)
        if now - one.since >= _SHARE_S:
            one.since, one.letters, one.letter_bytes = now, 0, 0
        if one.letters >= _SHARE_LETTERS or one.letter_bytes >= _SHARE_BYTES:
            return False
        one.letters += 1
        one.letter_bytes += size
        return True

    def tally(self) -> Tally:
        """Return a copy of the counters, agents without a refusal left out."""
        return {name: dict(one.counts) for name, one in self._agents.items() if one.counts}

    def _of(self, agent: str) -> _Agent:
        if agent not in self._agents and len(self._agents) >= _MOST_AGENTS:
            agent = UNKNOWN
        return self._agents.setdefault(agent, _Agent(since=float("-inf")))
