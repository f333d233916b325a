"""Which queued messages are on their way, which wait and why; pure, time passed in, floor 3.

A message in the outbox is in one of these states; only the last two are kept here between two
connections::

    waiting -> in flight -> acknowledged -> settled (may leave the outbox)
                  |
                  +-> held with its topic: nobody takes it, or the broker refuses the topic
                  +-> set aside: the broker refuses this one, or connections die on it
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from packtap.wire import Topic

__all__ = ["Window"]

_FIRST_HOLD_S: Final = 1.0
_LONGEST_HOLD_S: Final = 60.0
#: Short at first: a network that broke three times with one message on it blames an innocent one.
_FIRST_ASIDE_S: Final = 5.0
_LONGEST_ASIDE_S: Final = 600.0
#: Connections that must end with the same message as the longest unanswered one, before the
#: message and not the network is to blame.
_STRIKES: Final = 3


@dataclass(frozen=True, slots=True)
class _Sent:
    seq: int
    topic: Topic
    at: float
    seqs: tuple[int, ...]  #: of a bundle all, `seq` first


@dataclass(slots=True)
class _Hold:
    until: float
    delay_s: float
    probe: int | None = None  #: seq of the one message that tries whether the topic goes again


class Window:
    """Bookkeeping of one outbox; `now` is in monotonic seconds.

    Args:
        size: messages in flight at most.
        settle_s: how long the connection must outlive an acknowledgement.
    """

    def __init__(self, size: int, settle_s: float) -> None:
        self.size = size
        self.after_seq = 0  #: the outbox has been looked through up to here
        self._settle_s = settle_s
        self._in_flight: dict[int, _Sent] = {}
        self._sent_seqs: set[int] = set()  # of all in flight
        self._acknowledged: dict[int, float] = {}
        self._holds: dict[Topic, _Hold] = {}
        self._aside: dict[int, float] = {}  # seq -> when it may be tried again
        self._asides: dict[int, float] = {}  # seq -> how long it last had to wait
        self._strikes: dict[int, int] = {}
        self._suspects: set[int] = set()  # were in a bundle on which something ended
        self.was_refused = False  #: something was, since the connection began

    def may_bundle(self, seq: int, topic: Topic) -> bool:
        """Tell whether this message, which may be sent, may travel with others."""
        return seq not in self._suspects and topic not in self._holds

    def messages_of(self, mid: int) -> int:
        """Return how many messages travel as MQTT message `mid`."""
        sent = self._in_flight.get(mid)
        return 0 if sent is None else len(sent.seqs)

    def _take(self, mid: int) -> _Sent | None:
        sent = self._in_flight.pop(mid, None)
        if sent is not None:
            self._sent_seqs.difference_update(sent.seqs)
        return sent

    @property
    def in_flight(self) -> int:
        """Messages sent and not answered yet."""
        return len(self._in_flight)

    @property
    def is_holding(self) -> bool:
        """Whether a topic or a message is kept back."""
        return bool(self._holds or self._aside)

    @property
    def room(self) -> int:
        """Messages that may be sent now."""
        return max(0, self.size - len(self._in_flight))

    def held(self, now: float) -> list[Topic]:
        """Return the topics of which nothing may be sent now."""
        return [
            topic
            for topic, hold in self._holds.items()
            if now < hold.until or hold.probe is not None
        ]

    def may_send(self, seq: int, topic: Topic, now: float) -> bool:
        """Tell whether this message waits, and nothing holds it."""
        if seq in self._acknowledged or seq in self._sent_seqs:
            return False
        if now < self._aside.get(seq, now):
            return False
        hold = self._holds.get(topic)
        return hold is None or (now >= hold.until and hold.probe is None)

    def sent(self, seq: int, topic: Topic, mid: int, now: float, also: Sequence[int] = ()) -> None:
        """Note that the message is on its way as MQTT message `mid`; `also`: bundled with it."""
        self._in_flight[mid] = _Sent(seq, topic, now, (seq, *also))
        self._sent_seqs.update((seq, *also))
        if topic in self._holds:
            self._holds[topic].probe = seq

    def acknowledged(self, mid: int, now: float) -> Topic | None:
        """Note that the broker has it; None if `mid` is not one of the messages in flight."""
        sent = self._take(mid)
        if sent is None:
            return None
        for seq in sent.seqs:
            self._acknowledged[seq] = now
            self._strikes.pop(seq, None)
            self._asides.pop(seq, None)
            self._suspects.discard(seq)
        if self._holds.pop(sent.topic, None) is not None:
            self.rewind()
        return sent.topic

    def hold(self, mid: int, now: float) -> Topic | None:
        """Keep the message and all of its topic for later.

        Returns:
            The topic; None if `mid` is not one of the messages in flight.
        """
        self.was_refused = True
        sent = self._take(mid)
        if sent is None:
            return None
        known = self._holds.get(sent.topic)
        if known is None:
            self._holds[sent.topic] = _Hold(now + _FIRST_HOLD_S, _FIRST_HOLD_S)
        elif known.probe == sent.seq:
            # Only the probe counts: the others of its window say nothing new.
            known.delay_s = min(2 * known.delay_s, _LONGEST_HOLD_S)
            known.until = now + known.delay_s
            known.probe = None
        return sent.topic

    def set_aside(self, mid: int, now: float) -> int | None:
        """Keep this one message for much later; return its seq."""
        self.was_refused = True
        sent = self._take(mid)
        if sent is None:
            return None
        if len(sent.seqs) > 1:
            # One of them is too much, or they are together: each is tried alone.
            self._suspects.update(sent.seqs)
            self.rewind()
            return sent.seq
        self.pass_over(sent.seq, now)
        hold = self._holds.get(sent.topic)
        if hold is not None and hold.probe == sent.seq:
            hold.probe = None
        return sent.seq

    def pass_over(self, seq: int, now: float) -> None:
        """Do not send this message for a while, longer each time."""
        delay_s = min(2 * self._asides.get(seq, _FIRST_ASIDE_S / 2), _LONGEST_ASIDE_S)
        self._asides[seq] = delay_s
        self._aside[seq] = now + delay_s

    def settled(self, heard_at: float) -> list[int]:
        """Return the seqs that may leave the outbox.

        Args:
            heard_at: when the broker was last heard from.
        """
        return [seq for seq, at in self._acknowledged.items() if at + self._settle_s <= heard_at]

    def removed(self, seqs: Iterable[int]) -> None:
        """Note that these have left the outbox."""
        for seq in seqs:
            self._acknowledged.pop(seq, None)

    def wants_word(self, heard_at: float, now: float) -> bool:
        """Tell whether only the broker's silence keeps a message from being settled."""
        oldest = next(iter(self._acknowledged.values()), now)
        return heard_at < oldest + self._settle_s <= now

    def waiting_since(self) -> float | None:
        """Return when the message was sent that has waited longest for its answer."""
        return next((sent.at for sent in self._in_flight.values()), None)

    def rewind(self) -> None:
        """Look through the outbox from its beginning again."""
        self.after_seq = 0

    def wake_holds(self, now: float) -> None:
        """Look again from the beginning if a held topic or message may be tried now."""
        due = [seq for seq, until in self._aside.items() if now >= until]
        for seq in due:
            del self._aside[seq]
        if due or any(hold.probe is None and now >= hold.until for hold in self._holds.values()):
            self.rewind()

    def lost(self, now: float) -> int | None:
        """Begin anew after a connection; what it had not settled waits again, what is held stays.

        Returns:
            The seq of a message that is set aside because connections keep dying on it.
        """
        oldest = next(iter(self._in_flight.values()), None)
        # Some brokers end the connection after a refusal: then the cause is known.
        is_suspect = oldest is not None and not self.was_refused
        self._begin_anew()
        if oldest is None or not is_suspect:
            return None
        if len(oldest.seqs) > 1:
            # Alone each can be told from the others.
            self._suspects.update(oldest.seqs)
            return None
        strikes = self._strikes.get(oldest.seq, 0) + 1
        self._strikes = {oldest.seq: strikes}
        if strikes < _STRIKES:
            return None
        # One strike short: next time the first dead connection suffices.
        self._strikes = {oldest.seq: _STRIKES - 1}
        self.pass_over(oldest.seq, now)
        return oldest.seq

    def forget(self) -> None:
        """Begin anew with another outbox: its seqs mean other messages."""
        self._begin_anew()
        self._holds.clear()
        self._aside.clear()
        self._asides.clear()
        self._strikes.clear()
        self._suspects.clear()

    def _begin_anew(self) -> None:
        self._in_flight.clear()
        self._sent_seqs.clear()
        self._acknowledged.clear()
        for hold in self._holds.values():
            hold.probe = None
        self.was_refused = False
        self.rewind()
