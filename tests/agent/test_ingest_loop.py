"""The three fates, against a broker and a store that misbehave on a script."""

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from packtap.config import PerAgentConfig
from packtap.ingest.dead_letter import DeadLetters
from packtap.ingest.gate import Gate
from packtap.ingest.loop import Ingest
from packtap.ingest.sinks import Decoded, KeptForLater, Refused, Tally, TooLarge, Why
from packtap.ingest.stats import Stats, log_difference
from packtap.ingest.subscription import Delivery, Limits
from packtap.wire import bundle

NOW = 1763800100000
DEADLINE_S = 30.0


class Broker:
    """Hands out what it is given in one batch at a time, and remembers acknowledgements."""

    def __init__(self) -> None:
        self.connected = True
        self.overrun = 0
        self.connection = 1
        self.acknowledged: list[int] = []
        self._batches: list[list[Delivery]] = []
        self._changed = threading.Condition()

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def deliver(self, *payloads: bytes, kind: str = "readings", agent: str = "tap-01") -> None:
        topic = f"packtap/v1/workshop/{agent}/main/{kind}"
        with self._changed:
            batch = [
                Delivery(self.connection, mid, 1, topic, payload)
                for mid, payload in enumerate(payloads, start=1)
            ]
            self._batches.append(batch)
            self._changed.notify_all()

    def lose_connection(self) -> None:
        with self._changed:
            self.connection += 1

    def take(self, limits: Limits) -> list[Delivery]:
        with self._changed:
            self._changed.wait_for(lambda: self._batches, timeout=0.05)
            return self._batches.pop(0) if self._batches else []

    def is_current(self, delivery: Delivery) -> bool:
        return delivery.connection == self.connection

    def acknowledge(self, delivery: Delivery) -> bool:
        if not self.is_current(delivery):
            return False
        self.acknowledged.append(delivery.mid)
        return True


class Store:
    """Answers each write as the script says; remembers what it was given and what it has."""

    def __init__(self, answer: Callable[[list[int]], None] = lambda seqs: None) -> None:
        self.answer = answer
        self.writes: list[list[int]] = []
        self.has: list[int] = []
        self.noted: dict[str, dict[Why, int]] = {}

    def write(self, batch: Sequence[Decoded]) -> None:
        seqs = [item.message.seq for item in batch]
        self.writes.append(seqs)
        self.answer(seqs)
        self.has += seqs

    def note(self, ingest: str, refused: Tally, t_ms: int) -> None:
        self.noted = {agent: dict(counts) for agent, counts in refused.items()}

    def close(self) -> None: ...


def _message(seq: int, ahead_ms: int = 0) -> bytes:
    return json.dumps(
        {
            "v": 1,
            "agent": "tap-01",
            "bus": "main",
            "pack": "p",
            "store": "s",
            "boot": "b",
            "seq": seq,
            "t": [NOW - 1000 + seq + ahead_ms],
            "columns": {"soc_pct": [seq]},
        }
    ).encode()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    return tmp_path / "letters" / "dead.jsonl"


@pytest.fixture
def ingest(broker: Broker, store: Store, letters: Path) -> Iterator[Ingest]:
    made = Ingest(broker, store, DeadLetters(letters, 2**20), now_ms=lambda: NOW)
    made.start()
    yield made
    assert made.running
    assert made.stop()


