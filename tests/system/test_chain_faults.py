"""The chain while its parts are killed: what was committed arrives, once, whatever happens.

PACKTAP_FAULT_ROUNDS and PACKTAP_FAULT_SEED make the first two tests longer, or other ones.
`make faults` runs every fault many times and prints the table of FAULTS.md.
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from system.chain import (
    AgentProcess,
    adapters,
    committed,
    messages,
    running_agent,
    running_ingest,
    scooter,
    settled,
)
from system.chain_bench import Place, running_bench
from system.chain_fault_rows import FAULTS
from system.chain_faults import Outcome, run_influx, run_sqlite
from system.chain_faults_long import fault_row
from system.chain_ledger import Sample, compare, untimely
from system.servers import Mosquitto, eventually

ROUNDS: Final = int(os.environ.get("PACKTAP_FAULT_ROUNDS", "10"))
SEED: Final = int(os.environ.get("PACKTAP_FAULT_SEED", "1"))


@pytest.mark.timeout(300 + 10 * ROUNDS)
@pytest.mark.parametrize("run", [run_influx, run_sqlite])
def test_kills_of_every_part_at_random_moments_lose_no_committed_reading_and_double_none(
    run: Callable[[Path, int, int], Outcome], tmp_path: Path
) -> None:
    outcome = run(tmp_path, SEED, ROUNDS)
    # The comparison means something only if there was a ride, and kills during it.
    assert outcome.readings > 2 * ROUNDS
    assert outcome.cells > 5 * ROUNDS
    assert outcome.kills.keys() >= {"agent", "ingest", "mosquitto"}
    assert outcome.is_whole, outcome


@pytest.mark.timeout(600)
def test_every_process_network_and_wire_fault_of_the_bench_loses_nothing_and_is_recovered_from(
    tmp_path: Path,
) -> None:
    rng = random.Random(SEED)
    # One round of each that needs no file system and no clock of its own, short ones.
    faults = [fault for fault in FAULTS if not fault.needs]
    short = [replace(fault, lasts_s=(0.1, 1.0)) for fault in faults]
    with running_bench(Place(tmp_path, tmp_path), SEED) as bench:
        with bench.riding():
            for fault in rng.sample(short, len(short)):
                bench.run(fault, rng, 1, print)
        result = bench.finish()
    assert len(result.recovery_s) == len(faults) >= 13
    assert result.judged > 2 * len(faults)
    assert result.is_clean, fault_row(faults[0], result).trouble


def ridden(*moments: tuple[int, int]) -> list[Sample]:
    return [Sample("3JDEA", t_ms, {"voltage_v": mv / 1000, "cell_01": mv}) for t_ms, mv in moments]


def test_planted_loss_duplicate_wrong_time_and_alteration_are_seen_by_the_comparer() -> None:
    committed_ones = ridden((1000, 3700), (2000, 3690), (3000, 3680), (4000, 3670))
    first, second, third, fourth = committed_ones
    assert compare(committed_ones, committed_ones).is_clean
    stored_by_another = replace(second, home=("workshop", "tap-02", "bay-1"))
    for planted, counts in (
        ([first, third, fourth], (1, 0, 0, 0)),
        ([*committed_ones, second], (0, 1, 0, 0)),
        ([*committed_ones, stored_by_another], (0, 1, 0, 0)),
        ([*committed_ones, replace(second, t_ms=2001)], (0, 1, 0, 0)),
        ([first, replace(second, t_ms=3_602_000), third, fourth], (0, 0, 1, 0)),
        ([first, replace(second, values={"voltage_v": 3.69}), third, fourth], (0, 0, 0, 1)),
        ([first, stored_by_another, third, fourth], (0, 0, 0, 1)),
        ([*committed_ones, *ridden((5000, 3600))], (0, 0, 0, 1)),
        ([third, third, *ridden((9000, 3670))], (2, 1, 1, 0)),
    ):
        verdict = compare(committed_ones, planted)
        found = (verdict.lost, verdict.duplicated, verdict.wrong_time, verdict.altered)
        assert tuple(map(len, found)) == counts, planted
        assert not verdict.is_clean


def test_reading_whose_values_were_on_the_wire_at_another_time_is_seen() -> None:
    """What is committed and stored alike can still be wrong: the wire is the witness."""
    voltages = {1_000: 3700, 11_000: 3690, 21_000: 3680}
    written = [(t, t, xiaomi_reply(0x34, mv // 10)) for t, mv in voltages.items()]
    true = [Sample("3JDEA", t + 20, {"voltage_v": mv / 1000}) for t, mv in voltages.items()]
    assert untimely(true, written) == ([], 3)
    assert untimely([replace(true[1], t_ms=true[1].t_ms + 10_000)], written)[0]
    assert untimely([replace(true[1], t_ms=true[1].t_ms - 3_600_000)], written)[0]
    assert untimely([replace(true[1], values={"voltage_v": 3.71})], written)[0]
    assert untimely([replace(true[1], values={"health_pct": 99})], written) == ([], 0)


def xiaomi_reply(index: int, word: int) -> bytes:
    """Return a reply of a pack with one register, as protocol.md describes it."""
    body = bytes((4, 0x25, 1, index)) + word.to_bytes(2, "little")
    return b"\x55\xaa" + body + (~sum(body) & 0xFFFF).to_bytes(2, "little")


def readings_told(agent: AgentProcess) -> int:
    """Return how many readings the agent says it has taken."""
    return int(agent.now().get("counters", {}).get("readings", 0))


@pytest.mark.parametrize("trouble", ["none", "broker gone", "broker hangs", "line unplugged"])
def test_sigterm_ends_the_agent_within_5_s_with_every_reading_saved(
    trouble: str, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with (
        adapters(tmp_path, "esc", "bms") as lines,
        running_agent(tmp_path, lines, mosquitto.port, flush_s=300) as agent,
        scooter(Wires(Plan()), lines),
    ):
        eventually(lambda: readings_told(agent) >= 10, "ten readings")
        if trouble == "broker gone":
            mosquitto.kill9()
        elif trouble == "broker hangs":
            mosquitto.pause()
        elif trouble == "line unplugged":
            lines["bms"].unplug()
        told = readings_told(agent)
        assert committed(agent.store) == []  # they are in memory: the batch is not due
        assert agent.terminate(within_s=5) == 0, agent.log_tail()
    assert len(committed(agent.store)) >= told
    assert "Traceback" not in agent.log.read_text()


def test_agent_that_starts_without_a_broker_keeps_everything_until_there_is_one(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    mosquitto.stop()
    with (
        adapters(tmp_path, "esc", "bms") as lines,
        running_agent(tmp_path, lines, mosquitto.port) as agent,
    ):
        with scooter(Wires(Plan()), lines):
            eventually(lambda: len(committed(agent.store)) >= 30, "thirty readings in the store")
        assert agent.waiting() > 0
        mosquitto.restart()
        with running_ingest(tmp_path, mosquitto.port) as ingest:
            settled(agent)
            expected = messages(agent.store)
            eventually(
                lambda: len(messages(ingest.database)) >= len(expected), "all of them at the end"
            )
        assert messages(ingest.database) == expected
        assert committed(ingest.database) == committed(agent.store)
    assert "Traceback" not in agent.log.read_text()


def test_port_that_is_unplugged_and_comes_back_as_another_terminal_goes_on_by_itself(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with (
        adapters(tmp_path, "esc", "bms") as lines,
        running_ingest(tmp_path, mosquitto.port) as ingest,
        running_agent(tmp_path, lines, mosquitto.port) as agent,
    ):
        pid, before = agent.pid, lines["bms"].port.readlink()
        with scooter(Wires(Plan()), lines):
            eventually(lambda: len(committed(agent.store)) >= 5, "five readings")
            lines["bms"].unplug()
            eventually(lambda: not agent.listens(), "the agent's word that the line is down")
            with adapters(tmp_path, "dash", "spare-1", "spare-2", "spare-3"):
                # They take the lowest free numbers, that of the old terminal among them, whatever
                # tests beside this one have given back.
                lines["bms"].plug_in()
            assert lines["bms"].port.readlink() != before
            plugged_ms = time.time_ns() // 1_000_000
            eventually(agent.listens, "both lines open again")
            eventually(
                lambda: sum(one.t_ms > plugged_ms for one in committed(agent.store)) >= 10,
                "ten readings from the new terminal",
            )
        assert agent.pid == pid
        assert agent.is_running
        settled(agent)
        expected = messages(agent.store)
        eventually(lambda: len(messages(ingest.database)) >= len(expected), "all of them")
        assert messages(ingest.database) == expected
    assert "Traceback" not in agent.log.read_text()
