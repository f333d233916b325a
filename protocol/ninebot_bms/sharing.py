"""Reads a pack from the dashboard's wire while the scooter is complete, floor 0.

Dashboard and ESC talk on one open-drain wire; the ESC relays reads of the pack and its replies.
Nobody there listens before speaking, so whoever joins must know when the others will speak, and be
silent then. Sans-IO: the caller owns the port and the clock (`now`, seconds, never running back).

- Nothing is sent before the dashboard's grid is understood (fifty frames, see `dashboard_beat`),
  the ESC has answered it, and what is heard is intact but for a few frames in a hundred.
- A read is placed in the quiet gap behind a frame, when question and reply fit before the next
  frame. One that does not fit is split into smaller ones. At most two a second.
- A pack that is busy replies late. When it will be busy is learned (see `pack_rhythm`), and
  nothing is asked whose late reply could meet somebody's frame.
- That can only be learned from replies. No moment is safe for a first question of ours: a busy time
  is longer than the dashboard's pause, so one in twenty would cost a frame. The first questions are
  the phone's: until its reads (the battery page of the app, half a minute) have told enough,
  nothing is asked.
- While the phone's own question to the pack has no reply, nothing is asked.
- Every byte comes back on one wire. An echo that differs is a collision: asking is left off, for
  longer each time (see `restraint`).

What cannot be promised: a dashboard that speaks earlier than it ever has; a pack that changes its
ways; a caller that sends later than `Ask.not_after`.

Source: m365_dash_app; protocol.md sections 1, 8 and 11.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from ninebot_bms.commands import read_request
from ninebot_bms.dashboard_beat import Beat
from ninebot_bms.frame_times import FrameTimes, Timed
from ninebot_bms.framer import Reject
from ninebot_bms.frames import DASHBOARD, ESC, Dialect, Frame, parse_frame
from ninebot_bms.observer import Observer
from ninebot_bms.pack_rhythm import Rhythm
from ninebot_bms.pairing import BusEvent, asks_pack
from ninebot_bms.placing import PROBE_SIZE, Placing
from ninebot_bms.polls import Poll
from ninebot_bms.reply_lateness import answers, learn
from ninebot_bms.restraint import Restraint
from ninebot_bms.shared_reads import SHARED_POLLS, Agenda, Outstanding, Read
from ninebot_bms.sharing_state import TROUBLES, SharingState

__all__ = ["Ask", "Sharing"]

_LINE: Final = "dash"
_QUIET_S: Final = 0.0005  # behind a frame that nobody answers
_STEP_S: Final = 0.5  # at most two questions a second
_HOLD_S: Final = 0.6  # so long a read waits while a probe would tell more
_LOOK_S: Final = 0.0007  # between two looks at one gap
_ECHO_S: Final = 0.015
_REPLY_S: Final = 0.1
_ANSWER_S: Final = 0.012  # an ESC that has not answered by then does not
_FOREIGN_S: Final = 0.06  # the same of a pack that the phone asked
_STILL_S: Final = 0.005  # a false header must not hold a frame back
_SHOWN_S: Final = 1.0  # a frame of others that was lost is no news
_SILENT_S: Final = 2.0
_GONE_S: Final = 5.0  # then another scooter, or another pack, may be there
#: What the ESC answers: 0x64 with its state, 0x61 and 0x01 with registers.
_ANSWERED: Final = frozenset({0x01, 0x61, 0x64})


@dataclass(frozen=True, slots=True)
class Ask:
    """A read request, and until when it may be sent."""

    data: bytes
    not_after: float  #: seconds; a first byte later than this would be in somebody's way


class Sharing:
    """A guest on a dashboard's wire.

    Args:
        polls: what to read; of those that are due the longest overdue comes first.
        seed: of the length of back-offs; None: from the system.
    """

    def __init__(self, polls: Sequence[Poll] = SHARED_POLLS, seed: int | None = None) -> None:
        self.asked = 0  #: questions so far
        self._polls = tuple(polls)
        self._restraint = Restraint(seed)
        self._observer = Observer(lines=(_LINE,))
        self._began: float | None = None
        self._last_sent = -inf
        self._forget()

    def _forget(self) -> None:
        """Know nothing of the scooter: what was learned may be of another one."""
        self._times = FrameTimes()
        self._meet(None)
        self._agenda = Agenda(self._polls)
        self._outstanding: Outstanding | None = None
        self._last_data = -inf
        self._last_reply = -inf
        self._looked_at = -inf

    def _meet(self, dialect: Dialect | None) -> None:
        """Begin to learn from a dashboard that speaks this dialect."""
        self._dialect = dialect
        self._beat = Beat()
        self._rhythm = Rhythm()
        self._surprises = 0
        self._understood_at = -inf
        self._placing = Placing(self._beat, self._rhythm, dialect or Dialect.XIAOMI)
        self._asked_by_phone: Timed | None = None  # a question to the pack without a reply
        self._question: Timed | None = None  # of the dashboard to the ESC, without an answer
        self._has_spoken = False  # the dashboard, since the pack was asked last
        self._is_behind_ours = False  # its next frame comes behind a question of ours
        self._is_damaged = False  # the reply to that question

    @property
    def collisions(self) -> int:
        """Own questions that did not come back as they were sent."""
        return self._restraint.collisions

    @property
    def backoffs(self) -> int:
        """Times that asking was left off for seconds or minutes."""
        return self._restraint.backoffs

    def state(self, now: float) -> SharingState:
        """Return what is being done about asking."""
        if now < self._restraint.silent_until:
            is_resting = self._restraint.is_resting
            return SharingState.RESTING if is_resting else SharingState.BACKING_OFF
        if self._began is not None and now - max(self._last_data, self._began) > _SILENT_S:
            return SharingState.SILENT_BUS
        if self._is_understood(now):
            self._understood_at = now
        elif now - self._understood_at > _SHOWN_S:
            return SharingState.LISTENING
        if not self._rhythm.is_proven or self._placing.is_lost:
            return SharingState.WAITING
        return SharingState.ASKING

    def trouble(self, now: float) -> str | None:
        """Return why nothing is asked, for people; None if all is well or will soon be."""
        state = self.state(now)
        if state is SharingState.LISTENING:
            return self._restraint.trouble
        if state is SharingState.RESTING:
            return self._restraint.reason
        return TROUBLES.get(state)

    def restart(self, now: float) -> None:
        """Note that the line was opened anew: whoever is there now, understand first."""
        self._forget()
        self._began = now

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> list[BusEvent]:
        """Take bytes from the line; `now` is when the read ended.

        Returns:
            what happened since the last call, own questions (as their echo) included, on line
            "dash".
        """
        self._expire(now)
        if data:
            if now - self._last_data > _GONE_S > 0 and self._last_data > -inf:
                self._forget()
            self._last_data = now
        for timed in self._times.receive_data(data, now):
            self._take(timed, now)
        return self._observer.receive_data(data, _LINE, now)

    def idle(self, now: float) -> list[BusEvent]:
        """Let time pass, and return what happened since the last call."""
        self._expire(now)
        return self._observer.idle(now)

    def next_send(self, now: float) -> Ask | None:
        """Return the read to send now, or None. What is returned counts as sent."""
        self._expire(now)
        self._looked_at = now
        if self._dialect is None or not self._may_ask(now):
            return None
        read = self._choose(now)
        if read is None:
            return None
        raw = read_request(self._dialect, read.index, read.size)
        self._outstanding = Outstanding(read, parse_frame(raw), now, self._last_sent)
        self._is_behind_ours = True
        self._is_damaged = False
        self._last_sent = now
        self.asked += 1
        return Ask(raw, now + self._placing.window_s)

    def take_back(self, now: float) -> None:
        """Note that the last question was not sent: the moment had passed, or the line is gone."""
        asked = self._outstanding
        if asked is not None:
            self._fail(asked, now)
            self._is_behind_ours = False
            self._last_sent = asked.before
            self.asked -= 1

    def wake_at(self, now: float) -> float:
        """Return when to call `next_send` again if nothing is received, never before `now`."""
        if self._outstanding is not None:
            return max(now, self._outstanding.decided + _ECHO_S)
        if not self._is_understood(now) or not self._placing.fits(PROBE_SIZE, now):
            return inf  # the next frame will be heard
        soonest = max(self._restraint.silent_until, self._last_sent + _STEP_S)
        return max(now, soonest, self._last_data + _QUIET_S, self._looked_at + _LOOK_S)

    # When, and what.

    def _is_understood(self, now: float) -> bool:
        return (
            self._beat.is_understood(now)
            and self._beat.pace_s is not None
            and self._restraint.trouble is None
        )

    def _may_ask(self, now: float) -> bool:
        """Is this moment in a gap, and nobody waits for an answer?"""
        return (
            self._outstanding is None
            and now >= self._restraint.silent_until
            and now - self._last_sent >= _STEP_S
            and now - self._last_data >= _QUIET_S
            # Behind half a frame a question would be taken for its other half.
            and self._times.pending == 0
            and self._is_understood(now)
            and (self._question is None or now - self._question.end >= _ANSWER_S)
            and (self._asked_by_phone is None or now - self._asked_by_phone.end >= _FOREIGN_S)
        )

    def _choose(self, now: float) -> Read | None:
        """Find a read that fits here and disturbs nobody."""
        if not self._rhythm.is_proven:
            return None
        if self._rhythm.wants_to_hear(now):
            if self._placing.is_probe_due(now):
                return self._agenda.probe
            if now - self._last_sent < _HOLD_S:
                return None
        for read in self._agenda.wanted(now, self._placing.longest):
            if self._placing.is_safe(read.size, now):
                self._agenda.begin(read, now, self._placing.longest)
                return read
        return None

    # What was heard.

    def _expire(self, now: float) -> None:
        """Do what is due because time has passed."""
        if self._began is None:
            self._began = now
        if now - self._last_data >= _STILL_S:
            for timed in self._times.idle():
                self._take(timed, now)
        asked = self._outstanding
        if asked is None:
            return
        if asked.echoed is None and now - asked.decided > _ECHO_S:
            self._fail(asked, now)
            self._restraint.note_collision(now, is_silence=self._last_data <= asked.decided)
        elif now - asked.decided > _REPLY_S:
            self._fail(asked, now)
            asked.read.task.fail(now, self._last_reply)
            self._restraint.note_unanswered(now)

    def _fail(self, asked: Outstanding, now: float) -> None:
        """Give the outstanding question up, to be asked again."""
        self._agenda.repeat(asked.read, now)
        self._outstanding = None

    def _take(self, timed: Timed, now: float) -> None:
        item = timed.item
        asked = self._outstanding
        if isinstance(item, Reject):
            if asked is not None and timed.end > asked.decided:
                self._fail(asked, now)
                if asked.echoed is None:
                    self._restraint.note_collision(now, is_silence=False)
                else:
                    self._is_damaged = True
                    self._restraint.note_damage(now)
        elif asked is not None and asked.echoed is None and item.raw == asked.frame.raw:
            asked.echoed = timed.end
            self._has_spoken = False
            self._placing.note_echo(asked.decided, timed.end)
            self._restraint.note_echo()
        elif item.is_from_bms:
            self._take_reply(item, timed, now)
        elif item.source == ESC or item.target == DASHBOARD:
            if self._question is not None:
                self._beat.receive_answer(self._question.end, timed.end, len(item.raw))
            self._question = None
        else:
            self._take_dashboard(item, timed, now)

    def _take_dashboard(self, frame: Frame, timed: Timed, now: float) -> None:
        if frame.dialect is not self._dialect:
            self._meet(frame.dialect)
        lost = self._beat.receive_frame(timed.start)
        if lost and self._is_behind_ours and self._is_damaged:
            # A late reply has met the frame: what was thought of the pack's rhythm is wrong.
            self._rhythm.start_over()
            self._surprises = self._rhythm.surprises
        self._restraint.note_frames(now, lost, is_behind_ours=self._is_behind_ours)
        self._is_behind_ours = False
        self._has_spoken = True
        self._question = None
        if asks_pack(frame):
            self._asked_by_phone = timed
            self._has_spoken = False
        elif frame.command in _ANSWERED:
            self._question = timed

    def _take_reply(self, frame: Frame, timed: Timed, now: float) -> None:
        asked = self._outstanding
        phone = self._asked_by_phone
        if asked is not None and asked.echoed is not None and answers(frame, asked.frame):
            self._outstanding = None
            self._last_reply = now
            self._restraint.note_clean()
            if asked.read.is_last:
                asked.read.task.succeed()
            self._learn(asked.echoed, timed.end, len(frame.payload))
            if self._rhythm.surprises > self._surprises:
                self._restraint.note_surprise(now)
        elif phone is not None:
            self._asked_by_phone = None
            if isinstance(phone.item, Frame) and answers(frame, phone.item):
                self._learn(phone.end, timed.end, len(frame.payload))
        # A surprise with the phone's question is none of our doing.
        self._surprises = self._rhythm.surprises

    def _learn(self, asked: float, replied: float, payload: int) -> None:
        if self._beat.pace_s is not None:
            learn(
                self._rhythm,
                self._placing,
                asked=asked,
                replied=replied,
                payload=payload,
                has_spoken=self._has_spoken,
            )
