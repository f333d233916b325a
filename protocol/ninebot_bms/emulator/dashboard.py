"""The one-wire bus between dashboard and ESC, for demonstrations and tests, floor 0.

What a real M365 does there, measured from m365_dash_app (1214 frames, start and end of each):

- The dashboard speaks every 19.857 ms, always with one frame: 0x65 (throttle, brake), every fifth
  time 0x64. It keeps to that grid, but one frame in twenty comes 0.7..3 ms later, never earlier;
  and now and then ten in a row come 0.2 ms later each, after which the grid stays shifted.
- The ESC answers 0x64 within 0.2 ms, then sends one byte every 0.2 ms, not every 0.087 ms: so its
  twelve bytes are complete 2.4 ms after the dashboard's, its longest answer (40 bytes) after 8 ms.
- What the phone asks takes the place of a frame in the grid; the frame after it is a 0x64. On the
  battery page that is a read of the pack every third frame, on the ride page a 0x61 every fifth.
- The ESC relays a read of the pack: it repeats it on the pack's own wires (0.78 ms), takes the
  whole answer in, and sends it on, again a byte every 0.2 ms: 1.0 ms + 0.287 ms a byte from the
  end of the question to the end of the answer. It asks the pack for itself every 209.5 ms.
- Nobody listens before speaking: a late answer of the pack runs into the dashboard's next frame
  (2 of 30 reads of the phone end so), and both are lost. The phone asks again after half a second.
- The pack is busy for 35 ms twice in 200.45 ms, and answers late then (see `Busy`).

Ninebot dashboards do the same in their own framing; no recording says so, it is assumed. Sans-IO,
seeded, deterministic: `now` is seconds, never running back.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ninebot_bms._encoding import encode
from ninebot_bms.emulated_esc import AppRead
from ninebot_bms.emulator.pack import EmulatedPack
from ninebot_bms.emulator.wire import OneWire, Transmission
from ninebot_bms.framer import Framer
from ninebot_bms.frames import BMS, DASHBOARD, ESC, Dialect, Frame
from ninebot_bms.pairing import BYTE_S

__all__ = ["RIDE_PAGE", "DashTiming", "EmulatedDashboard"]

_ANSWER_S: Final = 0.0002
_PACE_S: Final = 0.0002  # of the ESC on this wire
_RELAY_S: Final = 0.00078  # nine bytes on the pack's wires
_ESC_POLL_S: Final = 0.2095
_PATIENCE_S: Final = 0.1  # then the ESC does not wait for the pack any more
_DROP_S: Final = 0.005  # without a byte for this long nodes drop half a frame
_APP_PATIENCE_S: Final = 0.5
_PHONE: Final = 0x3E

#: What the phone reads of the ESC while it shows the ride page.
RIDE_PAGE: Final = (AppRead(0xB0, 32), AppRead(0x23, 6), AppRead(0x3A, 4), AppRead(0x7C, 2))


@dataclass(frozen=True, slots=True)
class DashTiming:
    """How regular the dashboard is."""

    period_s: float = 0.019857
    late_share: float = 0.05  #: of its frames
    late_s: tuple[float, float] = (0.0007, 0.0030)
    shift_every_s: float = 5.0  #: on average, from one slow stretch to the next; 0: never
    shift_frames: int = 10
    shift_s: float = 0.0002


@dataclass(slots=True, eq=False)
class _Job:
    """A request that the ESC has for the pack."""

    request: bytes
    is_relayed: bool
    is_ours: bool = False
    began: float | None = None


class EmulatedDashboard:
    """Dashboard, ESC, pack and perhaps a phone, and the wire between the first two.

    Args:
        pack: the pack behind the ESC; give it `busy=Busy()` to be like the recorded one.
        dialect: what they speak.
        app: the phone reads these, round robin: `PHONE_READS` (of the pack: the battery page) or
            `RIDE_PAGE`; empty: no phone. It may be changed at any time.
        app_reads_esc: these reads are of the ESC (0x61), not of the pack.
        timing: how regular the dashboard is.
        noise: share of the transmissions of which one bit is damaged on the wire, 0..1.
        seed: of everything that is left to chance.
    """

    def __init__(
        self,
        pack: EmulatedPack,
        dialect: Dialect = Dialect.XIAOMI,
        *,
        app: Sequence[AppRead] = (),
        app_reads_esc: bool = False,
        timing: DashTiming | None = None,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.frames = 0  #: of dashboard and ESC, without what packtap caused
        self.disturbed = 0  #: of these, met on the wire by what packtap sent or caused
        self.clashes = 0  #: of these, met by each other: late answers to the phone
        self.asked = 0  #: questions of packtap
        self.collided = 0  #: of these, met on the wire by anything
        self.relayed = 0  #: answers of the pack to packtap
        self.app_answers = 0  #: answers of the pack or of the ESC that the phone got
        self.is_on = True  #: the dashboard speaks
        self._pack = pack
        self._dialect = dialect
        self.app = tuple(app)
        self._app_reads_esc = app_reads_esc
        self._timing = timing or DashTiming()
        self._noise = noise
        self._random = random.Random(seed)  # noqa: S311 - a bus, not a secret
        self._wire = OneWire()
        self._framer = Framer()
        self._last_byte = 0.0
        self._heard: deque[tuple[float, int]] = deque()  # not read by packtap yet
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._now = 0.0
        self._slot = 0
        self._grid = 0.0
        self._shifting = 0
        self._asks_64 = False
        self._app_next = 0
        self._app_at = 0.0
        self._app_waits: AppRead | None = None
        self._esc_free_at = 0.0
        self._jobs: deque[_Job] = deque()
        self._ours: list[bytes] = []  # packtap's requests that the ESC has not relayed yet
        self._at(self._random.uniform(0, self._timing.period_s), self._speak)
        self._at(self._random.uniform(0, _ESC_POLL_S), self._poll)

    def send(self, data: bytes, now: float) -> None:
        """Let packtap's transmitter begin to send at `now`."""
        self.step(now)
        self._ours.append(bytes(data))
        question = self._transmit("packtap", data, now, is_ours=True)
        self._at(question.end, lambda _: self._count_ours(question))

    def shout(self, data: bytes, now: float) -> None:
        """Let another transmitter talk over whatever is on the wire: a forced collision."""
        self.step(now)
        self._transmit("shout", data, now, is_foreign=False)

    def step(self, now: float) -> None:
        """Let it be `now`."""
        while self._events and self._events[0][0] <= now:
            at, _, act = heapq.heappop(self._events)
            self._now = at
            act(at)
        self._now = max(self._now, now)

    def read(self, now: float) -> bytes:
        """Return what an adapter has heard since the last time, its own sending too."""
        self.step(now)
        self._listen(now)
        data = bytearray()
        while self._heard and self._heard[0][0] <= now:
            data.append(self._heard.popleft()[1])
        return bytes(data)

    def wake_at(self) -> float:
        """Return when something happens next."""
        return self._events[0][0]

    # The dashboard.

    def _speak(self, now: float) -> None:
        timing = self._timing
        self._slot += 1
        self._grid = max(self._grid, now) + timing.period_s
        if timing.shift_every_s and self._shifting == 0:
            share = timing.period_s / timing.shift_every_s
            self._shifting = timing.shift_frames if self._random.random() < share else 0
        if self._shifting:
            self._shifting -= 1
            self._grid += timing.shift_s
        late_s = 0.0
        if self._random.random() < timing.late_share:
            late_s = self._random.uniform(*timing.late_s)
        self._at(self._grid, self._speak)
        if self.is_on:
            self._at(now + late_s, self._say)

    def _say(self, now: float) -> None:
        if (read := self._app_read(now)) is not None:
            self._asks_64 = True
            if self._app_reads_esc:
                payload = bytes((read.size, 2, 0x26, 0x27))
                frame = self._frame(DASHBOARD, ESC, 0x61, read.index, payload)
            else:
                frame = self._frame(_PHONE, BMS, 0x01, read.index, bytes((read.size,)))
        elif self._asks_64 or self._slot % 5 == 0:
            self._asks_64 = False
            payload = bytes.fromhex("06262700007200")
            frame = self._frame(DASHBOARD, ESC, 0x64, 0x00, payload)
        else:
            frame = self._frame(DASHBOARD, ESC, 0x65, 0x00, bytes.fromhex("0426270000"))
        self._transmit("dash", encode(frame), now)

    def _app_read(self, now: float) -> AppRead | None:
        if not self.app or now < self._app_at:
            return None
        if self._app_waits is None:
            self._app_waits = self.app[self._app_next % len(self.app)]
            self._app_next += 1
        self._app_at = now + _APP_PATIENCE_S
        return self._app_waits

    def _app_hears(self, frame: Frame, now: float) -> None:
        waits = self._app_waits
        if waits is not None and frame.index == waits.index and len(frame.payload) == waits.size:
            self.app_answers += 1
            self._app_waits = None
            slots = 5 if self._app_reads_esc else 3
            asked = self._app_at - _APP_PATIENCE_S
            self._app_at = max(now, asked + (slots - 0.5) * self._timing.period_s)

    # The ESC.

    def _esc_hears(self, frame: Frame, now: float) -> None:
        if frame.target == ESC and frame.command == 0x64:
            answer = self._frame(ESC, DASHBOARD, 0x64, 0x00, bytes.fromhex("02040000"))
            self._esc_sends(encode(answer), now + _ANSWER_S)
        elif frame.target == ESC and frame.command == 0x61 and frame.payload:
            payload = bytes(frame.payload[0])
            answer = self._frame(ESC, _PHONE, 0x01, frame.index, payload, is_reply=True)
            self._esc_sends(encode(answer), now + _ANSWER_S)
        elif frame.target == BMS and frame.is_read_request:
            is_ours = frame.raw in self._ours
            if is_ours:
                self._ours.remove(frame.raw)
            self._jobs.append(_Job(frame.raw, True, is_ours))
            self._ask_pack(now)

    def _esc_sends(self, data: bytes, now: float, *, is_ours: bool = False) -> None:
        start = max(now, self._esc_free_at)
        self._esc_free_at = start + len(data) * _PACE_S

        def send(at: float) -> None:
            self._transmit("esc", data, at, pace_s=_PACE_S, is_ours=is_ours)

        self._at(start, send)

    def _poll(self, now: float) -> None:
        self._at(now + _ESC_POLL_S, self._poll)
        if self.is_on:
            poll = self._frame(ESC, BMS, 0x01, 0x30, bytes((12,)))
            self._jobs.append(_Job(encode(poll), False))
            self._ask_pack(now)

    def _ask_pack(self, now: float) -> None:
        """Ask the next question, if the one before is done with."""
        while self._jobs:
            job = self._jobs[0]
            if job.began is None:
                job.began = now
                self._pack.receive_data(job.request, now + _RELAY_S)
                self._at(now + _PATIENCE_S, self._ask_pack)
            due = self._pack.wake_at(now)
            if (answer := self._pack.next_send(now)) is not None:
                self._jobs.popleft()
                if job.is_relayed:
                    self.relayed += job.is_ours
                    self._esc_sends(answer, now, is_ours=job.is_ours)
            elif now >= job.began + _PATIENCE_S:
                self._jobs.popleft()
            else:
                if due < job.began + _PATIENCE_S:
                    self._at(due, self._ask_pack)
                return

    # The wire.

    def _transmit(
        self,
        sender: str,
        data: bytes,
        now: float,
        *,
        pace_s: float = BYTE_S,
        is_ours: bool = False,
        is_foreign: bool = True,
    ) -> Transmission:
        if self._random.random() < self._noise:
            at = self._random.randrange(len(data))
            damaged = data[at] ^ 1 << self._random.randrange(8)
            data = data[:at] + bytes((damaged,)) + data[at + 1 :]
        transmission = Transmission(sender, data, now, pace_s, is_ours)
        self._wire.send(transmission)
        # What has overlapped is known when it has ended.
        self._at(transmission.end, self._listen)
        if is_foreign and not is_ours:
            self._at(transmission.end, lambda _: self._count(transmission))
        return transmission

    def _count_ours(self, question: Transmission) -> None:
        self.asked += 1
        self.collided += bool(question.met)

    def _count(self, transmission: Transmission) -> None:
        self.frames += 1
        self.disturbed += any(other.is_ours for other in transmission.met)
        self.clashes += any(not other.is_ours for other in transmission.met)

    def _listen(self, now: float) -> None:
        """Let all nodes hear what is on the wire by now."""
        for end, value in self._wire.take(now):
            if end - self._last_byte > _DROP_S:
                self._framer.close()  # what is half a frame is dropped, and what it has hidden
            self._last_byte = end
            self._heard.append((end, value))
            for found in self._framer.receive_data(bytes((value,))):
                if isinstance(found, Frame):
                    self._esc_hears(found, now)
                    if found.source in (ESC, BMS):
                        self._app_hears(found, now)

    def _frame(
        self,
        source: int,
        target: int,
        command: int,
        index: int,
        payload: bytes,
        *,
        is_reply: bool = False,
    ) -> Frame:
        if self._dialect is Dialect.NINEBOT:
            command = 0x04 if is_reply else command
            return Frame(self._dialect, source, target, command, index, payload)
        # Xiaomi frames name one of the two; what the ESC sends the dashboard by itself, the target.
        if is_reply:
            return Frame(self._dialect, source, None, command, index, payload)
        return Frame(self._dialect, None, target, command, index, payload)

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, act))
