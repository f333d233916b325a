"""What the lateness of a reply on a dashboard's wire tells of the pack's rhythm, floor 0.

A reply at once says that the pack was not busy; a late one, when it became free. One in between
says nothing: the ESC may just have asked the pack for itself.

Source: m365_dash_app, 30 reads of a phone and their replies.
"""

from typing import Final

from ninebot_bms.frames import Frame
from ninebot_bms.pack_rhythm import Rhythm
from ninebot_bms.placing import RELAY_S, Placing

__all__ = ["answers", "learn"]

_PROMPT_S: Final = 0.0012
_LATE_S: Final = 0.0035  # between the two the ESC may just have asked for itself
_WAITED_S: Final = 0.0085  # the ESC's longest answer to the dashboard


def answers(reply: Frame, request: Frame) -> bool:
    """Is this the reply to that read?"""
    return reply.index == request.index and len(reply.payload) == request.requested_size


def learn(
    rhythm: Rhythm,
    placing: Placing,
    *,
    asked: float,
    replied: float,
    payload: int,
    has_spoken: bool,
) -> None:
    """Tell the rhythm whether a reply came at once.

    Args:
        rhythm: of the pack.
        placing: knows how long a reply at once takes.
        asked: end of the question on this wire, seconds.
        replied: end of the reply.
        payload: bytes of it.
        has_spoken: the dashboard has, in between; the reply may have waited for the ESC's answer.
    """
    late_s = replied - placing.reply_at(asked, payload)
    if late_s < _PROMPT_S:
        reached = asked + RELAY_S
        rhythm.note_prompt(reached, reached + max(0.0, late_s))
    elif late_s > _LATE_S:
        rhythm.note_late(replied - placing.relay_s(payload), _WAITED_S if has_spoken else 0.0)