def _until(probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_stored_messages_are_acknowledged_in_the_order_of_arrival(
    broker: Broker, store: Store, ingest: Ingest
) -> None:
    broker.deliver(*map(_message, (3, 1, 2)))
    _until(lambda: len(broker.acknowledged) == 3)
    assert broker.acknowledged == [1, 2, 3]
    assert store.writes == [[3, 1, 2]]
    assert (ingest.stats().stored, ingest.stats().readings) == (3, 3)


def test_nothing_is_acknowledged_before_the_store_has_it(
    broker: Broker, store: Store, ingest: Ingest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    seen_acknowledged: list[int] = []

    def answer(_seqs: list[int]) -> None:
        seen_acknowledged.append(len(broker.acknowledged))
        if len(store.writes) < 3:
            raise KeptForLater("the store answers 503", "wait for it")

    store.answer = answer
    broker.deliver(*map(_message, (1, 2)))
    _until(lambda: len(broker.acknowledged) == 2)
    assert seen_acknowledged == [0, 0, 0]
    assert store.writes == [[1, 2], [1, 2], [1, 2]]
    assert ingest.stats().retries == 2
    told = [record.getMessage() for record in caplog.records]
    assert [line.startswith("the store: ") for line in told] == [True, True]
    assert "503; wait for it. 2 messages wait here" in told[0]
    assert "works again" in told[1]


def test_refused_batch_is_written_one_by_one_so_that_only_the_guilty_message_goes(
    broker: Broker, store: Store, ingest: Ingest, letters: Path
) -> None:
    def answer(seqs: list[int]) -> None:
        if 2 in seqs:
            raise Refused("field type conflict")

    store.answer = answer
    broker.deliver(*map(_message, (1, 2, 3)))
    _until(lambda: len(broker.acknowledged) == 3)
    assert store.writes == [[1, 2, 3], [1], [2], [3]]
    assert store.has == [1, 3]
    (letter,) = map(json.loads, letters.read_text().splitlines())
    assert letter["reason"] == "field type conflict"
    assert json.loads(letter["payload"])["seq"] == 2
    assert ingest.stats().refused == 1


def test_single_refused_message_is_never_tried_again(
    broker: Broker, store: Store, ingest: Ingest, letters: Path
) -> None:
    def answer(_seqs: list[int]) -> None:
        raise Refused("partial write")

    store.answer = answer
    broker.deliver(_message(1))
    _until(lambda: broker.acknowledged == [1])
    assert store.writes == [[1]]
    assert len(letters.read_text().splitlines()) == 1


def test_batch_that_is_too_large_is_halved_until_it_fits(
    broker: Broker, store: Store, ingest: Ingest, letters: Path
) -> None:
    def answer(seqs: list[int]) -> None:
        if len(seqs) > 1 or seqs == [4]:
            raise TooLarge("413")

    store.answer = answer
    broker.deliver(*map(_message, (1, 2, 3, 4)))
    _until(lambda: len(broker.acknowledged) == 4)
    assert store.has == [1, 2, 3]
    assert json.loads(json.loads(letters.read_text())["payload"])["seq"] == 4


def test_outage_while_looking_for_the_guilty_message_keeps_the_rest_and_their_order(
    broker: Broker, store: Store, ingest: Ingest
) -> None:
    outages = iter([True, False])

    def answer(seqs: list[int]) -> None:
        if 1 in seqs:
            raise Refused("bad")
        if seqs == [3] and next(outages):
            raise KeptForLater("gone", "wait")

    store.answer = answer
    broker.deliver(*map(_message, (1, 2, 3, 4)))
    _until(lambda: len(broker.acknowledged) == 4)
    assert broker.acknowledged == [1, 2, 3, 4]
    assert store.writes == [[1, 2, 3, 4], [1], [2], [3], [3, 4]]
    assert store.has == [2, 3, 4]


def test_invalid_message_among_valid_ones_is_buried_before_it_is_acknowledged(
    broker: Broker, store: Store, ingest: Ingest, letters: Path
) -> None:
    broker.deliver(_message(1), b"\xff", _message(2))
    _until(lambda: len(broker.acknowledged) == 3)
    assert broker.acknowledged == [1, 2, 3]
    assert store.writes == [[1, 2]]
    assert json.loads(letters.read_text())["payload_base64"] == "/w=="


def test_message_that_can_be_neither_stored_nor_buried_is_kept(
    broker: Broker, store: Store, ingest: Ingest, letters: Path
) -> None:
    letters.parent.write_text("a file where the folder should be")
    broker.deliver(b"nonsense", _message(1))
    _until(lambda: ingest.stats().retries > 0)
    assert broker.acknowledged == []
    assert "dead letters" in ingest.stats().store
    letters.parent.unlink()
    _until(lambda: len(broker.acknowledged) == 2)
    assert store.has == [1]
    assert ingest.stats().store == "ok"


def test_messages_of_a_lost_connection_are_dropped_here_because_they_come_again(
    broker: Broker, store: Store, ingest: Ingest
) -> None:
    is_down = True

    def answer(_seqs: list[int]) -> None:
        if is_down:
            raise KeptForLater("gone", "wait")

    store.answer = answer
    broker.deliver(_message(1))
    _until(lambda: ingest.stats().retries > 0)
    broker.lose_connection()
    is_down = False
    broker.deliver(_message(1))
    _until(lambda: len(broker.acknowledged) == 1)
    assert set(store.has) == {1}


def test_kinds_that_are_not_stored_are_counted_and_acknowledged(
    broker: Broker, store: Store, ingest: Ingest
) -> None:
    broker.deliver(b'{"status":"offline"}', b"", kind="status")
    _until(lambda: len(broker.acknowledged) == 2)
    assert store.writes == []
    assert ingest.stats().ignored == 2


def test_stop_ends_a_pause_and_leaves_what_waits_unacknowledged(
    broker: Broker, store: Store, letters: Path
) -> None:
    def answer(_seqs: list[int]) -> None:
        raise KeptForLater("busy", "wait", retry_after_s=200.0)

    store.answer = answer
    made = Ingest(broker, store, DeadLetters(letters, 2**20), now_ms=lambda: NOW)
    made.start()
    broker.deliver(_message(1))
    _until(lambda: made.stats().retries == 1)
    assert made.stop()
    assert broker.acknowledged == []
    assert len(store.writes) == 1


def test_flood_of_refused_messages_does_not_flood_the_log(
    broker: Broker, store: Store, ingest: Ingest, caplog: pytest.LogCaptureFixture
) -> None:
    broker.deliver(*[b"nonsense"] * 200)
    _until(lambda: len(broker.acknowledged) == 200)
    assert len(caplog.records) == 10
    assert ingest.stats().refused == 200


AHEAD_MS = 5 * 86_400_000


def test_reading_from_ahead_waits_until_the_own_clock_is_right_and_others_do_not(
    broker: Broker, store: Store, letters: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now_ms, is_right = NOW, False
    made = Ingest(
        broker,
        store,
        DeadLetters(letters, 2**20),
        now_ms=lambda: now_ms,
        synchronised=lambda: is_right,
    )
    made.start()
    broker.deliver(_message(1), _message(2, AHEAD_MS), _message(3))
    _until(lambda: made.stats().retries > 1)
    assert store.has == [1, 3]
    assert broker.acknowledged == [1]
    assert "more than a day before" in made.stats().store
    now_ms, is_right = NOW + AHEAD_MS, True
    _until(lambda: broker.acknowledged == [1, 2, 3])
    assert made.stop()
    assert store.has == [1, 3, 2]
    assert not letters.exists()
    assert (made.stats().received, made.stats().store) == (3, "ok")
    told = [line for line in caplog.messages if line.startswith("the clock of this machine: ")]
    assert len(told) == 1
    assert "time server" in told[0]


def test_reading_from_ahead_is_refused_once_the_own_clock_is_known_to_be_right(
    broker: Broker, store: Store, letters: Path
) -> None:
    is_right = False
    made = Ingest(
        broker,
        store,
        DeadLetters(letters, 2**20),
        now_ms=lambda: NOW,
        synchronised=lambda: is_right,
    )
    made.start()
    broker.deliver(_message(1, AHEAD_MS))
    _until(lambda: made.stats().retries > 0)
    is_right = True
    _until(lambda: broker.acknowledged == [1])
    assert made.stop()
    assert store.has == []
    assert "one day from now" in json.loads(letters.read_text())["reason"]


def test_device_that_is_ahead_does_not_hold_up_the_others_for_ever(
    broker: Broker, store: Store, letters: Path
) -> None:
    made = Ingest(
        broker,
        store,
        DeadLetters(letters, 2**20),
        now_ms=lambda: NOW,
        synchronised=lambda: False,
        clock_patience_s=0.1,
    )
    made.start()
    broker.deliver(_message(1, AHEAD_MS), _message(2))
    _until(lambda: broker.acknowledged == [1, 2])
    waits = made.stats().retries
    broker.deliver(_message(3, AHEAD_MS))
    _until(lambda: broker.acknowledged == [1, 2, 1])
    assert made.stop()
    assert store.has == [2, 1, 3]
    assert made.stats().retries == waits > 0  # the second one has not waited again


def test_dead_letters_given_up_are_counted_and_told_in_the_minute_s_report(
    broker: Broker, store: Store, letters: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Ingest(broker, store, DeadLetters(letters, 2000), now_ms=lambda: NOW)
    made.start()
    for _ in range(40):
        broker.deliver(b"nonsense")
    _until(lambda: len(broker.acknowledged) == 40)
    assert made.stop()
    given_up = made.stats().given_up
    files = (letters, letters.with_name(letters.name + ".1"))
    assert 0 < given_up == 40 - sum(len(file.read_text().splitlines()) for file in files)
    assert made.stats().as_dict()["given_up"] == given_up
    caplog.clear()
    log_difference(Stats(), made.stats(), 60.0)
    log_difference(made.stats(), made.stats(), 60.0)
    [line] = [line for line in caplog.messages if "dead letters" in line]
    assert f"{given_up} old ones given up" in line
    assert "dead_letter.max_mb" in line


def test_agent_that_floods_is_refused_counted_and_noted_in_the_store_and_others_are_stored(
    broker: Broker, store: Store, letters: Path
) -> None:
    gate = Gate(PerAgentConfig(messages_per_s=0.1, burst_messages=100))
    made = Ingest(broker, store, DeadLetters(letters, 2**20), gate=gate, now_ms=lambda: NOW)
    made.start()
    other = _message(1).replace(b"tap-01", b"tap-02")
    for first in range(1, 1001, 100):
        broker.deliver(*map(_message, range(first, first + 100)))
        broker.deliver(other, agent="tap-02")
    _until(lambda: made.stats().acknowledged == 1010)
    assert made.stop()
    stats = made.stats()
    assert (stats.stored, stats.refused, stats.unkept) == (110, 900, 600)
    assert stats.refused_by == {"tap-01": {Why.RATE: 900}}
    assert store.noted == stats.refused_by
    kept = [json.loads(line)["reason"] for line in letters.read_text().splitlines()]
    assert len(kept) == 300
    assert {"packtap fleet revoke" in reason for reason in kept} == {True}


def test_note_that_the_store_refuses_is_written_again_later(
    broker: Broker, store: Store, letters: Path
) -> None:
    answers = iter([KeptForLater("gone", "wait"), Refused("no"), None])
    asked: list[int] = []

    def note(ingest: str, refused: Tally, t_ms: int) -> None:
        asked.append(t_ms)
        if (answer := next(answers)) is not None:
            raise answer

    store.note = note  # type: ignore[method-assign]
    made = Ingest(broker, store, DeadLetters(letters, 2**20), now_ms=lambda: NOW, note_s=0.01)
    made.start()
    broker.deliver(b"nonsense")
    _until(lambda: len(asked) == 3)
    broker.deliver(_message(1))
    _until(lambda: made.stats().stored == 1)
    assert made.stop()
    assert len(asked) == 3


def test_bundle_is_acknowledged_once_when_each_message_has_its_fate(
    broker: Broker, store: Store, ingest: Ingest, letters: Path
) -> None:
    broker.deliver(bundle([_message(1), b"no message", _message(3)]))
    _until(lambda: len(broker.acknowledged) == 1)
    assert (ingest.stats().stored, ingest.stats().refused) == (2, 1)
    (letter,) = letters.read_text().splitlines()
    assert json.loads(letter)["payload"] == "no message"


def test_bundle_that_cannot_be_taken_apart_is_refused_as_it_came(
    broker: Broker, store: Store, ingest: Ingest, letters: Path
) -> None:
    payload = bundle([_message(1), _message(2)])[:-3]
    broker.deliver(payload)
    _until(lambda: len(broker.acknowledged) == 1)
    (letter,) = letters.read_text().splitlines()
    assert base64.b64decode(json.loads(letter)["payload_base64"]) == payload
    assert ingest.stats().stored == 0
