"""How much one agent may send: a bound on its rate and on the series that it makes.

A device of the fleet that was taken over, or has gone mad, must not crowd out the others. The rate
is a bucket of tokens that is refilled all the time. It is deep: an agent that comes back after a
month offers everything that it has kept at once, as fast as its network allows, and none of that
may be refused (a refusal is for good: to the sender the broker has already said "taken"). So the
bucket holds a month, and what it bounds is a device that goes on like that.

A series of the store is opened by site, bus, pack and store id: the device itself says all four.
Their number for one agent and day is bounded; kinds, causes, cells and severities are rows of a
table.

Both are kept in memory: a restart of ingest begins anew.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from packtap.config import PerAgentConfig
from packtap.ingest.sinks import Decoded, Refused, Why

__all__ = ["Gate"]

_PART_BYTES: Final = 4096  #: a message costs one token for each such part that it begins
_MOST_AGENTS: Final = 10_000
_DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class _Agent:
    """What one agent has left."""

    tokens: float
    filled_at: float
    day: int = 0
    origins: set[tuple[str, str, str, str]] = field(default_factory=set)


class Gate:
    """Lets messages in, agent by agent.

    Args:
        bounds: of each agent.
    """

    def __init__(self, bounds: PerAgentConfig) -> None:
        self._bounds = bounds
        self._agents: OrderedDict[str, _Agent] = OrderedDict()

    def admit(self, agent: str, size: int, now: float) -> None:
        """Let a message in, or not.

        Args:
            agent: by its topic.
            size: bytes of its payload.
            now: monotonic seconds.

        Raises:
            Refused: the agent has sent more than it may.
        """
        bounds = self._bounds
        known = self._known(agent, now)
        gained = (now - known.filled_at) * bounds.messages_per_s
        known.tokens = min(float(bounds.burst_messages), known.tokens + gained)
        known.filled_at = now
        cost = 1 + size // _PART_BYTES
        if known.tokens < cost:
            raise Refused(
                f"this agent sends more than {bounds.messages_per_s} messages a second for long: "
                "is it taken over? packtap fleet revoke; if it may, raise [per_agent] of ingest",
                Why.RATE,
            )
        known.tokens -= cost

    def admit_series(self, item: Decoded, now_ms: int, now: float) -> None:
        """Let the series of a message in, or not.

        Args:
            item: a valid message.
            now_ms: this machine's UTC milliseconds; what the device says does not count.
            now: monotonic seconds.

        Raises:
            Refused: it would open one series too many for its agent and day.
        """
        known = self._known(item.topic.agent, now)
        day = now_ms // _DAY_MS
        if known.day != day:
            known.day = day
            known.origins.clear()
        message = item.message
        origin = (item.topic.site, item.topic.bus, message.pack, message.store)
        if origin in known.origins:
            return
        if len(known.origins) >= self._bounds.packs_per_day:
            raise Refused(
                f"pack {message.pack[:64]!r} at {origin[0]}/{origin[1]} would be more than "
                f"{self._bounds.packs_per_day} packs of this agent in one day: if that is so, "
                "raise per_agent.packs_per_day of ingest",
                Why.SERIES,
            )
        known.origins.add(origin)

    def _known(self, agent: str, now: float) -> _Agent:
        known = self._agents.get(agent)
        if known is None:
            if len(self._agents) >= _MOST_AGENTS:
                self._agents.popitem(last=False)  # the one that was silent longest
            known = self._agents[agent] = _Agent(float(self._bounds.burst_messages), now)
        self._agents.move_to_end(agent)
        return known
