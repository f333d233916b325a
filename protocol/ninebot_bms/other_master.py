"""Tells whether somebody else asks the pack: then a bench must not send, floor 0.

The transmit pin of an ESC is push-pull: beside it two drivers fight. What gives another master
away, on whatever wire the adapter hears:

- A frame that no pack sent and that is not the echo of an own request. One is enough.
- Replies that nobody here asked for. An adapter on the wire of the pack's replies hears nothing
  else of a live ESC. Two of them close together are needed: one may be a stray.

Every own request accounts for one echo and one reply of its own, and for no more: so a foreign
knock or reply that looks like an own one is still found, since there are too many. A reply may be
seconds late (a tap on the network that hung), hence a request is remembered for that long.

The other master is taken for gone after 5 s without a sign of it, and after longer and longer
silences if it comes back soon. Time is passed in, in seconds.

Source: protocol.md sections 0 (late replies), 8 (an ESC polls every 210 ms) and 11 (two drivers).
"""

from collections import deque
from collections.abc import Hashable
from math import inf
from typing import Final

from ninebot_bms.frames import Frame
from ninebot_bms.pairing import reply_key, request_key

__all__ = ["OtherMaster"]

_ECHO_S: Final = 1.0  # a slow adapter returns a request that late
_REPLY_S: Final = 5.0  # a reply that comes later is nobody's
_TWICE_S: Final = 2.0  # two replies that nobody asked for, within this time
_QUIET_S: Final = 5.0  # without a sign for this long it is taken for gone
_LONGEST_QUIET_S: Final = 60.0  # the silence doubles up to this
_FORGIVEN_S: Final = 60.0  # gone for this long, it begins with the shortest silence again


class _Expected:
    """Answers that own requests account for: one each, within a time."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._since: dict[Hashable, deque[float]] = {}  # bounded: requests come 20 ms apart

    def add(self, key: Hashable, now: float) -> None:
        waiting = self._since.setdefault(key, deque())
        self._drop_old(waiting, now)
        waiting.append(now)

    def take(self, key: Hashable, now: float) -> bool:
        """Return whether one was expected; it is not any more."""
        waiting = self._since.get(key, deque())
        self._drop_old(waiting, now)
        if not waiting:
            return False
        waiting.popleft()
        return True

    def _drop_old(self, waiting: deque[float], now: float) -> None:
        while waiting and now - waiting[0] > self._within_s:
            waiting.popleft()


class OtherMaster:
    """Watches one line for a master beside us."""

    def __init__(self) -> None:
        self.requests = 0  #: frames so far that neither we nor a pack sent
        self.replies = 0  #: so far, of a pack, that we did not ask for
        self.silent_until = -inf  #: seconds; before, nothing may be sent
        self._echoes = _Expected(_ECHO_S)
        self._answers = _Expected(_REPLY_S)
        self._last_reply = -inf  # the last one that we did not ask for
        self._quiet_s = _QUIET_S

    def note_sent(self, request: Frame, now: float) -> None:
        """Take an own request into account."""
        self._echoes.add(request, now)
        self._answers.add(request_key(request), now)

    def is_echo(self, frame: Frame, now: float) -> bool:
        """Return whether it is an own request that came back."""
        return self._echoes.take(frame, now)

    def receive_frame(self, frame: Frame, now: float) -> bool:
        """Take a frame that is no echo; return whether it gives another master away."""
        if not frame.is_from_bms:
            self.requests += 1
        elif self._answers.take(reply_key(frame), now):
            return False
        else:
            self.replies += 1
            is_first = now - self._last_reply > _TWICE_S
            self._last_reply = now
            if is_first and now >= self.silent_until:
                return False
        self._keep_silent(now)
        return True

    def _keep_silent(self, now: float) -> None:
        if now >= self.silent_until:
            # It has come, or come back.
            is_soon = now - self.silent_until < _FORGIVEN_S
            self._quiet_s = min(2 * self._quiet_s, _LONGEST_QUIET_S) if is_soon else _QUIET_S
        self.silent_until = now + self._quiet_s
