"""What one agent may send, and what becomes of the rest."""

import json
import logging
from pathlib import Path

import pytest

from packtap.config import PerAgentConfig
from packtap.ingest.gate import Gate
from packtap.ingest.refusals import UNKNOWN, Refusals
from packtap.ingest.sinks import Decoded, Refused, Why
from packtap.ingest.stats import Stats, log_difference
from packtap.points import line_protocol, points_of_refusals
from packtap.wire import ReadingsMessage, Topic

NOW_MS = 1763800100000
DAY_MS = 86_400_000


def item(
    pack: str, *, site: str = "s", agent: str = "pi-01", bus: str = "b", store: str = "x"
) -> Decoded:
    message = ReadingsMessage(
        agent=agent,
        bus=bus,
        pack=pack,
        store=store,
        seq=1,
        boot="b",
        t=[1],
        columns={"soc_pct": [1]},
    )
    return Decoded(Topic(site, agent, bus, "readings"), message)


def refused(gate: Gate, agent: str, messages: int, size: int, now: float) -> int:
    count = 0
    for _ in range(messages):
        try:
            gate.admit(agent, size, now)
        except Refused as exc:
            assert exc.why is Why.RATE
            count += 1
    return count


@pytest.mark.parametrize(
    ("messages", "size", "seconds"),
    [(86_400, 900, 60), (8_640 + 1_500, 4_000, 10), (30 * 8_640, 4_000, 120)],
    ids=["a day of single readings in a minute", "a day in ten seconds", "a month in two minutes"],
)
def test_backlog_of_a_sound_agent_is_never_refused_at_the_default_bounds(
    messages: int, size: int, seconds: int
) -> None:
    gate = Gate(PerAgentConfig())
    a_second = messages // seconds
    assert sum(refused(gate, "pi-01", a_second, size, float(now)) for now in range(seconds)) == 0


def test_flood_is_refused_once_its_bucket_is_empty_and_the_others_are_not_touched() -> None:
    gate = Gate(PerAgentConfig(messages_per_s=10, burst_messages=100))
    assert refused(gate, "pi-01", 1000, 10, 5.0) == 900
    assert refused(gate, "pi-02", 100, 10, 5.0) == 0
    assert refused(gate, "pi-01", 50, 10, 6.0) == 40  # ten a second, and no more
    assert refused(gate, "pi-01", 150, 10, 1000.0) == 50  # after silence the bucket is full again


def test_large_messages_cost_as_much_as_many_small_ones() -> None:
    gate = Gate(PerAgentConfig(messages_per_s=1, burst_messages=1000))
    assert refused(gate, "pi-01", 10, 400_000, 0.0) == 0
    assert refused(gate, "pi-01", 10, 400_000, 0.0) == 10


def test_names_that_nobody_has_cannot_fill_the_memory() -> None:
    gate = Gate(PerAgentConfig())
    for number in range(30_000):
        gate.admit(f"a{number}", 1, 0.0)
    assert len(gate._agents) == 10_000


def test_packs_sites_and_buses_of_one_agent_are_bounded_for_each_day() -> None:
    gate = Gate(PerAgentConfig(packs_per_day=3))
    for one in (item("a"), item("b"), item("a", site="t"), item("a"), item("b")):
        gate.admit_series(one, NOW_MS, 0.0)
    for one in (item("c"), item("a", bus="c"), item("a", site="u"), item("a", store="y")):
        with pytest.raises(Refused, match="more than 3 packs of this agent") as caught:
            gate.admit_series(one, NOW_MS, 0.0)
        assert caught.value.why is Why.SERIES
    gate.admit_series(item("b"), NOW_MS, 0.0)
    gate.admit_series(item("c", agent="pi-02"), NOW_MS, 0.0)
    gate.admit_series(item("c"), NOW_MS + DAY_MS, 0.0)


def test_agent_that_sends_nonsense_has_its_share_of_the_letters_and_the_others_theirs() -> None:
    refusals = Refusals()
    kept = [refusals.may_keep("pi-01", 100, 10.0) for _ in range(1000)]
    assert kept == [True] * 300 + [False] * 700
    assert refusals.may_keep("pi-02", 100, 10.0)
    assert refusals.may_keep("pi-01", 100, 3610.0)
    assert sum(refusals.may_keep("pi-03", 2**20, 10.0) for _ in range(10)) == 4


def test_refusals_are_counted_by_agent_and_reason_in_bounded_memory() -> None:
    refusals = Refusals()
    for _ in range(3):
        refusals.count("pi-01", Why.RATE)
    refusals.count("pi-01", Why.TIME)
    assert refusals.tally() == {"pi-01": {Why.RATE: 3, Why.TIME: 1}}
    for number in range(3000):
        refusals.count(f"a{number}", Why.FORM)
    tally = refusals.tally()
    assert len(tally) == 1001
    assert sum(sum(counts.values()) for counts in tally.values()) == 3004
    assert tally[UNKNOWN][Why.FORM] == 2001


def test_counters_are_told_as_json_as_points_and_once_a_minute_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    before = Stats(refused_by={"pi-01": {Why.RATE: 3}})
    now = Stats(refused_by={"pi-01": {Why.RATE: 9, Why.TIME: 1}, "pi-02": {Why.FORM: 2}})
    log_difference(before, now, 60.0)
    assert caplog.messages[-1] == (
        "refused in the last 60 s, by agent: pi-01 6 rate, pi-02 2 form, pi-01 1 time"
    )
    told = json.loads(json.dumps(now.as_dict()))
    assert told["refused_by"] == {"pi-01": {"rate": 9, "time": 1}, "pi-02": {"form": 2}}
    lines = [line_protocol(one) for one in points_of_refusals("i-1", now.refused_by, 1000)]
    assert lines == [
        "ingest,agent=pi-01,ingest=i-1,reason=rate refused=9i 1000",
        "ingest,agent=pi-01,ingest=i-1,reason=time refused=1i 1000",
        "ingest,agent=pi-02,ingest=i-1,reason=form refused=2i 1000",
    ]


def test_bounds_stand_in_the_example_configuration(tmp_path: Path) -> None:
    from packtap.config import example_ingest, load_ingest

    path = tmp_path / "ingest.toml"
    path.write_text(example_ingest())
    assert load_ingest(path).per_agent == PerAgentConfig()
